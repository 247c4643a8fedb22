"""Find terms of a loss that compare two detached tensors, so that neither gets a gradient."""

from __future__ import annotations

import ast
from collections.abc import Callable

from .syntax import Syntax


class DetachedSides:
    """Finds the calls of ``detach()`` on both sides of a term.

    ``before`` returns the values that an expression may have, and ``is_learned`` whether a parameter contributes to one.
    """

    def __init__(
        self, syntax: Syntax, before: Callable[[ast.expr], list[ast.expr]], is_learned: Callable[[ast.expr], bool]
    ) -> None:
        self._syntax = syntax
        self._before = before
        self._is_learned = is_learned

    def sides(self, term: ast.expr) -> tuple[ast.expr, ast.expr] | None:
        """Return the calls of ``detach()`` that cut both sides of a term, such as ``mse_loss(a, b)`` or ``(a - b).abs()``."""
        if self._is_factor(term):
            return None
        while True:
            match term:
                case ast.Call(func=ast.Attribute(attr=name), args=[left, right, *_]) if name.endswith(("_loss", "kl_div")):
                    break
                case ast.BinOp(left=left, op=ast.Sub(), right=right):
                    break
                case ast.BinOp(left=inner, op=ast.Pow()):
                    term = inner
                case ast.Call(func=ast.Attribute(value=inner), args=[] | [ast.Constant()]):
                    term = inner
                case _:
                    return None
        cuts = [self._detached(side) for side in (left, right)]
        return (cuts[0], cuts[1]) if cuts[0] is not None and cuts[1] is not None else None

    def sides_of_term(self, term: ast.expr) -> tuple[ast.expr, ast.expr] | None:
        """Return the calls of ``detach()`` that cut both sides of a term, which may be a name or multiplied by a number."""
        found = (sides for each in self._values(term) if (sides := self.sides(each)) is not None)
        return next(found, None)

    def _values(self, term: ast.expr) -> list[ast.expr]:
        """Return the values that a term may have. If the term is multiplied by a number, they are without that number."""
        parts = [term.left, term.right] if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult | ast.Div) else [term]
        return [each for part in parts if not self._is_factor(part) for each in (part, *self._before(part))]

    def _is_factor(self, term: ast.expr) -> bool:
        """Return whether a term is multiplied by another value than a number. Such a term may be a weight."""
        parent = self._syntax.parent(term)
        while isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div):
            other = parent.left if parent.right is term else parent.right
            if not all(isinstance(each, ast.Constant) for each in (self._before(other) or [other])):
                return True
            term, parent = parent, self._syntax.parent(parent)
        return False

    def _detached(self, node: ast.expr) -> ast.expr | None:
        """Return the call of ``detach()`` whose result an expression is, if it cuts a value that a parameter contributes to."""
        values = [node] if not isinstance(node, ast.Name) else self._before(node)
        match values:
            case [ast.Call(func=ast.Attribute(attr="detach", value=value)) as cut] if self._is_learned(value):
                return cut
        return None
