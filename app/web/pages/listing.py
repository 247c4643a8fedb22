"""List the lines of a program with their values at the playhead, as a page shows them without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ... import model
from ...drawing.numerals import brief, typeset, typeset_literals
from .margin import Note, notes
from .playhead import Playhead

LISTED_LINES: Final = 2_000
"""Largest number of lines of the program on a page without JavaScript."""
DEEPEST: Final = 40
"""Largest indentation under which the continuation of a wrapped line is aligned, as in ``widgets/editor/hanging-indent.js``."""
STOPPED: Final = {"timed_out": "Time limit", "cancelled": "Cancelled", "out_of_memory": "Out of memory"}
"""The texts beside the line that ran when a program was stopped from outside, as in ``core/margin.js``."""


class Paragraph(Struct, frozen=True):
    """A paragraph of a notebook's Markdown, as it was written. The number signs of a title are left out."""

    text: str
    title: bool


class ProgramLine(Struct, frozen=True):
    """A line of the program, as a page without JavaScript shows it."""

    number: int
    text: str
    indents: list[int]
    """Powers of two whose sum is the indentation of the line, at most :data:`DEEPEST`."""
    note: Note | None
    """The line's value at the playhead, or the type of the error that ended the program there."""
    phases: list[model.Phase]
    """The phases of the step in which the line ran."""
    cell: int
    """Index of the line's cell."""
    cell_ends: bool
    """True for the last line of a cell: the cell's output is shown below it."""
    printed: list[model.Printed]
    """For the last line of a cell, the pieces of text that the cell printed, in order; empty for other lines."""
    cell_over: bool
    """True if the line's cell had finished at the playhead."""
    active: bool
    """True if the phase at the playhead is the first one in which the line ran."""
    error: model.ProgramError | None
    """The error that ended the program at this line, if the recording ends at the playhead."""
    findings: list[model.Finding]
    above: list[Paragraph] = []
    """For the first line of a cell, the notebook's Markdown above it; empty for other lines."""
    below: list[Paragraph] = []
    """For the last line of the last cell, the notebook's Markdown below it."""
    label: str = ""
    """For the first line of a cell of a notebook, the cell's name and number, such as ``In [3]``."""


def listing(playhead: Playhead, shown_pass: model.Pass | None = None) -> list[ProgramLine]:
    """Return the first lines of the program, at most :data:`LISTED_LINES`, with their values at the playhead."""
    run, step = playhead.run, playhead.step
    noted = notes(playhead, shown_pass)
    over = playhead.cells_over()
    cells = run.cells or [model.Cell(0, 1, 1 << 31, None)]
    printed: dict[int, list[model.Printed]] = {}
    for stretch in run.output:
        printed.setdefault(stretch.cell, []).append(stretch)
    lines: list[ProgramLine] = []
    cell = 0
    for number, text in enumerate(run.program.rstrip("\n").split("\n")[:LISTED_LINES], 1):
        while cell + 1 < len(cells) and number >= cells[cell + 1].start_line:
            cell += 1
        phases: list[model.Phase] = [
            phase for phase in model.PHASES if step is not None and number in step.lines.get(phase, ())
        ]
        failed = playhead.at_end and run.error is not None and run.error.file is None and run.error.line == number
        error = run.error if failed else None
        note = noted.get(number) if error is None else Note(STOPPED.get(run.status, error.type), error.message, "bad")
        indent = min(DEEPEST, len(text) - len(text.lstrip(" ")))
        lines.append(
            ProgramLine(
                number=number,
                text=text,
                indents=[part for part in (1, 2, 4, 8, 16, 32) if indent & part],
                note=note,
                phases=phases,
                cell=cell,
                cell_ends=number == cells[cell].end_line,
                printed=printed.get(cell, []) if number == cells[cell].end_line else [],
                cell_over=not over or over[cell],
                active=phases[:1] == [playhead.phase],
                error=error,
                findings=[finding for finding in run.findings if finding.file is None and finding.line == number],
                above=paragraphs(cells[cell].markdown) if number == cells[cell].start_line else [],
                below=paragraphs(cells[cell].markdown_below) if number == cells[cell].end_line else [],
                label=label_of(cells[cell]) if number == cells[cell].start_line else "",
            )
        )
    return lines


def paragraphs(markdown: Sequence[str]) -> list[Paragraph]:
    """Return the paragraphs of Markdown cells.

    >>> [(each.text, each.title) for each in paragraphs(["# Data\\nTwo *points*.", "Go on."])]
    [('Data', True), ('Two *points*.', False), ('Go on.', False)]
    """
    apart = re.sub(r"(?m)^(#{1,6} .*)\n", r"\1\n\n", "\n\n".join(markdown))
    texts = [text.strip("\n") for text in re.split(r"\n{2,}", apart) if text.strip()]
    titles = [re.fullmatch(r"#{1,6} +(.*)", text) for text in texts]
    return [Paragraph(title[1] if title else text, title is not None) for text, title in zip(texts, titles, strict=True)]


def label_of(cell: model.Cell) -> str:
    """Return the label of a notebook's cell; empty for the first one if it has neither a name nor a number.

    >>> label_of(model.Cell(0, 1, 2, None, number=3)), label_of(model.Cell(1, 1, 2, None)), label_of(model.Cell(0, 1, 2, None))
    ('In [3]', 'cell 2', '')
    """
    if cell.number is not None:
        return f"{cell.name or 'In'} [{cell.number}]"
    return cell.name or (f"cell {cell.index + 1}" if cell.index else "")


def written(tensor: model.TensorSummary | None, otherwise: str = "") -> str:
    """Return a tensor as pictures write it, in at most 40 characters, or ``otherwise`` if there is no tensor."""
    return typeset_literals(otherwise) if tensor is None else typeset(brief(tensor, 40))
