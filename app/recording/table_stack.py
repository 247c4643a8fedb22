"""Lay packed tables of one layout on top of each other, so that a number is read in all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .. import wire

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
PresentMask = np.ndarray[Any, np.dtype[np.bool_]]

NUMBERS: Final = ("min", "max", "mean", "norm")
"""The statistics of a row of a table, in their order there."""
COUNTS: Final = ("zeros", "nan", "inf")
"""What is counted in a row, likewise."""

_SIZES: Final = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)


def table_layout(table: wire.TensorTable) -> tuple[bytes, ...]:
    """What tables must share to be laid on top of each other: dtypes, flags and shapes."""
    return table.dtype, table.flags, table.ndim, table.dims


class TableStack:
    """Tables of one layout. A column is a number of the same row in each of them.

    ``first`` is one of them, of which only the layout is read; the numbers of all have a row for each.
    """

    def __init__(
        self,
        first: wire.TensorTable,
        values: np.ndarray[Any, np.dtype[np.uint8]],
        stats: FloatArray,
        counts: np.ndarray[Any, np.dtype[np.int64]],
    ) -> None:
        self._first = first
        self._elements = values
        self._told = stats.reshape(len(values), -1, 4)
        self._counted = counts.reshape(len(values), -1, 3)
        self._flags = np.frombuffer(first.flags, np.uint8)
        self._numel = wire.elements(first)
        dtype = np.frombuffer(first.dtype, np.uint8)
        self._stats = _before(self._flags & wire.HAS_STATS != 0)
        self._values = _before(np.where(self._flags & wire.HAS_VALUES, self._numel * _SIZES[dtype], 0))

    @classmethod
    def of(cls, tables: Sequence[wire.TensorTable]) -> TableStack:
        """Lay tables of one layout on top of each other."""
        count = len(tables)
        return cls(
            tables[0],
            np.frombuffer(b"".join([table.values for table in tables]), np.uint8).reshape(count, len(tables[0].values)),
            np.frombuffer(b"".join([table.stats for table in tables]), "<f8"),
            np.frombuffer(b"".join([table.counts for table in tables]), "<i8"),
        )

    def __len__(self) -> int:
        return len(self._elements)

    def shape(self, row: int) -> tuple[int, ...]:
        """Shape of a row, the same in every table."""
        ndim = np.frombuffer(self._first.ndim, np.uint8)
        start = int(ndim[:row].sum(dtype=np.int64))
        return tuple(np.frombuffer(self._first.dims, "<i8")[start : start + int(ndim[row])].tolist())

    def statistic(self, row: int, name: str) -> tuple[FloatArray, PresentMask]:
        """One of :data:`NUMBERS` or :data:`COUNTS` of a row, and in which tables it is known."""
        if row < 0:
            return self._nothing()
        if self._flags[row] & wire.HAS_STATS:
            place = int(self._stats[row])
            if name in NUMBERS:
                return self._told[:, place, NUMBERS.index(name)], np.ones(len(self), bool)
            return self._counted[:, place, COUNTS.index(name)].astype(np.float64), np.ones(len(self), bool)
        if self._numel[row] == 0:
            return (np.zeros(len(self)), np.ones(len(self), bool)) if name in COUNTS else self._nothing()
        if self._numel[row] != 1:
            return self._nothing()
        values, known = self.element(row, 0)
        match name:
            case "norm":
                values = np.abs(values)
            case "zeros":
                values = (values == 0).astype(np.float64)
            case "nan":
                values = np.isnan(values).astype(np.float64)
            case "inf":
                values = np.isinf(values).astype(np.float64)
        return values, known

    def element(self, row: int, place: int) -> tuple[FloatArray, PresentMask]:
        """An element of a row, by its place in memory order (of a complex one its magnitude), and where it is known."""
        if row < 0 or not self._flags[row] & wire.HAS_VALUES or place >= self._numel[row]:
            return self._nothing()
        packed = np.dtype(wire.PACKED[wire.DTYPES[self._first.dtype[row]]])
        start = int(self._values[row]) + place * packed.itemsize
        found = np.ascontiguousarray(self._elements[:, start : start + packed.itemsize]).view(packed)[:, 0]
        return (np.abs(found) if found.dtype.kind == "c" else found).astype(np.float64), np.ones(len(self), bool)

    def _nothing(self) -> tuple[FloatArray, PresentMask]:
        return np.full(len(self), np.nan), np.zeros(len(self), bool)


def _before(sizes: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How much stands before each of consecutive pieces."""
    ends: np.ndarray[Any, np.dtype[np.int64]] = np.cumsum(sizes, dtype=np.int64)
    return np.asarray(ends - sizes)
