"""Define a rule: how an operation of autograd computes its value, and what it sends to each of its operands."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from msgspec import Struct

from .functions import FUNCTIONS

ELEMENTWISE: Final = frozenset(
    name for name, function in FUNCTIONS.items() if getattr(function, "elementwise", True) and callable(function)
)
"""Functions that compute each element of the result from the elements at the same index."""
MOST_OUTPUTS: Final = 64
"""Largest number of outputs of an operation with a rule."""
GRADIENTS: Final = ("grad", *(f"grad{output}" for output in range(1, MOST_OUTPUTS)))
"""The names of the gradients of an operation's outputs, in their order."""
_KNOWN: Final = frozenset(FUNCTIONS) | {*GRADIENTS, "result", "None", "True", "False"}


class LocalRule(Struct, frozen=True, dict=True):
    """The rule of one kind of node, with the names of PyTorch's own definitions for operands, results and options.

    ``value`` is the call that makes the node. ``gradients`` has one expression for each slot of the node, in order: the
    gradient that is sent to this operand. There, ``grad`` is the gradient of ``result``, and ``grad1``, ``grad2`` are those of
    the other outputs. The engine sums the dimensions over which an operand was broadcast, so the expressions do not. Names that
    are neither operands nor saved tensors are options, such as ``dim``; ``options`` has values to try for those that the
    program's text does not show, the default first.

    ``sums`` names the operands whose elements, times factors, add up to the value: both operands of an addition, or one
    operand of a matrix product. A ``plain`` operation only moves or copies elements.
    """

    op: str
    value: str
    gradients: Mapping[str, str]
    options: Mapping[str, tuple[Any, ...]] = {}
    sums: tuple[str, ...] = ()
    plain: bool = False

    @cached_property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """The names that the expression of each operand reads: operands, saved tensors and options."""
        return {operand: names(code) for operand, code in self.gradients.items()}

    @cached_property
    def elementwise(self) -> bool:
        """True if each element of a gradient depends only on the element of ``grad`` at the same index, before the summing."""
        trees = [ast.parse(code, mode="eval") for code in self.gradients.values()]
        return all(
            not isinstance(node, ast.MatMult) and (not isinstance(node, ast.Call) or _called(node) in ELEMENTWISE)
            for tree in trees
            for node in ast.walk(tree)
        )


def names(code: str) -> tuple[str, ...]:
    """Return the names of operands, saved tensors and options in an expression, in the order of their appearance.

    >>> names("grad * exponent * self ** (exponent - 1)")
    ('exponent', 'self')
    """
    tree = ast.parse(code, mode="eval")
    found = [(node.lineno, node.col_offset, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(name for _, _, name in sorted(found) if name not in _KNOWN))


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
