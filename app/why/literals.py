"""Read the numbers that the program's text gives to a call."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from .. import model

_SAME: Final = {"axis": "dim", "min_value": "min", "max_value": "max", "p": "exponent", "pad": "padding"}
"""Other names of an option."""


def text_of(lines: Sequence[str], node: model.Node) -> str | None:
    """Return the expression of the program that made an operation, if it is on one line of the program."""
    if node.kind != "op" or node.file is not None or node.line is None or node.columns is None or node.line > len(lines):
        return None
    start, end = node.columns
    return lines[node.line - 1][start:end] or None


def literals(lines: Sequence[str], node: model.Node) -> Mapping[str, Sequence[Any]]:
    """Return the literal arguments of the call that made a node, by keyword. Positional ones are under ``""``."""
    text = text_of(lines, node)
    return _of_expression(text) if text is not None else {}


@lru_cache(maxsize=2048)
def _of_expression(text: str) -> Mapping[str, Sequence[Any]]:
    """Return the literals of the outermost call or operation of an expression.

    >>> _of_expression("x.sum(dim=1)"), _of_expression("(a - b) ** 2")["exponent"], _of_expression("x.clamp(0, 1)")["max"]
    ({'dim': [1]}, [2], [1])
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, list[Any]] = {}
    given: list[ast.expr] = []
    name = ""
    if isinstance(tree, ast.BinOp):
        given, name = [tree.left, tree.right], "**" if isinstance(tree.op, ast.Pow) else ""
    elif isinstance(tree, ast.Call):
        given, name = tree.args, tree.func.attr if isinstance(tree.func, ast.Attribute) else ""
        for keyword in tree.keywords:
            if keyword.arg is not None and (value := _literal(keyword.value)) is not None:
                found.setdefault(_SAME.get(keyword.arg, keyword.arg), []).append(value)
    elif isinstance(tree, ast.Subscript):
        given = [tree.slice]
    numbers = [value for each in given if (value := _literal(each)) is not None]
    if numbers:
        found[""] = numbers
        for option in ("dim", "dims"):
            found.setdefault(option, list(numbers))
        if name == "**":
            found["exponent"] = numbers
        if name in ("clamp", "clip"):
            found.setdefault("min", numbers[:1])
            found.setdefault("max", numbers[1:2])
        if name == "permute" and len(numbers) > 1:
            found["dims"] = [tuple(numbers)]
    return found


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal number or tuple of numbers; ``None`` for anything else."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    listed = tuple(value) if isinstance(value, list) else value
    numbers = listed if isinstance(listed, tuple) else (listed,)
    return listed if numbers and all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers) else None
