"""Write what the heads of the playground's panes show, by the same rules as the page's script (``playground/messages.js``)."""

from __future__ import annotations

import re

from msgspec import Struct

from ... import model
from ...drawing.numerals import count_of


class OfferedGraph(Struct, frozen=True):
    """A graph to choose: of a pass of the step, or of a displayed tensor that no pass reaches."""

    value: str
    """``pass 3`` or ``graph g1``."""
    label: str


def choices(run: model.Run, step: model.Step | None) -> list[OfferedGraph]:
    """Return the graphs to choose from: the passes of the step, then the graphs of displayed tensors."""
    source = run.program.split("\n")
    passes = [] if step is None else step.passes

    def name(line: int | None) -> str:
        return "" if line is None or line > len(source) else re.sub("#.*", "", source[line - 1]).strip()[:32]

    of_passes = [
        OfferedGraph(
            f"pass {each.index}",
            ("implicit backward()" if each.kind == "implicit" else name(each.line) or each.kind)
            + ("" if each.line is None else f", line {each.line}"),
        )
        for each in passes
    ]
    reached = {each.graph for each in passes}
    displayed = {
        line.graph: line.line for line in run.lines if line.file is None and line.graph and line.graph not in reached
    }  # the last line that displays a tensor of the graph
    return of_passes + [OfferedGraph(f"graph {graph}", f"{name(line)}, line {line}") for graph, line in displayed.items()]


def duration(milliseconds: float) -> str:
    """Return a duration in milliseconds or seconds, which does not break.

    >>> duration(4.25), duration(112.4), duration(10480.0)
    ('4.2\\xa0ms', '112\\xa0ms', '10.5\\xa0s')
    """
    if milliseconds < 10:
        return f"{milliseconds:.1f}\xa0ms"
    return f"{milliseconds:.0f}\xa0ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f}\xa0s"


def summary(findings: list[model.Finding]) -> tuple[str, str]:
    """Return how many pitfalls a run has, and how many notes and good signs, as the text after that.

    >>> summary([])
    ('', 'nothing to report')
    """
    if not findings:
        return "", "nothing to report"
    severities = [finding.severity for finding in findings]
    pitfalls = severities.count("error") + severities.count("warning")
    notes, good = severities.count("note"), severities.count("good")
    rest = (f", {count_of(notes, 'note')}" if notes else "") + (f", {count_of(good, 'good sign')}" if good else "")
    return (count_of(pitfalls, "pitfall"), rest) if pitfalls else ("", f"no pitfalls{rest}")
