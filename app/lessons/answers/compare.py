"""Compare the values that a reader computed with the recorded ones, element by element."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ... import model
from ..document import Scope
from ..values import language
from ..values.bindings import ABSOLUTE, RELATIVE, Bindings
from ..values.language import BindingError

LONGEST_TEXT: Final = 80
"""Largest number of characters of a value in a sentence."""
_OF_GRAPH: Final = ("leaves", "node", "edge")
"""The functions of bindings that read a graph."""
_WORDS: Final[dict[type, str]] = {ast.Lt: "less than", ast.LtE: "at most", ast.Gt: "greater than", ast.GtE: "at least"}


class WrongElement(Struct, frozen=True):
    """The first element that differs: its index, which is empty for a number, and both values."""

    index: list[int]
    yours: float | str
    tape: float | str


class Unequal(Struct, frozen=True):
    """The reason why a condition does not hold. ``node`` is the node to highlight.

    ``of`` is the number of elements, ``differing`` the number of those that differ.
    """

    sentence: str
    wrong: WrongElement | None = None
    differing: int = 0
    of: int = 0
    node: str | None = None


def unmet(condition: ast.expr, bindings: Bindings, own: Scope, tape: Scope) -> Unequal | None:
    """Return why a condition does not hold; ``None`` if it does.

    The left side of a comparison is read in the run of the reader (``own``), and the right side in the recording (``tape``),
    which may be the reader's run, too. Raises :class:`BindingError` if the right side has no value in a lesson's recording.
    """
    if not isinstance(condition, ast.Compare) or len(condition.ops) != 1:
        holds = _read(lambda: bindings.of(condition, own), condition, own)
        if isinstance(holds, Unequal):
            return holds
        return None if bool(np.all(holds)) else Unequal(f"`{ast.unparse(condition)}` does not hold.")
    left, right, op = condition.left, condition.comparators[0], condition.ops[0]
    recorded = bindings.tensor(right, tape)
    if isinstance(op, ast.Eq) and (unlike := _unlike(left, right, bindings.tensor(left, own), recorded)):
        return unlike
    expected = _read(lambda: bindings.of(right, own), right, own) if own == tape else bindings.of(right, tape)
    found = _read(lambda: bindings.of(left, own), left, own)
    if missing := next((each for each in (found, expected) if isinstance(each, Unequal)), None):
        return missing
    if isinstance(op, ast.Eq):
        return _unequal(left, right, found, expected, of_tensor=recorded is not None)
    if bindings.of(condition, own) if own == tape else _holds(op, found, expected):
        return None
    return Unequal(f"`{ast.unparse(left)}` is {shown(found)}, not {_WORDS.get(type(op), 'other than')} {shown(expected)}.")


def _read(read: Callable[[], Any], node: ast.expr, own: Scope) -> Any:
    """Return what ``read`` returns, or why the reader's code has no such value."""
    try:
        return read()
    except BindingError:
        return Unequal(_missing(node, own))


def _missing(node: ast.expr, own: Scope) -> str:
    """Return a sentence on a value that the reader's code does not have: a step, a graph, or a variable."""
    parts = list(ast.walk(node))
    if any(isinstance(each, ast.Subscript) and ast.unparse(each.value) == own.recording for each in parts):
        return "Your code makes fewer steps of training than the task needs."
    for each in parts:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in _OF_GRAPH and each.args:
            name = ast.unparse(each.args[0])
            return f"Your code makes no graph with `{name}` in it: a graph needs a tensor that requires a gradient."
    names = ", ".join(f"`{ast.unparse(path)}`" for path in language.paths(node, frozenset())) or f"`{ast.unparse(node)}`"
    return f"{names} has no value after your code: assign it."


def _holds(op: ast.cmpop, left: Any, right: Any) -> bool:
    compare = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}.get(type(op))
    if compare is None or left is None or right is None:
        return left is not right
    return bool(np.all(compare(left, right)))


