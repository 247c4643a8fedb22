"""Pack a matrix of numbers whose columns change little from row to row: say how each follows from what came before.

A column that equals another, now or a row later, is only named. Of any other, what is left is kept after differences were
taken as often as makes them smallest, byte by byte, so that a general compressor finds the zeros. Nothing is rounded.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct

Matrix = np.ndarray[Any, np.dtype[Any]]

MOST: Final = 3
"""Differences are taken at most so many times: a parameter that converges is smooth to the third."""


class PackedMatrix(Struct, frozen=True, array_like=True):
    """A packed matrix of ``rows``, unsigned words of ``size`` bytes.

    ``source`` int32: for each column its place among those that differ, less the one before. ``orders`` uint8: how many
    differences were taken of each of these, or :data:`LATER` for one that is another a row later, which ``others`` int32
    names. ``left`` are the bytes of what is left, all first ones of a column first; of later ones only their first row.
    """

    rows: int
    size: int
    source: bytes
    orders: bytes
    others: bytes
    left: bytes


LATER: Final = 255
MANY: Final = 100_000
"""PackedMatrix among which equal ones are not looked for: that takes longer than it saves."""


def pack_columns(matrix: Matrix) -> PackedMatrix:
    """Pack a matrix of unsigned words, a row each time."""
    rows, size = matrix.shape[0], matrix.dtype.itemsize
    different, source = _different(matrix)
    later = _later(different)
    own = np.array([place for place in range(different.shape[1]) if place not in later], np.int64)
    orders = np.full(different.shape[1], LATER, np.uint8)
    left, orders[own] = _differences(different[:, own])
    planes = np.ascontiguousarray(left.T).view(np.uint8).reshape(len(own), rows, size).transpose(0, 2, 1)
    heads = different[0, sorted(later)] if later else different[0, :0]
    others = np.array([later[place] for place in sorted(later)], "<i4")
    return PackedMatrix(
        rows,
        size,
        np.diff(source, prepend=np.int32(0)).tobytes(),
        orders.tobytes(),
        others.tobytes(),
        planes.tobytes() + heads.tobytes(),
    )


def unpack_columns(columns: PackedMatrix, which: slice = slice(None)) -> Matrix:
    """The matrix again, to the last bit, or some of its columns: no others are worked out."""
    rows, size = columns.rows, columns.size
    word = np.dtype(f"<u{size}")
    source = np.cumsum(np.frombuffer(columns.source, "<i4"))[which]
    orders = np.frombuffer(columns.orders, np.uint8)
    others = np.frombuffer(columns.others, "<i4")
    later = np.flatnonzero(orders == LATER)
    needed = np.zeros(len(orders), bool)
    needed[source] = True
    asked = needed[later]
    needed[others[asked]] = True
    own = np.flatnonzero(orders != LATER)
    heads = np.frombuffer(columns.left, word, len(later), len(own) * rows * size)
    read = needed[own]
    left = np.frombuffer(columns.left, np.uint8, len(own) * rows * size).reshape(len(own), size, rows)[read]
    words = np.ascontiguousarray(left.transpose(0, 2, 1)).view(word).reshape(len(left), rows)
    own = own[read]
    different = np.empty((len(orders), rows), word)
    for order in range(MOST + 1):
        places = np.flatnonzero(orders[own] == order)
        if not len(places):
            continue
        found = words[places]
        if order:
            found = _folded_back(found)
        for _ in range(order):
            found = np.add.accumulate(found, axis=1, dtype=word)
        different[own[places]] = found
    different[later[asked], 1:] = different[others[asked], :-1]
    different[later[asked], 0] = heads[asked]
    return np.asarray(different[source].T)


def _different(matrix: Matrix) -> tuple[Matrix, np.ndarray[Any, np.dtype[np.int32]]]:
    """The columns that differ, and for each column its place among them."""
    if len(matrix) == 1 or matrix.shape[1] > MANY:
        return matrix, np.arange(matrix.shape[1], dtype="<i4")
    turned = np.ascontiguousarray(matrix.T)
    places: dict[bytes, int] = {}
    source = [places.setdefault(column.tobytes(), len(places)) for column in turned]
    first: dict[int, int] = {}
    for at, place in enumerate(source):
        first.setdefault(place, at)
    return matrix[:, list(first.values())], np.array(source, "<i4")


def _later(matrix: Matrix) -> dict[int, int]:
    """The columns that are another one a row later, and that other one, which is none of them."""
    if len(matrix) < 3 or matrix.shape[1] > MANY:
        return {}
    turned = np.ascontiguousarray(matrix.T)
    before = {column[:-1].tobytes(): place for place, column in enumerate(turned)}
    found: dict[int, int] = {}
    needed: set[int] = set()
    for place, column in enumerate(turned):
        other = before.get(column[1:].tobytes())
        if other is not None and other != place and other not in found and place not in needed:
            found[place] = other
            needed.add(other)
    return found


def _differences(matrix: Matrix) -> tuple[Matrix, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Of each column what is left after as many differences as leave least, and how many those are."""
    orders = np.zeros(matrix.shape[1], np.uint8)
    left, least = matrix.copy(), _bits(matrix)
    taken = matrix
    for order in range(1, MOST + 1):
        taken = np.concatenate((taken[:1], taken[1:] - taken[:-1]))
        folded = _folded(taken)
        bits = _bits(folded)
        better = bits < least
        left[:, better], least[better], orders[better] = folded[:, better], bits[better], order
    return left, orders


def _bits(matrix: Matrix) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many bits the words of each column need together."""
    return np.asarray(np.frexp(matrix.astype(np.float64))[1].sum(axis=0, dtype=np.int64))


def _folded(words: Matrix) -> Matrix:
    """Small differences either way as small words: 0, −1, 1, −2 … as 0, 1, 2, 3 …"""
    signed = words.view(f"<i{words.dtype.itemsize}")
    return np.asarray(((signed << 1) ^ (signed >> (8 * words.dtype.itemsize - 1))).view(words.dtype))


def _folded_back(words: Matrix) -> Matrix:
    one = words.dtype.type(1)
    return np.asarray((words >> one) ^ (-(words & one).view(f"<i{words.dtype.itemsize}")).view(words.dtype))
