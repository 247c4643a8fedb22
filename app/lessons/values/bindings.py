"""Evaluate the bindings of a lesson over its recordings."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ... import model
from ..document import Scope
from . import language
from .language import BindingError
from .observed import Observed

Value = Any
"""A value of a binding: an array of float64 (0-dimensional for a number), a list, a text, a boolean, or ``None``."""

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Tolerance of ``==`` between numbers. The same float32 operations in another order differ by less."""

_NUMERIC: Final[dict[str, Callable[..., Value]]] = {
    "sum": np.sum, "mean": np.mean, "abs": np.abs, "min": np.min, "max": np.max, "sqrt": np.sqrt, "exp": np.exp, "log": np.log,
    "norm": lambda array: np.sqrt(np.sum(np.square(array))),
}  # fmt: skip
_OPERATORS: Final[dict[type, Callable[[Value, Value], Value]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


class ReadAt(Struct, frozen=True):
    """The time at which a name is read: in a step, in a phase of that step, or after the last execution of a line."""

    step: int | None = None
    phase: str | None = None
    line: int | None = None


class Bindings:
    """The recordings of a lesson by name. Methods raise :class:`BindingError` for a binding without a value."""

    def __init__(self, recordings: Mapping[str, Observed]) -> None:
        self._recordings = recordings

    def value(self, text: str, scope: Scope | None) -> Value:
        """Return the value of a binding, in which a name without a recording is read at ``scope``."""
        return self.of(language.parse(text), scope)

    def of(self, node: ast.expr, scope: Scope | None) -> Value:
        """Return the value of a parsed binding."""
        with np.errstate(all="ignore"):
            try:
                return _Evaluation(self._recordings, scope).value(node, ReadAt())
            except (TypeError, ValueError, LookupError, ArithmeticError) as error:
                if isinstance(error, BindingError):
                    raise
                raise BindingError(f"`{ast.unparse(node)}` cannot be computed: {error}.") from error

    def tensor(self, node: ast.expr, scope: Scope | None) -> model.TensorSummary | None:
        """Return the tensor that a path refers to at the end of a cell; ``None`` if the binding is no path to a tensor."""
        recordings = self._recordings
        if scope is None or next(language.paths(node, recordings.keys()), None) is not node:
            return None
        if (end := language.of_end(node, recordings.keys())) is not None:
            return recordings[end[0]].tensor_at_end(end[1], None)
        return recordings[scope.recording].tensor_at_end(ast.unparse(node), scope.cell)


class _Evaluation:
    def __init__(self, recordings: Mapping[str, Observed], scope: Scope | None) -> None:
        self._recordings = recordings
        self._scope = scope

    @property
    def _here(self) -> Observed:
        if self._scope is None:
            raise BindingError("There is no recording above: a binding needs a cell before it.")
        if self._scope.recording not in self._recordings:
            raise BindingError(f"There is no recording `{self._scope.recording}`.")
        return self._recordings[self._scope.recording]

    def value(self, node: ast.expr, at: ReadAt) -> Value:
        match node:
            case ast.Constant(value=value):
                return np.float64(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return np.array([self._number(item, at) for item in items])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not _truth(self.value(operand, at))
            case ast.UnaryOp(operand=operand):
                return -self._number(operand, at)
            case ast.BoolOp(op=op, values=values):
                truths = (_truth(self.value(each, at)) for each in values)
                return all(truths) if isinstance(op, ast.And) else any(truths)
            case ast.BinOp(op=ast.MatMult(), left=left, right=right):
                where = language.instant(right)
                moved = ReadAt(at.step, line=where) if isinstance(where, int) else ReadAt(at.step, phase=where)
                return self.value(left, moved)
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATORS[type(op)](self._number(left, at), self._number(right, at))
            case ast.Compare():
                return self._compare(node, at)
            case ast.Call():
                return self._call(node, at, None, self._here if not isinstance(node.func, ast.Attribute) else None)
        return self._path(node, at)

    def _number(self, node: ast.expr, at: ReadAt) -> Value:
        value = self.value(node, at)
        if value is None or isinstance(value, str):
            raise BindingError(f"`{ast.unparse(node)}` is {value!r}, not a number.")
        return np.asarray(value, np.float64) if not np.iscomplexobj(value) else value

    def _compare(self, node: ast.Compare, at: ReadAt) -> bool:
        left = self.value(node.left, at)
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator, at)
            if isinstance(op, ast.Eq | ast.Is):
                holds = equal(left, right)
            elif isinstance(op, ast.NotEq | ast.IsNot):
                holds = not equal(left, right)
            else:
                if left is None or right is None:
                    raise BindingError(f"`{ast.unparse(node)}` compares with None.")
                holds = bool(np.all(_OPERATORS[type(op)](left, right)))
            if not holds:
                return False
            left = right
        return True

    def _call(self, node: ast.Call, at: ReadAt, step: int | None, of: Observed | None) -> Value:
        """Return the result of a function. ``step`` is the index of a step, as 3 in ``fit[3].node(loss)``."""
        if isinstance(node.func, ast.Name) and node.func.id in language.NUMERIC:
            if len(node.args) != 1 or node.keywords:
                raise BindingError(f"`{ast.unparse(node)}`: the function takes one value.")
            if node.func.id == "len":
                value = self.value(node.args[0], at)
                return np.float64(len(value))
            return _NUMERIC[node.func.id](self._number(node.args[0], at))
        if isinstance(node.func, ast.Attribute):
            of, step = self._step(node.func.value)
            name = node.func.attr
        else:
            assert isinstance(node.func, ast.Name)
            name = node.func.id
        assert of is not None
        if name in ("slope", "difference"):
            return of.difference(language.difference(node))
        stop = self._scope.cell if self._scope is not None and step is None and of is self._here else None
        arguments = [_argument(each) for each in node.args]
        options = {each.arg or "": _argument(each.value) for each in node.keywords}
        return of.call(name, arguments, options, step=step, cell=stop)

    def _path(self, node: ast.expr, at: ReadAt) -> Value:
        """Return the value of a variable or of a function's result, or of an attribute or element of these."""
        root = language.root_of(node)
        if isinstance(root, ast.Call):
            return _attribute_of(self._call_of(root, at), node, root)
        if not isinstance(root, ast.Name):
            raise BindingError(f"`{ast.unparse(node)}` is not a value of the program.")
        if root.id == "error":
            return self._here.error
        if root.id in self._recordings:
            if (end := language.of_end(node, self._recordings.keys())) is not None:
                return self._recordings[end[0]].at_end(end[1], None)
            if ast.unparse(node) == f"{root.id}.error":
                return self._recordings[root.id].error
            first = _first_step(node, root)
            of, step = self._step(first)
            return of.in_step(_rest(node, first), step, at.phase)
        if at.line is not None:
            return self._here.at_line(ast.unparse(node), at.line)
        if at.phase is not None:
            return self._here.in_step(ast.unparse(node), self._here.last_step(self._scope), at.phase)
        assert self._scope is not None or self._here
        return self._here.at_end(ast.unparse(node), self._scope.cell if self._scope else None)

    def _call_of(self, node: ast.Call, at: ReadAt) -> Value:
        return self._call(node, at, None, None if isinstance(node.func, ast.Attribute) else self._here)

    def _step(self, node: ast.expr) -> tuple[Observed, int]:
        """Return the recording and the index of the step of ``fit[3]`` or ``fit[-1]``."""
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name) or node.value.id not in self._recordings:
            raise BindingError(f"`{ast.unparse(node)}` is no step of a recording: write `fit[3]` or `fit[-1]`.")
        of, index = self._recordings[node.value.id], language.index_of(node)
        assert index is not None
        return of, of.step_index(index)


def _first_step(node: ast.expr, root: ast.Name) -> ast.expr:
    """Return the part ``fit[3]`` of ``fit[3].m.grad``."""
    while isinstance(node, ast.Attribute | ast.Subscript) and node.value is not root:
        node = node.value
    return node


def _rest(node: ast.expr, first: ast.expr) -> str:
    """Return the part ``m.grad`` of ``fit[3].m.grad``."""
    text, start = ast.unparse(node), ast.unparse(first)
    if not text.startswith(f"{start}."):
        raise BindingError(f"`{text}` does not name a value of the step: write `{start}.loss`.")
    return text.removeprefix(f"{start}.")


def _argument(node: ast.expr) -> Any:
    """Return an argument of a function of the recording: a number, or the name or text of a node."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant) and isinstance(node.op, ast.USub):
        return -node.operand.value  # type: ignore[operator]  # a wrong type is reported as an error of the binding
    return ast.unparse(node)


def _attribute_of(value: Value, node: ast.expr, call: ast.expr) -> Value:
    """Return an attribute or element of a function's result, such as ``.grad`` of a node."""
    if node is call:
        return value
    assert isinstance(node, ast.Attribute | ast.Subscript)
    inner = _attribute_of(value, node.value, call)
    if isinstance(node, ast.Subscript):
        return inner[language.index_of(node)]
    if not isinstance(inner, dict) or node.attr not in inner:
        has = ", ".join(f".{each}" for each in inner) if isinstance(inner, dict) else "no attributes"
        raise BindingError(f"`{ast.unparse(node.value)}` has no `.{node.attr}`: it has {has}.")
    found = inner[node.attr]
    return found() if callable(found) else found


def _truth(value: Value) -> bool:
    return bool(np.all(value)) if isinstance(value, np.ndarray) else bool(value)


def equal(left: Value, right: Value, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> bool:
    """Return whether two values are equal: numbers within the tolerance, of equal shapes unless one is a single number."""
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        return left is right or (isinstance(left, str) and isinstance(right, str) and left == right)
    one, other = np.asarray(left, np.complex128), np.asarray(right, np.complex128)
    if one.shape != other.shape and one.size != 1 and other.size != 1:
        return False
    return bool(np.isclose(one, other, rtol=relative, atol=absolute, equal_nan=True).all())
