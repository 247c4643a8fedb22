"""Compute the derivatives of one element of a rule's expression with respect to every element of `grad`.

A gradient is linear in `grad`. The expression is evaluated once with a traced `grad`, which remembers the transposed operation
of each operation. One pass back through the transposed operations gives all derivatives of the element, in the shape of `grad`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from . import windows
from .evaluate import evaluate, summed_to
from .functions import FUNCTIONS, Array
from .rule import GRADIENTS, LocalRule

_Back = Callable[[Array], Array]
"""A transposed operation: it takes the derivatives by a result and returns the derivatives by an operand."""


class _Traced:
    """An intermediate result that depends on `grad`, with the values from which it was computed."""

    __array_ufunc__ = None  # NumPy's operators leave an operation with it to this class

    def __init__(self, value: Array, *made_from: tuple[_Traced, _Back]) -> None:
        self.value = value
        self.made_from = made_from

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.value.shape
        return shape

    def __neg__(self) -> _Traced:
        return _Traced(-self.value, (self, np.negative))

    def __add__(self, other: Any) -> _Traced:
        return self._sum(other, 1.0)

    __radd__ = __add__

    def __rsub__(self, other: Any) -> _Traced:
        return (-self)._sum(other, 1.0)

    def __sub__(self, other: Any) -> _Traced:
        return self._sum(other, -1.0)

    def _sum(self, other: Any, sign: float) -> _Traced:
        if not isinstance(other, _Traced):
            return _Traced(self.value + sign * np.asarray(other), (self, _to(self.shape)))
        value = self.value + sign * other.value
        return _Traced(value, (self, _to(self.shape)), (other, lambda back: sign * _to(other.shape)(back)))

    def __mul__(self, other: Any) -> _Traced:
        factor = np.asarray(other, np.float64)
        return _Traced(self.value * factor, (self, lambda back: summed_to(back * factor, self.shape)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> _Traced:
        divisor = np.asarray(other, np.float64)
        return _Traced(self.value / divisor, (self, lambda back: summed_to(back / divisor, self.shape)))

    def __matmul__(self, other: Array) -> _Traced:
        def back_of(back: Array) -> Array:
            if other.ndim == 1:
                return back[..., None] * other
            return other @ back if self.ndim == 1 else summed_to(back @ np.swapaxes(other, -1, -2), self.shape)

        return _Traced(np.asarray(self.value @ other), (self, back_of))

    def __rmatmul__(self, other: Array) -> _Traced:
        def back_of(back: Array) -> Array:
            if self.ndim == 1:
                return np.swapaxes(other, -1, -2) @ back
            return other[:, None] * back if other.ndim == 1 else summed_to(np.swapaxes(other, -1, -2) @ back, self.shape)

        return _Traced(np.asarray(other @ self.value), (self, back_of))


def _to(shape: tuple[int, ...]) -> _Back:
    return lambda back: summed_to(back, shape)


def derivatives_of(
    rule: LocalRule,
    operand: str,
    known: Mapping[str, Any],
    result: tuple[int, ...],
    shape: tuple[int, ...],
    element: int,
    output: int = 0,
) -> Array:
    """Return the derivatives of each element of a result by one element of an operand, as a flat array.

    ``result`` and ``shape`` are the shapes of the result and of the operand. ``output`` is the index of the result among the
    outputs of the operation; ``known`` has the gradients of the other outputs. Raises :class:`KeyError` for a name that is not
    known, and NumPy's exceptions for operands that do not fit.
    """
    grad = _Traced(np.zeros(result))
    found = evaluate(rule.gradients[operand], {**known, GRADIENTS[output]: grad}, _FUNCTIONS)
    total = np.zeros(result)
    if isinstance(found, _Traced):
        unit = np.zeros(shape)
        unit.reshape(-1)[element] = 1.0
        extra = found.ndim - len(shape)
        if extra < 0:
            unit = summed_to(unit, found.shape)
        _go_back(found, np.broadcast_to(unit, found.shape), grad, total)
    return total.reshape(-1)


def _go_back(traced: _Traced, back: Array, grad: _Traced, total: Array) -> None:
    if traced is grad:
        total += back
    for each, transposed in traced.made_from:
        _go_back(each, transposed(back), grad, total)


def _moving(function: Callable[..., Any], grad: _Traced, *others: Any) -> _Traced:
    """Trace a function whose results are elements of `grad` or zeros."""
    count = math.prod(grad.shape)
    places = np.asarray(function(np.arange(1.0, count + 1).reshape(grad.shape), *others))
    flat = places.astype(np.int64).reshape(-1)

    def back_of(back: Array) -> Array:
        weights = np.broadcast_to(back, places.shape).reshape(-1)
        return np.bincount(flat, weights, count + 1)[1:].reshape(grad.shape)

    return _Traced(np.zeros(places.shape), (grad, back_of))


def _summing(function: Callable[..., Any], grad: _Traced, *others: Any) -> _Traced:
    """Trace a sum or a mean over dimensions. All elements that are reduced have the same weight."""
    value = np.asarray(function(grad.value, *others))
    weight = float(np.asarray(function(np.ones(grad.shape), *others)).reshape(-1)[0]) * value.size / max(grad.value.size, 1)
    kept = np.asarray(function(np.ones(grad.shape), *others)).ndim == grad.ndim

    def back_of(back: Array) -> Array:
        whole = back if kept else windows.by_channel(back, grad.value)
        return np.broadcast_to(whole, grad.shape) * weight

    return _Traced(value, (grad, back_of))


def _added_at(grad: _Traced, like: Array, places: Array) -> _Traced:
    flat = np.asarray(places, np.int64)
    value = FUNCTIONS["added_at"](grad.value, like, flat)
    return _Traced(value, (grad, lambda back: back.reshape(-1)[flat].reshape(grad.shape)))


def _group_average(grad: _Traced, groups: Array) -> _Traced:
    """Trace an average in the shape of the tensor. The transposed operation is the same average."""
    average = FUNCTIONS["group_average"]
    return _Traced(average(grad.value, groups), (grad, lambda back: average(back, groups)))


def _together(name: str, like: Array, dim: int, *grads: Any) -> _Traced:
    """Trace the gradients that a function puts side by side."""
    traced = [at for at, each in enumerate(grads) if isinstance(each, _Traced)]
    values = [each.value if isinstance(each, _Traced) else each for each in grads]
    backs = [(grads[at], _moving(partial(_beside, name, like, dim, values, at), grads[at]).made_from[0][1]) for at in traced]
    return _Traced(np.asarray(FUNCTIONS[name](like, dim, *values)), *backs)


def _beside(name: str, like: Array, dim: int, values: list[Any], at: int, grad: Array) -> Array:
    """Return the result of the function ``name`` with ``grad`` at index ``at``, and zeros in place of the other tensors."""
    others = [None if each is None else np.zeros(np.shape(each)) for each in values]
    return np.asarray(FUNCTIONS[name](like, dim, *others[:at], grad, *others[at + 1 :]))


def _where(condition: Array, first: Any, second: Any) -> _Traced:
    traced = first if isinstance(first, _Traced) else second
    chosen = np.asarray(condition) if traced is first else ~np.asarray(condition)
    return traced * chosen


def _rows_added(grad: _Traced, like: Array, dim: int, index: Array) -> _Traced:
    rows = np.asarray(index, np.int64)
    value = FUNCTIONS["rows_added"](grad.value, like, dim, index)
    return _Traced(value, (grad, lambda back: np.take(back, rows, dim).reshape(grad.shape)))


def _scattered(grad: _Traced, like: Array, dim: int, index: Array) -> _Traced:
    places = np.asarray(index, np.int64)
    places = np.expand_dims(places, dim) if places.ndim < np.ndim(like) else places
    at: list[Any] = list(np.indices(places.shape, sparse=True))
    if at:
        at[dim] = places
    value = FUNCTIONS["scattered"](grad.value, like, dim, index)
    return _Traced(value, (grad, lambda back: back[tuple(at)].reshape(grad.shape)))


def _at_largest(grad: _Traced, x: Array, indices: Array) -> _Traced:
    planes = int(np.prod(x.shape[:-2]))
    places = np.asarray(indices, np.int64).reshape(planes, -1)
    value = windows.at_largest(grad.value, x, indices)
    return _Traced(value, (grad, lambda back: np.take_along_axis(back.reshape(planes, -1), places, 1).reshape(grad.shape)))


def _input_gradient(grad: _Traced, x: Array, weight: Array, stride: Any, padding: Any, dilation: Any, turned: bool) -> _Traced:
    options = stride, padding, dilation
    value = windows.input_gradient(grad.value, x, weight, *options, turned)
    return _Traced(value, (grad, lambda back: windows.input_gradient(back, grad.value, weight, *options, not turned)))


def _kernel_gradient(grad: _Traced, x: Array, weight: Array, stride: Any, padding: Any, dilation: Any, turned: bool) -> _Traced:
    options = stride, padding, dilation
    value = windows.kernel_gradient(grad.value, x, weight, *options, turned)
    return _Traced(value, (grad, lambda back: windows.input_gradient(x, grad.value, back, *options, not turned)))


def _spread_over_windows(grad: _Traced, x: Array, kernel: Any, stride: Any, padding: Any) -> _Traced:
    value = windows.spread_over_windows(grad.value, x, kernel, stride, padding)
    return _Traced(value, (grad, lambda back: windows.average_of_windows(back, grad.value, kernel, stride, padding)))


def _repeated(grad: _Traced, like: Array) -> _Traced:
    shape = (1,) * (grad.ndim - np.ndim(like)) + np.shape(like)
    copies = [whole // one for whole, one in zip(grad.shape, shape, strict=True)]
    value = FUNCTIONS["repeated"](grad.value, like)
    return _Traced(value, (grad, lambda back: np.tile(back.reshape(shape), copies)))


def _cross(x: Any, y: Any) -> _Traced:
    traced, other = (x, y) if isinstance(x, _Traced) else (y, x)
    back_of = partial(np.cross, other) if traced is x else lambda back: np.cross(back, other)
    return _Traced(np.cross(getattr(x, "value", x), getattr(y, "value", y)), (traced, back_of))


_TRACED: Final[Mapping[str, Callable[..., _Traced]]] = {
    "where": _where, "rows_added": _rows_added, "scattered": _scattered, "at_largest": _at_largest, "cross": _cross,
    "input_gradient": _input_gradient, "kernel_gradient": _kernel_gradient, "spread_over_windows": _spread_over_windows,
    "added_at": _added_at, "group_average": _group_average, "repeated": _repeated,
    "joined": partial(_together, "joined"), "stacked": partial(_together, "stacked"),
    "outer": lambda grad, y: _Traced(np.outer(grad.value, y), (grad, lambda back: back @ y)),
    "reversed_sums": lambda grad, dim: _Traced(
        FUNCTIONS["reversed_sums"](grad.value, dim), (grad, lambda back: np.cumsum(back, dim))
    ),
    **{name: partial(_summing, FUNCTIONS[name]) for name in (
        "total", "average", "channel_average", "summed_over_all_but_channels")},
    **{name: partial(_moving, FUNCTIONS[name]) for name in (
        "spread", "reshaped", "transposed", "swapped", "unpermuted", "inserted", "flipped", "rolled", "triangle", "at_classes",
        "part_of", "layer_of", "slice_of", "indexed", "without_index", "gathered", "without_places", "rows_of", "without_rows",
        "placed", "collected", "cropped")},
}  # fmt: skip
"""The functions of rules that accept a traced gradient."""


def _either(name: str, *args: Any) -> Any:
    function = _TRACED if any(isinstance(each, _Traced) for each in args) else FUNCTIONS
    return function[name](*args)


_FUNCTIONS: Final[Mapping[str, Any]] = {**FUNCTIONS, **{name: partial(_either, name) for name in _TRACED}}
