"""Give a run a title: the one that its owner chose, else one from its program."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 80
"""Largest number of characters of a title."""
_UNTITLED: Final = ("import ", "from ", "pass  #", "#!", "# -*-", "# %", "#%%", "# !")
"""Beginnings of lines that say nothing about a program."""


def cleaned(title: str) -> str:
    """Return a title in one line, without characters that cannot be printed and at most :data:`LONGEST` characters long.

    >>> cleaned("  Fit\\n a\\tline\\x00 ")
    'Fit a line'
    """
    printable = "".join(each if each.isprintable() else " " for each in title)
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def title_of(program: str) -> str:
    """Return a title for a program: its first line that is not an import, without the marks of a comment or docstring.

    >>> title_of("import torch\\n\\n# Fit a line\\nx = 1")
    'Fit a line'
    >>> title_of('\"\"\"Fit a line.\"\"\"')
    'Fit a line.'
    """
    lines = [line.strip() for line in program.splitlines() if line.strip(" \t#\"'")]
    first = next((line for line in lines if not line.startswith(_UNTITLED)), lines[0] if lines else "")
    if first.startswith(("#", '"""', "'''")):
        first = first.strip("#\"' ") or first
    return cleaned(first)
