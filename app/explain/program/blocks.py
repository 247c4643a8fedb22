"""Find the statements that run before and after a call, and the functions that statements call."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from .syntax import Syntax, called


def block_of(syntax: Syntax, statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements of the block that a statement is in."""
    parent = syntax.parent(statement)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and statement in block:
            return block
    return [statement]


def around(syntax: Syntax, node: ast.AST) -> Iterator[tuple[list[ast.stmt], list[ast.stmt]]]:
    """Yield the statements before and after the statement of a node, in its block and in the blocks around it.

    Blocks are followed through ``if`` and ``with``, not through loops and functions.
    """
    statement = syntax.statement_of(node)
    while statement is not None:
        block = block_of(syntax, statement)
        index = block.index(statement)
        yield block[:index], block[index + 1 :]
        parent = syntax.parent(statement)
        statement = parent if isinstance(parent, ast.If | ast.With) else None


def calls_in(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the names of the functions and methods that statements call, also in blocks inside them."""
    nodes = (node for statement in statements for node in ast.walk(statement))
    return {name for node in nodes if isinstance(node, ast.Call) and (name := called(node)) is not None}


def order(statements: Sequence[ast.stmt], name: str) -> int | None:
    """Return the index of the first statement that calls a function or method of this name, or ``None``."""
    return next((index for index, statement in enumerate(statements) if name in calls_in([statement])), None)
