"""Define the functions that rules use, on NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from . import places, windows

Array = np.ndarray[Any, np.dtype[Any]]
Dims = int | tuple[int, ...] | None
"""Dimensions of a reduction; ``None`` for all."""
_F = TypeVar("_F", bound=Callable[..., Any])

erf: Final = np.vectorize(math.erf, otypes=[float])


def _moves(function: _F) -> _F:
    """Mark a function that moves, copies or combines elements of different indices."""
    function.elementwise = False  # type: ignore[attr-defined]
    return function


def sigmoid(x: Array) -> Array:
    """Return the logistic function."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(x))))


@_moves
def total(x: Array, dim: Dims = None) -> Array:
    """Return the sum over dimensions, which remain with the size 1."""
    found: Array = np.sum(x, axis=dim, keepdims=True)
    return found


@_moves
def average(x: Array, dim: Dims = None) -> Array:
    """Return the mean over dimensions, which remain with the size 1."""
    found: Array = np.mean(x, axis=dim, keepdims=True)
    return found


@_moves
def size(x: Array, dim: Dims = None) -> int:
    """Return the number of elements along dimensions."""
    shape = np.shape(x)
    return math.prod(shape if dim is None else (shape[each] for each in _listed(dim)))


@_moves
def spread(grad: Array, like: Array, dim: Dims = None) -> Array:
    """Return the gradient of a reduction at every element that was reduced. The reduction may have kept its dimensions."""
    shape = np.shape(like)
    if grad.ndim < len(shape):
        dims = tuple(range(len(shape))) if dim is None else tuple(each % len(shape) for each in _listed(dim))
        grad = np.expand_dims(grad, dims)
    return np.broadcast_to(grad, shape)


@_moves
def reshaped(grad: Array, like: Array) -> Array:
    """Return the same elements in the shape of another tensor."""
    return grad.reshape(np.shape(like))


@_moves
def transposed(x: Array) -> Array:
    """Return a matrix, or a batch of matrices, with rows and columns exchanged."""
    return np.swapaxes(x, -1, -2) if np.ndim(x) > 1 else np.asarray(x)


@_moves
def swapped(grad: Array, dim0: int, dim1: int) -> Array:
    """Return a tensor with two dimensions exchanged."""
    return np.swapaxes(grad, dim0, dim1)


@_moves
def unpermuted(grad: Array, dims: tuple[int, ...]) -> Array:
    """Return a tensor with its dimensions in the order that they had before ``permute(dims)``."""
    return np.transpose(grad, np.argsort([each % grad.ndim for each in dims]))


@_moves
def outer(x: Array, y: Array) -> Array:
    """Return the matrix of the products of two vectors' elements."""
    return np.outer(x, y)


@_moves
def inserted(grad: Array, like: Array, dim: int, start: int, step: int | None = None) -> Array:
    """Return zeros in the shape of ``like`` with a gradient at index ``start`` of a dimension, or at each ``step``-th index."""
    whole = np.zeros(np.shape(like), grad.dtype)
    length: int = whole.shape[dim]
    begin = start + length if start < 0 else start
    if step is None:
        whole[(slice(None),) * (dim % whole.ndim) + (begin,)] = grad
    else:
        kept = slice(begin, begin + step * grad.shape[dim], step)
        whole[(slice(None),) * (dim % whole.ndim) + (kept,)] = grad
    return whole


@_moves
def scattered(grad: Array, like: Array, dim: int, index: Array) -> Array:
    """Return zeros in the shape of ``like`` with each gradient added at its index along a dimension."""
    whole = np.zeros(np.shape(like), grad.dtype)
    index = np.asarray(index, np.int64)
    if index.ndim < whole.ndim:
        index, grad = np.expand_dims(index, dim), np.expand_dims(grad, dim)
    at: list[Any] = list(np.indices(index.shape, sparse=True))
    at[dim] = index
    np.add.at(whole, tuple(at), grad)
    return whole


@_moves
def rows_added(grad: Array, like: Array, dim: int, index: Array) -> Array:
    """Return zeros in the shape of ``like`` with each slice of a gradient added at its index along a dimension."""
    moved = np.zeros(np.shape(like), grad.dtype)
    at: Any = (slice(None),) * (dim % moved.ndim) + (np.asarray(index, np.int64),)
    np.add.at(moved, at, grad)
    return moved


