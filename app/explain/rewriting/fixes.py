"""Apply the edits of a fix to a program."""

from __future__ import annotations

import difflib
import io

from ... import model


def apply(program: str, fix: model.Fix) -> str:
    r"""Return the program after the edits of a fix.

    >>> apply("m = m - g\n", model.Fix("", [model.Edit((1, 0), (1, 9), "m -= g")]))
    'm -= g\n'
    """
    starts = [0]
    for line in io.StringIO(program):
        starts.append(starts[-1] + len(line))
    for edit in sorted(fix.edits, key=lambda edit: edit.start, reverse=True):  # from the end, so that offsets stay valid
        (first, column), (last, end) = edit.start, edit.end
        program = program[: starts[first - 1] + column] + edit.text + program[starts[last - 1] + end :]
    return program


def changed_lines(program: str, fix: model.Fix) -> list[tuple[str, str]]:
    r"""Return the lines that a fix removes and adds, each after ``-`` or ``+``.

    >>> changed_lines("m = m - g\n", model.Fix("", [model.Edit((1, 0), (1, 9), "m -= g")]))
    [('-', 'm = m - g'), ('+', 'm -= g')]
    """
    before, after = model.program_lines(program), model.program_lines(apply(program, fix))
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]  # without the two lines that name the files
    return [(line[0], line[1:]) for line in lines if not line.startswith("@@")]
