"""Replace a number in a program by the value to which a reader drags it."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Final

from ..document import DragTask

ROUNDING: Final = 1e-9
"""Part of a step by which the length of a range may miss whole steps, as 0.3 / 0.1 does."""


def replaced(cells: Sequence[str], name: str, value: float) -> list[str]:
    """Return cells in which the first number bound to a name has another value.

    The number is a literal, a keyword argument, or, for a name such as ``x[1]``, an element of a list such as the one in
    ``x = torch.tensor([1.0, 2.0])``. Raises :class:`ValueError` if there is no such number.

    >>> replaced(["x = torch.tensor([1.0, 2.0])", "step(lr=0.1)"], "x[1]", -2.5)
    ['x = torch.tensor([1.0, -2.5])', 'step(lr=0.1)']
    """
    at, number = _found(cells, name)
    return [*cells[:at], _with(cells[at], number, value), *cells[at + 1 :]]


def current(cells: Sequence[str], name: str) -> float:
    """Return the first number bound to a name. Raises :class:`ValueError` as :func:`replaced` does.

    >>> current(["x = torch.tensor([1.0, -2.0])"], "x[1]")
    -2.0
    """
    _, number = _found(cells, name)
    return float(ast.literal_eval(number))


def nearest(task: DragTask, value: float) -> float:
    """Return the value closest to ``value`` that a task's slider reaches: its lowest one plus whole steps, in its range.

    >>> task = DragTask("m", "fit", low=0.0, high=1.0, step=0.6, moves=[], body=[], sees=[], line=1)
    >>> nearest(task, 0.5), nearest(task, 1.0), nearest(task, -3.0)
    (0.6, 0.6, 0.0)
    """
    most = math.floor((task.high - task.low) / task.step + ROUNDING)
    steps = min(max(round((value - task.low) / task.step), 0), most)
    return float(f"{task.low + steps * task.step:.12g}")


def _found(cells: Sequence[str], name: str) -> tuple[int, ast.expr]:
    """Return the index of the cell with the first number bound to a name, and the number."""
    found = re.fullmatch(r"(\w+)((?:\[\d+\])*)", name)
    if found is None:
        raise ValueError(f"`{name}` is no variable and no element of one: write `m` or `x[0]`.")
    indices = [int(each) for each in re.findall(r"\d+", found[2])]
    for at, cell in enumerate(cells):
        for bound in _bound_to(ast.parse(cell), found[1]):
            if (number := _number(bound, indices)) is not None:
                return at, number
    raise ValueError(f"No number is bound to `{name}`: write `{found[1]} = torch.tensor(1.0)` or `{found[1]} = 1.0`.")


def _bound_to(tree: ast.AST, name: str) -> list[ast.expr]:
    """Return the expressions that are bound to a name, in the order of the program."""
    found = [node.value for node in ast.walk(tree) if _binds(node, name) and isinstance(node, ast.Assign | ast.keyword)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _binds(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(each, ast.Name) and each.id == name for each in node.targets)
    return isinstance(node, ast.keyword) and node.arg == name


def _number(node: ast.expr, indices: Sequence[int]) -> ast.expr | None:
    if isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    for index in indices:
        if not isinstance(node, ast.List | ast.Tuple) or index >= len(node.elts):
            return None
        node = node.elts[index]
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    is_number = isinstance(inner, ast.Constant) and isinstance(inner.value, int | float) and not isinstance(inner.value, bool)
    return node if is_number else None


def _with(cell: str, number: ast.expr, value: float) -> str:
    inner = number.operand if isinstance(number, ast.UnaryOp) else number
    whole = isinstance(inner, ast.Constant) and isinstance(inner.value, int) and value == round(value)
    lines = cell.split("\n")
    line = lines[number.lineno - 1].encode()
    text = f"{value:.0f}" if whole else repr(float(f"{value:.12g}"))
    lines[number.lineno - 1] = (line[: number.col_offset] + text.encode() + line[number.end_col_offset :]).decode()
    return "\n".join(lines)