@_moves
def reversed_sums(grad: Array, dim: int) -> Array:
    """Return at each index the sum of the elements from there to the end."""
    found: Array = np.flip(np.cumsum(np.flip(grad, dim), dim), dim)
    return found


@_moves
def flipped(grad: Array, dims: tuple[int, ...]) -> Array:
    """Return a tensor in reverse order along dimensions."""
    return np.flip(grad, dims)


@_moves
def rolled(grad: Array, shift: int, dim: Dims) -> Array:
    """Return a tensor with its elements moved along a dimension, those at the end to the start."""
    return np.roll(grad, shift, dim)


@_moves
def triangle(grad: Array, upper: bool, diagonal: int) -> Array:
    """Return a matrix with zeros below a diagonal, or above it."""
    return np.triu(grad, diagonal) if upper else np.tril(grad, diagonal)


@_moves
def cross(x: Array, y: Array) -> Array:
    """Return the cross product of vectors along the last dimension."""
    return np.cross(x, y)


@_moves
def inverse(x: Array) -> Array:
    """Return the inverse of a matrix."""
    return np.asarray(np.linalg.inv(x))


@_moves
def identity(x: Array) -> Array:
    """Return the identity matrix in the shape of a matrix."""
    return np.eye(*np.shape(x))


@_moves
def repeated(grad: Array, like: Array) -> Array:
    """Return the sum over the copies that ``repeat`` made of a tensor."""
    shape = np.shape(like)
    shape = (1,) * (grad.ndim - len(shape)) + shape
    split = grad.reshape([part for whole, one in zip(grad.shape, shape, strict=True) for part in (whole // one, one)])
    return np.asarray(split.sum(axis=tuple(range(0, split.ndim, 2)))).reshape(np.shape(like))


@_moves
def at_classes(grad: Array, like: Array, target: Array) -> Array:
    """Return zeros in the shape of ``like`` with a gradient for each row at the index of its class."""
    whole = np.zeros(np.shape(like))
    classes = np.asarray(target, np.int64)
    if whole.ndim == 1:
        whole[classes] = grad
    else:
        np.put_along_axis(whole, np.expand_dims(classes, 1), np.broadcast_to(grad, classes.shape)[:, None], 1)
    return whole


@_moves
def part_of(grad: Array, at: int, dim: int, *tensors: Array | None) -> Array:
    """Return the part of a gradient that belongs to tensor ``at`` of those that ``cat`` joined.

    A tensor that is not known is ``None``. Either a single one is in front of the part and none is behind it, or all are
    behind it. Otherwise, raises :class:`ValueError`.
    """
    sizes = [None if each is None else np.shape(each)[dim] for each in tensors]
    own, front = sizes[at], sizes[:at]
    if own is None or front.count(None) > 1 or (None in front and None in sizes[at:]):
        raise ValueError("The sizes of the tensors in front are not known.")
    behind = sum(each or 0 for each in sizes[at:])
    start = grad.shape[dim] - behind if None in front else sum(each or 0 for each in front)
    return np.asarray(np.take(grad, range(start, start + own), dim))


@_moves
def joined(like: Array, dim: int, *parts: Array | None) -> Array:
    """Return tensors side by side along a dimension, in the shape of ``like``, with zeros for those that are ``None``.

    The parts have the same size, except perhaps the last one. If sizes differ otherwise, only one part may be ``None``.
    """
    shape = np.shape(like)
    sizes = [None if each is None else np.shape(each)[dim] for each in parts]
    given = [each for each in sizes[:-1] if each is not None]
    left = shape[dim] - sum(each for each in sizes if each is not None)
    missing = [at for at, each in enumerate(sizes) if each is None]
    for at in missing:
        rest = left if at == missing[-1] else given[0] if given else -(-left // len(missing))
        sizes[at], left = rest, left - rest
    zeros = [(*shape[: dim % len(shape)], length or 0, *shape[dim % len(shape) + 1 :]) for length in sizes]
    return np.concatenate([np.zeros(each) if part is None else part for part, each in zip(parts, zeros, strict=True)], dim)


@_moves
def stacked(like: Array, dim: int, *layers: Array | None) -> Array:
    """Return tensors as the layers of one tensor in the shape of ``like``, with zeros for those that are ``None``."""
    shape = tuple(np.delete(np.shape(like), dim))
    return np.stack([np.zeros(shape) if each is None else each for each in layers], dim)


@_moves
def layer_of(grad: Array, at: int, dim: int) -> Array:
    """Return the part of a gradient that belongs to one of the tensors that ``stack`` joined."""
    return np.asarray(np.take(grad, at, dim))


@_moves
def slice_of(grad: Array, like: Array, dim: int, start: int, step: int) -> Array:
    """Return the part of a gradient that a slice took, with the size of ``like`` along a dimension."""
    begin = start + grad.shape[dim] if start < 0 else start
    return np.asarray(np.take(grad, range(begin, begin + step * np.shape(like)[dim], step), dim))


@_moves
def by_group(x: Array, like: Array) -> Array:
    """Return one number for each example and group of channels, in a shape that broadcasts over a tensor."""
    each = np.repeat(x, np.shape(like)[1] // np.shape(x)[1], axis=1)
    return each.reshape(*each.shape, *(1,) * (np.ndim(like) - 2))


@_moves
def group_average(x: Array, groups: Array) -> Array:
    """Return the mean over each group of channels, in the shape of the tensor. ``groups`` has a number for each group."""
    split = x.reshape(*np.shape(groups), -1)
    return np.broadcast_to(split.mean(axis=-1, keepdims=True), split.shape).reshape(x.shape)


@_moves
def attention(query: Array, key: Array, logsumexp: Array, scale: float, mask: Any, causal: bool) -> Array:
    """Return the weights of an attention: the softmax of the scaled products, whose normalization was saved."""
    scores = query @ transposed(key) * scale + mask
    weights = np.exp(scores - logsumexp[..., None])
    return np.tril(weights) if causal else weights


@_moves
def ratio(x: Array, y: Array) -> float:
    """Return the quotient of two tensors of which one is a multiple of the other, rounded to six digits."""
    at = int(np.argmax(np.abs(y)))
    return float(f"{float(np.reshape(x, -1)[at] / np.reshape(y, -1)[at]):.6g}")


def _listed(dim: Dims) -> tuple[int, ...]:
    return () if dim is None else dim if isinstance(dim, tuple) else (dim,)


_OF_WINDOWS: Final = (
    windows.at_largest, windows.by_channel, windows.channel_average, windows.input_gradient, windows.kernel_gradient,
    windows.spread_over_windows, windows.summed_over_all_but_channels,
)  # fmt: skip
_OF_PLACES: Final = (
    places.added_at, places.index_places, places.indexed, places.without_index, places.diagonal_places, places.window_places,
    places.padding_places, places.repeated_places, places.shuffled_places, places.gathered, places.without_places,
    places.rows_of, places.without_rows, places.placed, places.collected, places.cropped, places.half,
)  # fmt: skip
FUNCTIONS: Final[Mapping[str, Any]] = {
    "abs": np.abs, "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "cos": np.cos, "cosh": np.cosh, "erf": erf,
    "exp": np.exp, "floor": np.floor, "log": np.log, "sigmoid": sigmoid, "sign": np.sign, "sin": np.sin, "sinh": np.sinh,
    "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh, "trunc": np.trunc, "where": np.where, "isfinite": np.isfinite,
    "pi": math.pi,
    "at_classes": at_classes, "average": average, "cross": cross, "flipped": flipped, "identity": identity,
    "inserted": inserted, "inverse": inverse, "joined": joined, "layer_of": layer_of, "outer": outer,
    "part_of": part_of, "repeated": repeated, "reshaped": reshaped,
    "reversed_sums": reversed_sums, "rolled": rolled, "rows_added": rows_added, "scattered": scattered, "size": size,
    "spread": spread, "stacked": stacked, "swapped": swapped, "total": total, "transposed": transposed, "triangle": triangle,
    "unpermuted": unpermuted,
    "attention": attention, "by_group": by_group, "group_average": group_average, "ratio": ratio, "slice_of": slice_of,
    **{function.__name__: _moves(function) for function in (*_OF_WINDOWS, *_OF_PLACES)},
}  # fmt: skip
"""The functions and constants of rules, by name."""
