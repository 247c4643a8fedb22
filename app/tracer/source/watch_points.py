"""Insert calls into a program after the statements at which an expression is watched."""

from __future__ import annotations

import ast
from collections.abc import Iterator

WATCH = "__tapedeck_watch__"
"""The name in ``builtins`` of the function that evaluates the watched expression.

It receives the line of the statement, and whether the statement's value was passed to the recorder right before.
"""

_LEAVING = ast.Return | ast.Raise | ast.Break | ast.Continue
_DEFINING = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_HEADLESS = _DEFINING | ast.Try | ast.TryStar
"""The statements that have a body, but no place at its start."""


class WatchPoints:
    """The places after the statements on one line, or after all statements if ``line`` is ``None``.

    For a statement that leaves its block, such as ``return``, the place is before the statement. For a statement with a body,
    such as a loop or a ``with``, the place is at the start of the body. For a definition, it is after the statement. A ``try``
    has no place of its own.
    """

    def __init__(self, line: int | None) -> None:
        self._line = line

    def insert(self, tree: ast.Module, unmarked: ast.stmt | None = None) -> None:
        """Insert the calls into a tree. Every statement keeps its position in the text.

        ``unmarked`` is a statement whose value is not passed to the recorder, although it has one.
        """
        for block, head in list(_blocks(tree)):
            watched = [] if head is None or not self._covers(head) else [_call(head.lineno, block[0])]
            for statement in block:
                point = self._point(statement, marked=statement is not unmarked and _passes_value(statement))
                if point is None:
                    watched.append(statement)
                elif isinstance(statement, _LEAVING):
                    watched += [point, statement]
                else:
                    watched += [statement, point]
            block[:] = watched

    def _point(self, statement: ast.stmt, *, marked: bool) -> ast.stmt | None:
        """Return the call to insert before or after a statement, or ``None``."""
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            return None  # only a docstring and such imports may precede this import
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return None
        if hasattr(statement, "body") and not isinstance(statement, _DEFINING):
            return None
        return _call(statement.lineno, statement, marked=marked) if self._covers(statement) else None

    def _covers(self, statement: ast.stmt) -> bool:
        """Return whether the watched line is a line of the statement, but not of its body."""
        last = statement.body[0].lineno - 1 if hasattr(statement, "body") else statement.end_lineno or statement.lineno
        return self._line is None or statement.lineno <= self._line <= max(last, statement.lineno)


def _blocks(tree: ast.Module) -> Iterator[tuple[list[ast.stmt], ast.stmt | None]]:
    """Yield each block of a tree, with the statement whose head runs right before the block, or ``None``."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                has_head = name == "body" and isinstance(node, ast.stmt) and not isinstance(node, _HEADLESS)
                yield block, node if has_head else None  # type: ignore[misc]


def _passes_value(statement: ast.stmt) -> bool:
    """Return whether a statement passes its value to the recorder (see :mod:`.marker`) after all other calls that it makes."""
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None
    if isinstance(statement, ast.AugAssign):
        return isinstance(statement.target, ast.Name)
    if isinstance(statement, ast.Assign):
        return not any(isinstance(node, ast.Call) for target in statement.targets for node in ast.walk(target))
    return isinstance(statement, ast.Expr)


def _call(line: int, at: ast.stmt, *, marked: bool = False) -> ast.stmt:
    call = ast.Expr(ast.Call(ast.Name(WATCH, ast.Load()), [ast.Constant(line), ast.Constant(marked)], []))
    for node in ast.walk(call):
        if isinstance(node, ast.expr | ast.stmt):
            ast.copy_location(node, at)
    return call


def is_watch_point(node: ast.expr) -> bool:
    """Return whether an expression is a call that :class:`WatchPoints` inserted."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == WATCH
