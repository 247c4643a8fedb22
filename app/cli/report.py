"""Print a run in a terminal: the values of its lines, its last pass in words, its error and its findings."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from rich.console import Console
from rich.text import Text

from .. import model
from ..drawing.description import describe
from ..drawing.sheet import Sheet
from ..explain.rewriting import fixes
from ..recording import default_graph
from ..runs.outcome import headline
from ..runs.run import RecordedRun

ROOM: Final = 44
"""Largest width of a line's text, in characters. The value of a longer line is printed below it."""
LONGEST: Final = 40
"""Largest number of nodes of a graph that is described in words."""
SEVERITIES: Final[dict[model.Severity, str]] = {"error": "red", "warning": "yellow", "note": "dim", "good": "green"}


def console(*, error: bool = False) -> Console:
    """Return a console that prints text unchanged, with colours only on a terminal."""
    return Console(stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=True)


def show(out: Console, recorded: RecordedRun, name: str, *, error_printed: bool = False) -> None:
    """Print an ended run of the file ``name``. With ``error_printed``, the program printed its exception itself."""
    run = recorded.run({})
    for line in _values(run):
        out.print(line)
    for line in _last_pass(recorded):
        out.print(line)
    if error := list(failure(run, printed=error_printed)):
        out.print()
        for line in error:
            out.print(line)
    for finding in run.findings:
        out.print()
        for line in described(finding, run.program):
            out.print(line)
    if run.findings_omitted:
        out.print()
        out.print(f"Further findings may be missing: {', '.join(run.findings_omitted)}.")
    out.print()
    out.print(_summary(run, name))


def _values(run: model.Run) -> Iterator[Text]:
    """Yield each line that has a value, and the output below each cell of a notebook."""
    lines = model.program_lines(run.program)
    values = {line.line: line.text for line in run.lines if line.file is None and 0 < line.line <= len(lines)}
    shown = {number: lines[number - 1].rstrip() for number in values}
    width = max((len(text) for text in shown.values() if len(text) <= ROOM), default=0)
    cells = run.cells if run.kind == "notebook" else [model.Cell(0, 1, len(lines), None)]
    for cell in cells:
        if run.kind == "notebook":
            yield Text(f"In  {cell.index + 1}", style="bold")
        for number in range(cell.start_line, cell.end_line + 1):
            if number in values:
                yield from _line(number, shown[number], values[number], width)
        if run.kind == "notebook" and cell.output is not None:
            yield Text.assemble((f"Out {cell.index + 1}\n", "bold"), _indented(cell.output, 6))


def _line(number: int, text: str, value: str, width: int) -> Iterator[Text]:
    rows = value.splitlines() or [""]
    start = Text.assemble((f"{number:4}  ", "dim"), text)
    if len(text) > width:
        yield start
        yield from (Text(" " * (width + 8) + row, style="cyan") for row in rows)
        return
    start.append(" " * (width + 2 - len(text)))
    for left, row in zip_longest([start], rows):
        yield Text.assemble(left if left is not None else " " * (width + 8), (row, "cyan"))


def _last_pass(recorded: RecordedRun) -> Iterator[Text]:
    """Yield a description in words of the last step's main pass, or of the last recorded pass."""
    shown = default_graph(recorded.recording)
    if shown is None or shown.kind != "pass":
        return
    index = shown.index
    numbers = recorded.recording.numbers(index)
    yield Text()
    if len(numbers.graph.nodes) > LONGEST:
        yield Text(f"The graph of pass {index} has {len(numbers.graph.nodes):,} nodes: draw it with `tapedeck render`.")
        return
    yield Text(describe(Sheet(numbers.graph, numbers, recorded.recording.program)).rstrip("\n"))


def failure(run: model.Run, *, printed: bool = False) -> Iterator[Text]:
    """Yield the error that ended a run, with its line and carets below the failing expression.

    Nothing is yielded for an exception that the program printed itself.
    """
    error = run.error
    if error is None or (printed and error.traceback):
        return
    yield Text.assemble((headline(run.status, error), "bold red"), f": {error.message}" if error.message else "")
    lines = model.program_lines(run.program)
    if error.origin is not None:
        yield Text.assemble(("      in ", "dim"), f"{error.origin.file}:{error.origin.line}")
    if error.line is None:
        return
    if error.file is not None:
        text = linecache.getline(error.file, error.line).rstrip()
    else:
        text = lines[error.line - 1] if error.line <= len(lines) else ""
    if text:
        yield Text.assemble((f"{error.line:4}  ", "dim"), text)
    if text and error.columns is not None:
        start, end = error.columns
        yield Text(" " * (6 + start) + "^" * max(1, min(end, len(text)) - start), style="red")


def described(finding: model.Finding, program: str) -> Iterator[Text]:
    """Yield a finding: its message, its explanation, and its fix as a diff."""
    line = f"  line {finding.line}" if finding.line else ""
    if finding.origin is not None:
        line += f" ({finding.origin.file}:{finding.origin.line})"
    style = SEVERITIES[finding.severity]
    yield Text.assemble((f"{finding.severity}{line}", f"bold {style}"), f"  {finding.message}")
    if finding.why:
        yield _indented(finding.why, 4)
    if finding.fix is not None:
        yield Text(f"    {finding.fix.title}:")
        for sign, line in fixes.changed_lines(program, finding.fix):
            yield Text(f"    {sign} {line}", style="red" if sign == "-" else "green")


def _summary(run: model.Run, name: str) -> Text:
    count = f"{run.steps:,} step{'' if run.steps == 1 else 's'}, {run.passes:,} pass{'' if run.passes == 1 else 'es'}"
    took = "" if run.duration_ms is None else f" in {run.duration_ms:.0f} ms"
    end = "" if run.status == "done" else f" {headline(run.status, run.error)}. Everything recorded before that is above."
    return Text(f"{name}: {count}{took}, torch {run.torch or 'unknown'}.{end}", style="dim")


def _indented(text: str, by: int) -> Text:
    return Text("\n".join(" " * by + line for line in text.splitlines()))
