"""Pack a matrix of numbers whose columns change little from row to row, without losing a bit.

A column that equals another column, in the same row or one row later, is stored as a reference. Every other column is stored as
differences between rows. Differences are taken up to :data:`MAX_ORDER` times, as often as makes them smallest. The order of
the bytes helps a general compressor to find the zeros.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct

Matrix = np.ndarray[Any, np.dtype[Any]]

MAX_ORDER: Final = 3
"""Largest number of times that differences are taken. A converging parameter is smooth up to third differences."""
DELAYED: Final = 255
"""Marks a delayed column in :attr:`StoredMatrix.orders`. Its entries repeat those of another column one row later."""
MAX_COMPARED: Final = 100_000
"""Largest number of columns that are searched for equal ones. For more columns, the search takes more time than it saves."""


class StoredMatrix(Struct, frozen=True, array_like=True):
    """A packed matrix of unsigned words."""

    rows: int
    size: int
    """Bytes of a word."""
    source: bytes
    """int32: for each column, the index of the distinct column that equals it, as the difference from the index before."""
    orders: bytes
    """uint8: for each distinct column, how often differences were taken, or :data:`DELAYED`."""
    others: bytes
    """int32: for each delayed column, the index of the distinct column that it repeats."""
    left: bytes
    """Differences of all other distinct columns, in each the first bytes of all words first.

    The first words of the delayed columns follow.
    """


def pack_columns(matrix: Matrix) -> StoredMatrix:
    """Pack a matrix of unsigned words."""
    rows, size = matrix.shape[0], matrix.dtype.itemsize
    distinct, source = _distinct(matrix)
    delayed = _delayed(distinct)
    is_own = np.ones(distinct.shape[1], bool)
    is_own[list(delayed)] = False
    own = np.flatnonzero(is_own)
    orders = np.full(distinct.shape[1], DELAYED, np.uint8)
    left, orders[own] = _differences(distinct[:, own])
    planes = np.ascontiguousarray(left.T).view(np.uint8).reshape(len(own), rows, size).transpose(0, 2, 1)
    heads = distinct[0, sorted(delayed)] if delayed else distinct[0, :0]
    others = np.array([delayed[column] for column in sorted(delayed)], "<i4")
    return StoredMatrix(
        rows,
        size,
        np.diff(source, prepend=np.int32(0)).tobytes(),
        orders.tobytes(),
        others.tobytes(),
        planes.tobytes() + heads.tobytes(),
    )


def unpack_columns(packed: StoredMatrix, which: slice = slice(None)) -> Matrix:
    """Return the matrix, or the columns ``which``. Compute another column only if one of these repeats it."""
    rows, size = packed.rows, packed.size
    word = np.dtype(f"<u{size}")
    source = np.cumsum(np.frombuffer(packed.source, "<i4"))[which]
    orders = np.frombuffer(packed.orders, np.uint8)
    others = np.frombuffer(packed.others, "<i4")
    delayed = np.flatnonzero(orders == DELAYED)
    needed = np.zeros(len(orders), bool)
    needed[source] = True
    needed_delayed = needed[delayed]
    needed[others[needed_delayed]] = True
    own = np.flatnonzero(orders != DELAYED)
    heads = np.frombuffer(packed.left, word, len(delayed), len(own) * rows * size)
    read = needed[own]
    left = np.frombuffer(packed.left, np.uint8, len(own) * rows * size).reshape(len(own), size, rows)[read]
    words = np.ascontiguousarray(left.transpose(0, 2, 1)).view(word).reshape(len(left), rows)
    own = own[read]
    distinct = np.empty((len(orders), rows), word)
    for order in range(MAX_ORDER + 1):
        indices = np.flatnonzero(orders[own] == order)
        if not len(indices):
            continue
        values = words[indices]
        if order:
            values = _unfolded(values)
        for _ in range(order):
            values = np.add.accumulate(values, axis=1, dtype=word)
        distinct[own[indices]] = values
    distinct[delayed[needed_delayed], 1:] = distinct[others[needed_delayed], :-1]
    distinct[delayed[needed_delayed], 0] = heads[needed_delayed]
    return np.asarray(distinct[source].T)


def _distinct(matrix: Matrix) -> tuple[Matrix, np.ndarray[Any, np.dtype[np.int32]]]:
    """Return the distinct columns, and for each column the index of the distinct column that equals it."""
    if len(matrix) == 1 or matrix.shape[1] > MAX_COMPARED:
        return matrix, np.arange(matrix.shape[1], dtype="<i4")
    columns = np.ascontiguousarray(matrix.T)
    indices: dict[bytes, int] = {}
    source = [indices.setdefault(column.tobytes(), len(indices)) for column in columns]
    first: dict[int, int] = {}
    for column_index, index in enumerate(source):
        first.setdefault(index, column_index)
    return matrix[:, list(first.values())], np.array(source, "<i4")


def _delayed(matrix: Matrix) -> dict[int, int]:
    """Return the delayed columns, each with the column that it repeats one row later. The repeated column is never delayed."""
    if len(matrix) < 3 or matrix.shape[1] > MAX_COMPARED:
        return {}
    columns = np.ascontiguousarray(matrix.T)
    without_last = {column[:-1].tobytes(): index for index, column in enumerate(columns)}
    found: dict[int, int] = {}
    needed: set[int] = set()
    for index, column in enumerate(columns):
        other = without_last.get(column[1:].tobytes())
        if other is not None and other != index and other not in found and index not in needed:
            found[index] = other
            needed.add(other)
    return found


def _differences(matrix: Matrix) -> tuple[Matrix, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return for each column its smallest differences, and how often they were taken."""
    orders = np.zeros(matrix.shape[1], np.uint8)
    left, least = matrix.copy(), _bits(matrix)
    taken = matrix
    highest = MAX_ORDER if len(matrix) > 1 else 1  # a single row has no differences: order 1 only folds it
    for order in range(1, highest + 1):
        taken = np.concatenate((taken[:1], taken[1:] - taken[:-1]))
        folded = _folded(taken)
        bits = _bits(folded)
        better = bits < least
        left[:, better], least[better], orders[better] = folded[:, better], bits[better], order
    return left, orders


def _bits(matrix: Matrix) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many bits the words of each column need."""
    return np.asarray(np.frexp(matrix.astype(np.float64))[1].sum(axis=0, dtype=np.int64))


def _folded(words: Matrix) -> Matrix:
    """Return small negative and positive differences as small words: 0, −1, 1, −2 … as 0, 1, 2, 3 …"""
    signed = words.view(f"<i{words.dtype.itemsize}")
    return np.asarray(((signed << 1) ^ (signed >> (8 * words.dtype.itemsize - 1))).view(words.dtype))


def _unfolded(words: Matrix) -> Matrix:
    """Undo :func:`_folded`."""
    one = words.dtype.type(1)
    return np.asarray((words >> one) ^ (-(words & one).view(f"<i{words.dtype.itemsize}")).view(words.dtype))
