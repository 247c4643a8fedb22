"""Add probes to the cells of a recording: lines that read variables at the end of a cell, so that their values are recorded.

A recording has the values of lines, of steps and of passes. The value of ``m.grad`` at the end of a cell follows from these
only in simple programs. The probes of a cell are in an extra cell after it. The program's own lines run
unchanged, and :class:`ProbedProgram` converts their line numbers, so a reader never sees the probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from ... import model
from .programs import joined

MOST_PATHS: Final = 200
"""Largest number of variables that are read at the end of one cell."""


class ProbedProgram(Struct, frozen=True):
    """A program with probes.

    ``cells`` has the first and the last line of each cell of the lesson in this program. ``plain`` has the same cells with the
    numbers that their lines have without probes, as a reader sees them. ``lines`` has two lines for each cell and path: one
    tests whether the path is ``None`` at the end of the cell, the other reads the path.
    """

    program: model.Program
    cells: list[tuple[int, int]]
    plain: list[tuple[int, int]]
    lines: dict[tuple[int, str], tuple[int, int]]

    def line(self, plain: int) -> int:
        """Return the line of this program that is line ``plain`` of the program without probes."""
        for (start, stop), (moved, _) in zip(self.plain, self.cells, strict=True):
            if start <= plain <= stop:
                return moved + plain - start
        return plain

    def plain_line(self, line: int) -> int | None:
        """Return the line of the program without probes that is line ``line`` of this one; ``None`` for a probe."""
        for (start, stop), (plain, _) in zip(self.cells, self.plain, strict=True):
            if start <= line <= stop:
                return plain + line - start
        return None


def probed(cells: Sequence[str], paths: Mapping[int, Iterable[str]]) -> ProbedProgram:
    """Return the program of some cells with probes. ``paths`` maps the index of a cell to the paths to read at its end.

    No value is recorded for a path that cannot be read: the probe catches the exception.

    >>> print(probed(["m = 1"], {0: ["m"]}).program.text)
    m = 1
    <BLANKLINE>
    try: (m) is None
    except Exception: pass
    try: m
    except Exception: pass
    <BLANKLINE>
    """
    texts, own, offsets = list[str](), list[int](), list[tuple[int, int, str]]()
    for index, cell in enumerate(cells):
        own.append(len(texts))
        texts.append(cell)
        if wanted := sorted(paths.get(index, ()))[:MOST_PATHS]:
            offsets += [(len(texts), 4 * at, path) for at, path in enumerate(wanted)]
            texts.append("\n".join(f"{_guarded(f'({path}) is None')}\n{_guarded(path)}" for path in wanted))
    program = joined(texts)
    ranges = list(program.cells)
    of_text = {text: index for index, text in enumerate(own)}
    lines = {}
    for text, offset, path in offsets:
        start = ranges[text][0] + offset
        lines[of_text[text - 1], path] = (start, start + 2)
    return ProbedProgram(program, [ranges[each] for each in own], list(joined(cells).cells), lines)


def _guarded(expression: str) -> str:
    return f"try: {expression}\nexcept Exception: pass"