def _unlike(
    left: ast.expr, right: ast.expr, own: model.TensorSummary | None, recorded: model.TensorSummary | None
) -> Unequal | None:
    """Return how two tensors differ in shape or in dtype; ``None`` if they do not, or if one of them is no tensor.

    This needs no elements, which a recording does not keep of large tensors.
    """
    if own is None or recorded is None:
        return None
    name, other = f"`{ast.unparse(left)}`", f"`{ast.unparse(right)}`"
    if own.shape != recorded.shape:
        return Unequal(f"{name} has the shape {own.shape}, but {other} has {recorded.shape}.", node=node_of(right))
    if own.dtype != recorded.dtype:
        return Unequal(f"{name} is {own.dtype}, but {other} is {recorded.dtype}.", node=node_of(right))
    return None


def _unequal(left: ast.expr, right: ast.expr, found: Any, expected: Any, *, of_tensor: bool) -> Unequal | None:
    """Return the first difference between two values: in kind, in shape, or in an element.

    With ``of_tensor``, ``expected`` are the elements of a tensor. A single number is then not equal to several elements.
    """
    name, other = f"`{ast.unparse(left)}`", f"`{ast.unparse(right)}`"
    node = node_of(right)
    if isinstance(found, str) and isinstance(expected, np.ndarray | np.generic):
        short = found if len(found) <= LONGEST_TEXT else f"{found[:LONGEST_TEXT]}…"
        return Unequal(f"{name} is {short}: it must be a tensor, a number or a list of numbers.", node=node)
    if not isinstance(found, np.ndarray | np.generic | bool) or not isinstance(expected, np.ndarray | np.generic | bool):
        same = isinstance(expected, str) and found == expected if isinstance(found, str) else found is expected
        return None if same else Unequal(f"{name} is {shown(found)}, but {other} is {shown(expected)}.", node=node)
    mine, theirs = np.asarray(found, np.complex128), np.asarray(expected, np.complex128)
    if mine.shape != theirs.shape and of_tensor:
        return Unequal(f"{name} has the shape {list(mine.shape)}, but {other} has {list(theirs.shape)}.", node=node)
    try:
        mine, theirs = np.broadcast_arrays(mine, theirs)
    except ValueError:
        return Unequal(f"{name} has the shape {list(mine.shape)}, but {other} has {list(theirs.shape)}.", node=node)
    differs = ~np.isclose(mine, theirs, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    if not differs.any():
        return None
    index = [int(each) for each in np.argwhere(differs)[0]]
    wrong = WrongElement(index, _number(mine[tuple(index)]), _number(theirs[tuple(index)]))
    count = int(differs.sum())
    at = f"{name[:-1]}{index}`" if index else name
    rest = f" {count} of {differs.size} elements differ." if differs.size > 1 else ""
    has = shown(theirs[tuple(index)])
    wanted = f"not {has}" if _is_number(right) else f"but {other} has {has}{' there' if index else ''}"
    sentence = f"{at} is {shown(mine[tuple(index)])}, {wanted}.{rest}"
    return Unequal(sentence, wrong, count, differs.size, node)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def node_of(node: ast.expr) -> str | None:
    """Return the name of the node whose number an expression reads: `m` of ``m.grad`` and of ``node(m).grad``."""
    root = language.root_of(node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult) else node)
    if isinstance(root, ast.Call) and root.args:
        first = root.args[0]
        return str(first.value) if isinstance(first, ast.Constant) else ast.unparse(first)
    return root.id if isinstance(root, ast.Name) else None


def _number(value: Any) -> float | str:
    number = complex(value)
    return number.real if number.imag == 0 and np.isfinite(number.real) else str(value)


def shown(value: Any) -> str:
    """Return a value as text for a person, with four decimals.

    >>> shown(np.float64(-9.33333)), shown(np.array([1.0, 0.5])), shown(None), shown(1.526e-5)
    ('−9.3333', '[1, 0.5]', 'None', '1.526e−05')
    """
    if value is None or isinstance(value, bool | str | np.bool_):
        return str(value)
    array = np.asarray(value)
    if array.ndim:
        items = ", ".join(shown(each) for each in array[:8])
        return f"[{items}{', …' if len(array) > 8 else ''}]"
    number = complex(array.item())
    if number.imag:
        return f"{number:.4f}".replace("-", "−")
    text = (
        f"{number.real:.4f}".rstrip("0").rstrip(".") if number.real == 0 or abs(number.real) >= 0.001 else f"{number.real:.3e}"
    )
    return text.replace("-", "−")
