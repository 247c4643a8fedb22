"""Find the positions that a call such as ``x.max(1)`` returns beside its values."""

from __future__ import annotations

import ast

_SELECTING = frozenset({"max", "min", "topk", "sort", "kthvalue", "median", "mode"})
"""Methods that return values and their positions."""


def indices(node: ast.expr) -> ast.expr | None:
    """Return the operand of a call whose positions an expression reads, such as ``x.topk(2).indices`` or ``x.max(1)[1]``."""
    match node:
        case ast.Attribute(attr="indices", value=ast.Call() as call):
            pass
        case ast.Subscript(slice=ast.Constant(value=1), value=ast.Call() as call):
            pass
        case _:
            return None
    return selected(call)


def selected(call: ast.Call) -> ast.expr | None:
    """Return the operand of a call that returns values with their positions, such as ``x.max(1)``."""
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr=name), args=[operand, *rest], keywords=keywords):
            pass
        case ast.Call(func=ast.Attribute(value=operand, attr=name), args=rest, keywords=keywords):
            pass
        case _:
            return None
    return operand if name in _SELECTING and (name == "sort" or rest or keywords) else None
