"""Describe the statements of a program, its loops, and the lines where gradient modes change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .targets import AssignmentTarget


@dataclass(frozen=True, slots=True)
class Statement:
    """A place where a value becomes visible.

    ``names`` are the variables that it binds, and ``targets`` the attributes and items that it assigns to (``None`` for
    what is neither); with ``unpacks`` the value is taken apart over them.
    """

    line: int
    kind: Literal["assign", "update", "show", "return", "enter", "target", "iteration", "caught"]
    names: tuple[str, ...] = ()
    unpacks: bool = False
    last: bool = False
    loop: int = -1
    targets: tuple[AssignmentTarget | None, ...] = ()


@dataclass(frozen=True, slots=True)
class LineRange:
    """A region of lines, 1-based and inclusive, with the line of its head."""

    head: int
    start: int
    end: int

    def __contains__(self, line: int) -> bool:
        return self.start <= line <= self.end


@dataclass(frozen=True, slots=True)
class LineContext:
    """Where a program stands: its line (-1 for none), the lines of the gradient modes and the loops around that.

    Loops are places in :attr:`ProgramSource.loops`, the innermost first, through all the program's functions.
    """

    line: int
    heads: tuple[int, ...] = ()
    loops: tuple[int, ...] = ()


NO_LINE = LineContext(-1)


@dataclass(slots=True)
class ProgramStructure:
    """The statements, loops and gradient modes that were found while a program's cells were marked."""

    statements: list[Statement] = field(default_factory=list)
    loops: list[LineRange] = field(default_factory=list)
    loops_with_passes: set[int] = field(default_factory=set)
    """The indexes in ``loops`` of the loops whose bodies call ``backward`` or ``grad``."""
    grad_modes: list[LineRange] = field(default_factory=list)
    loop_variables: set[str] = field(default_factory=set)
    """The variables of ``for`` loops: each names one object after another."""
