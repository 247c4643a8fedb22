"""Name the numbers of a recording as a person would: `y_pred[0]`, `∂loss/∂(m * x)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from .. import model
from ..recording import json_number
from .literals import text_of

LONGEST: Final = 28
"""Largest number of characters of an expression that is used as a name."""

_PLAIN: Final = re.compile(r"[\w.]+(\[[\w, ]*\])?")
"""The name of a variable or of a parameter in a module, such as `net.0.weight`, or of an element."""


def node_name(lines: Sequence[str], node: model.Node) -> str:
    """Return the name of a node: its variable, else its expression if that is short, else its operation."""
    if node.name:
        return node.name
    text = text_of(lines, node)
    if text is not None and len(text) <= LONGEST and "\n" not in text:
        return text.strip()
    return f"{re.sub(r'Backward[0-9]*$', '', node.op).lower()} {node.id}"


def factor_name(name: str) -> str:
    """Return a name for use in a product: an expression is put in parentheses.

    >>> factor_name("y_pred"), factor_name("m * x"), factor_name("net.0.weight"), factor_name("f(x)")
    ('y_pred', '(m * x)', 'net.0.weight', 'f(x)')
    >>> factor_name("(a - b)[0]"), factor_name("(a) + b[0]"), factor_name("f(x) + g(x)"), factor_name("exp n5")
    ('(a - b)[0]', '((a) + b[0])', '(f(x) + g(x))', '(exp n5)')
    """
    return name if _PLAIN.fullmatch(name) or _is_primary(name) else f"({name})"


def _is_primary(name: str) -> bool:
    """Return whether an operator before or after an expression applies to the whole of it."""
    try:
        node = ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call)


def with_element(name: str, flat: int, shape: Sequence[int]) -> str:
    """Return the name of an element of a tensor, given its position in the flattened tensor.

    >>> with_element("w", 3, [2, 2]), with_element("m", 0, [])
    ('w[1,1]', 'm')
    """
    if not shape:
        return name
    index = ",".join(str(int(at)) for at in np.unravel_index(flat, tuple(shape)))
    return f"{factor_name(name)}[{index}]"


def shown(value: float | str | None, digits: int = 5) -> str:
    """Return a number as text, with a minus sign.

    >>> shown(-9.3333333), shown(1.0), shown("NaN"), shown(2e-7)
    ('−9.3333', '1', 'NaN', '2e−7')
    """
    if value is None or isinstance(value, str):
        return {"Infinity": "∞", "-Infinity": "−∞"}.get(str(value), str(value))
    text = f"{value:.{digits}g}"
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), text).replace("-", "−")


def number_of(value: float) -> float | str:
    """Return a number for JSON."""
    return json_number(float(value))
