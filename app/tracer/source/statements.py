"""Describe the statements of a program, its loops, and the lines where gradient modes change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ... import wire
from .targets import AssignmentTarget


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose value is passed to the recorder.

    ``kind`` is the sort of statement: an assignment, an augmented assignment (``update``), an expression (``show``) or a
    ``return``. Loops pass values where they are entered (``enter``) and at the start of each iteration: the loop variable
    (``target``), or nothing (``iteration``). ``exit`` follows a loop, unless an exception or a ``return`` left the loop.
    ``caught`` is the start of an ``except`` block. ``delete`` passes the values of the variables that a ``del`` is about to
    delete.

    ``names`` are the variables that the statement binds. ``targets`` are the attributes and items that it assigns to, with
    ``None`` for every other target. ``unpacks`` is true if the value is unpacked to several targets. ``last`` marks the last
    expression of a cell, and ``loop`` is an index in :attr:`ProgramStructure.loops`.
    """

    line: int
    kind: Literal["assign", "update", "show", "return", "enter", "target", "iteration", "exit", "caught", "delete"]
    names: tuple[str, ...] = ()
    unpacks: bool = False
    last: bool = False
    loop: int = -1
    targets: tuple[AssignmentTarget | None, ...] = ()


@dataclass(frozen=True, slots=True)
class LineRange:
    """A range of lines, 1-based and inclusive, with the line of the statement that the range belongs to."""

    head: int
    start: int
    end: int

    def __contains__(self, line: int) -> bool:
        return self.start <= line <= self.end


@dataclass(frozen=True, slots=True)
class LineContext:
    """The current line of a program (-1 for none) with its enclosing gradient modes and loops.

    ``heads`` are the lines of the ``with`` statements that change the gradient mode. ``loops`` are indices in
    :attr:`ProgramStructure.loops`, innermost first, through all running functions. ``origin`` is set if the line has called a
    module of the user's own that is running.
    """

    line: int
    heads: tuple[int, ...] = ()
    loops: tuple[int, ...] = ()
    origin: wire.OriginRow | None = None


NO_LINE = LineContext(-1)


@dataclass(slots=True)
class ProgramStructure:
    """The statements, loops and gradient modes that were found while a program's cells were marked."""

    statements: list[Statement] = field(default_factory=list)
    loops: list[LineRange] = field(default_factory=list)
    loops_with_passes: set[int] = field(default_factory=set)
    """The indices in ``loops`` of the loops whose bodies call ``backward`` or ``grad``."""
    grad_modes: list[LineRange] = field(default_factory=list)
    loop_variables: set[str] = field(default_factory=set)
    """The variables of ``for`` loops, which name one object after another."""
