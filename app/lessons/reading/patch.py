"""Apply a small diff of a lesson to the program of its task."""

from __future__ import annotations

from itertools import groupby


def apply(program: str, diff: str) -> str:
    """Return the program after the changes of a diff, whose lines begin with ``-``, ``+`` or a space. ``@@`` separates changes.

    Raises :class:`ValueError` for any other line, and if the program does not contain the old lines of a change exactly once.

    >>> apply("a = 1\\nb = 2", "-b = 2\\n+b = 3\\n")
    'a = 1\\nb = 3'
    >>> apply("a = 1", "+b = 2")
    Traceback (most recent call last):
        ...
    ValueError: A change of the diff only adds lines. Put an unchanged line of the program above or below them.
    """
    lines = program.split("\n")
    for separator, change in groupby(diff.rstrip("\n").split("\n"), key=lambda line: line.startswith("@@")):
        if separator:
            continue
        marked = [line or " " for line in change]
        if wrong := next((line for line in marked if line[0] not in "+- "), None):
            raise ValueError(f"The line {wrong!r} of the diff begins with none of `-`, `+` and a space.")
        old = [line[1:] for line in marked if line[0] != "+"]
        new = [line[1:] for line in marked if line[0] != "-"]
        found = [at for at in range(len(lines) - len(old) + 1) if lines[at : at + len(old)] == old]
        if not old:
            raise ValueError("A change of the diff only adds lines. Put an unchanged line of the program above or below them.")
        if len(found) != 1:
            raise ValueError(f"The program contains the old lines of the diff ({old[0]!r}) {len(found)} times: once is needed.")
        lines[found[0] : found[0] + len(old)] = new
    return "\n".join(lines)
