"""Apply the edits of a fix to a program."""

from __future__ import annotations

from .. import model


def apply(program: str, fix: model.Fix) -> str:
    r"""Return the program after the edits of a fix.

    >>> apply("m = m - g\n", model.Fix("", [model.Edit((1, 0), (1, 9), "m -= g")]))
    'm -= g\n'
    """
    starts = [0]
    for line in program.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for edit in sorted(fix.edits, key=lambda edit: edit.start, reverse=True):  # from the end, so that offsets stay valid
        (first, column), (last, end) = edit.start, edit.end
        program = program[: starts[first - 1] + column] + edit.text + program[starts[last - 1] + end :]
    return program
