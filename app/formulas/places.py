"""Define the functions of rules that take elements at places, or put them there, on NumPy arrays.

A place is a position in a flattened tensor. An operation that copies elements is described by the places from which it takes
them: its gradient adds each element of ``grad`` at the place from which the result was taken.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def added_at(grad: Array, like: Array, places: Array) -> Array:
    """Return zeros in the shape of ``like`` with each gradient added at its place."""
    count = math.prod(np.shape(like))
    flat = np.asarray(places, np.int64).reshape(-1)
    return np.bincount(flat, np.asarray(grad, np.float64).reshape(-1), count).reshape(np.shape(like))


def _all_places(like: Array) -> Array:
    return np.arange(math.prod(np.shape(like))).reshape(np.shape(like))


def index_places(like: Array, *indices: Array | None) -> Array:
    """Return the places of the elements that an index takes. An index that is ``None`` takes a whole dimension."""
    return np.asarray(_all_places(like)[_index(indices)])


def indexed(grad: Array, *indices: Array | None) -> Array:
    """Return the elements that an index takes."""
    return np.asarray(grad[_index(indices)])


def without_index(grad: Array, *indices: Array | None) -> Array:
    """Return a tensor with zeros at the elements that an index takes."""
    found = np.array(grad)
    found[_index(indices)] = 0
    return found


def _index(indices: tuple[Array | None, ...]) -> tuple[Any, ...]:
    found: list[Any] = []
    for each in indices:
        array = None if each is None else np.asarray(each)
        found.append(slice(None) if array is None else array if array.dtype == bool else array.astype(np.int64))
    given = [at for at, each in enumerate(indices) if each is not None]
    return tuple(found[: given[-1] + 1 if given else 0])


def diagonal_places(like: Array, offset: int) -> Array:
    """Return the places of a diagonal of the first two dimensions."""
    return np.diagonal(_all_places(like), offset)


def window_places(like: Array, dim: int, length: int, step: int) -> Array:
    """Return the places in each window of a dimension. The elements of a window are the last dimension."""
    windows = np.lib.stride_tricks.sliding_window_view(_all_places(like), length, dim)
    return np.asarray(np.take(windows, range(0, windows.shape[dim], step), dim))


def padding_places(like: Array, grad: Array, mode: str) -> Array:
    """Return the places in ``like`` from which a padding copies its elements, in the shape of ``grad``.

    In each dimension, the padding has the same width on both sides. ``mode`` is an option of ``numpy.pad``.
    """
    widths = [(whole - inner) // 2 for whole, inner in zip(np.shape(grad), np.shape(like), strict=True)]
    return np.asarray(np.pad(_all_places(like), [(each, each) for each in widths], mode=mode))  # type: ignore[call-overload]


def repeated_places(like: Array, grad: Array) -> Array:
    """Return the places from which an enlargement by nearest neighbours copies its elements, in the shape of ``grad``."""
    found = _all_places(like)
    for dim, size in enumerate(np.shape(grad)):
        found = np.take(found, np.arange(size) * found.shape[dim] // size, dim)
    return found


def shuffled_places(like: Array, factor: int) -> Array:
    """Return the places in the order of ``pixel_shuffle``, which turns channels into pixels."""
    *batch, channels, height, width = np.shape(like)
    split = _all_places(like).reshape(-1, channels // factor**2, factor, factor, height, width)
    turned = split.transpose(0, 1, 4, 2, 5, 3)
    return turned.reshape(*batch, channels // factor**2, height * factor, width * factor)


def gathered(grad: Array, dim: int, index: Array) -> Array:
    """Return the elements at an index along a dimension."""
    places = np.asarray(index, np.int64)
    inner = tuple(slice(None) if at == dim % grad.ndim else slice(size) for at, size in enumerate(places.shape))
    return np.take_along_axis(grad[inner], places, dim)


def without_places(grad: Array, dim: int, index: Array) -> Array:
    """Return a tensor with zeros at an index along a dimension."""
    found, places = np.array(grad), np.asarray(index, np.int64)
    inner = tuple(slice(None) if at == dim % grad.ndim else slice(size) for at, size in enumerate(places.shape))
    np.put_along_axis(found[inner], places, 0, dim)
    return found


def rows_of(grad: Array, dim: int, index: Array) -> Array:
    """Return the slices at an index of a dimension."""
    return np.asarray(np.take(grad, np.asarray(index, np.int64), dim))


def without_rows(grad: Array, dim: int, index: Array) -> Array:
    """Return a tensor with zeros in the slices at an index of a dimension."""
    found = np.array(grad)
    found[(slice(None),) * (dim % found.ndim) + (np.asarray(index, np.int64),)] = 0
    return found


def placed(grad: Array, like: Array, mask: Array) -> Array:
    """Return zeros in the shape of ``like`` with the elements of ``grad`` where a mask is true."""
    whole = np.zeros(np.shape(like))
    whole[np.broadcast_to(np.asarray(mask, bool), whole.shape)] = grad
    return whole


def collected(grad: Array, like: Array, mask: Array) -> Array:
    """Return the elements where a mask is true, followed by zeros, in the shape of ``like``."""
    whole = np.zeros(np.shape(like))
    found = grad[np.broadcast_to(np.asarray(mask, bool), grad.shape)]
    whole.reshape(-1)[: found.size] = found
    return whole


def cropped(grad: Array, like: Array, pad: tuple[int, ...]) -> Array:
    """Return a tensor without its padding.

    ``pad`` has the widths in front of and behind the last dimension, then those of the dimension before it, and so on.
    """
    fronts = (0,) * (grad.ndim - len(pad) // 2) + tuple(reversed(pad[::2]))
    return grad[tuple(slice(front, front + size) for front, size in zip(fronts, np.shape(like), strict=True))]


def half(x: Array, at: int, dim: int) -> Array:
    """Return the first or the second half of a tensor along a dimension."""
    return np.split(x, 2, dim)[at]
