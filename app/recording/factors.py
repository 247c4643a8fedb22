"""Name the local derivative of an edge: the factor by which a node multiplies the gradient before sending it on.

The factor comes from the rule of the node's class (see :mod:`tapedeck.formulas`). It is written with expressions of the
program, such as ``(y_pred - y) ** 2``. An edge has no factor if its operation, text or operand is uncertain: a wrong factor is
worse than no factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ..formulas import RULES
from ..formulas.written import EdgeFactor, edge_factors
from ..model import Node, TensorSummary

LONGEST: Final = 22
"""Largest number of characters of a factor."""
LONGEST_CACHED: Final = 300
"""Largest number of characters of the texts of an operation and its operand whose factor is cached."""


def edge_factor(
    lines: Sequence[str], ends: tuple[Node, Node], sent: TensorSummary | None, arrived: TensorSummary | None
) -> EdgeFactor | None:
    """Return the local derivative of an edge of a program with these lines, or ``None`` if it is not certain.

    ``ends`` are the edge's source and target, ``sent`` is the gradient on the edge, ``arrived`` the one that the source used.
    """
    source, target = ends
    rule = RULES.get(source.op)
    if rule is None or sent is None or arrived is None or "complex" in f"{sent.dtype}{arrived.dtype}":
        return None
    expression = _expression(lines, source)
    if expression is None or source.outputs != 1 or source.backward_of is not None:
        return None
    sizes = math.prod(sent.shape), math.prod(arrived.shape)
    texts: list[str | None] = [text for text in (target.name, _expression(lines, target)) if text]
    if target.kind == "leaf" and len(rule.gradients) == 1:
        texts.append(None)  # the leaf may have another name here, such as `h` after `h = w`
    found = (_factor(source.op, expression, text, *sizes) for text in texts)
    return next((each for each in found if each is not None and len(each.text) <= LONGEST), None)


def _factor(op: str, expression: str, operand: str | None, sent: int, arrived: int) -> EdgeFactor | None:
    """Return :func:`~tapedeck.formulas.written.edge_factors` for the class ``op``. Results for short expressions are cached."""
    read = _cached_factor if len(expression) + len(operand or "") <= LONGEST_CACHED else _cached_factor.__wrapped__
    return read(op, expression, operand, sent, arrived)


@lru_cache(maxsize=4096)
def _cached_factor(op: str, expression: str, operand: str | None, sent: int, arrived: int) -> EdgeFactor | None:
    return edge_factors(RULES[op], expression, operand, sent, arrived)


def _expression(lines: Sequence[str], node: Node) -> str | None:
    """Return the text that made an operation."""
    if node.kind != "op" or node.file is not None or node.line is None or node.columns is None or node.line > len(lines):
        return None
    start, end = node.columns
    return lines[node.line - 1][start:end] or None
