"""Stack packed tensor tables that have the same layout, to read one number of all tables at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .. import wire
from .tensors import ITEM_SIZES

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
PresentMask = np.ndarray[Any, np.dtype[np.bool_]]

NUMBERS: Final = ("min", "max", "mean", "norm")
"""Statistics of a row, in the order of :attr:`TensorTable.stats`."""
COUNTS: Final = ("zeros", "nan", "inf")
"""Counts of a row, in the order of :attr:`TensorTable.counts`."""


def table_layout(table: wire.TensorTable) -> tuple[bytes, ...]:
    """Return a key of the dtypes, flags and shapes of a table, which is the same for all tables of a stack."""
    return table.dtype, table.flags, table.ndim, table.dims


class TableStack:
    """Tables with the same layout.

    ``first`` is one of the tables. Only its layout is read. ``values``, ``stats`` and ``counts`` have a row for each
    table. Methods return one number of the same row in all tables, and a mask of the tables that have it.
    """

    def __init__(
        self,
        first: wire.TensorTable,
        values: np.ndarray[Any, np.dtype[np.uint8]],
        stats: FloatArray,
        counts: np.ndarray[Any, np.dtype[np.int64]],
    ) -> None:
        self._first = first
        self._values = values
        self._stats = stats.reshape(len(values), -1, 4)
        self._counts = counts.reshape(len(values), -1, 3)
        self._flags = np.frombuffer(first.flags, np.uint8)
        self._numel = wire.elements(first)
        dtype = np.frombuffer(first.dtype, np.uint8)
        self._stats_starts = _starts(self._flags & wire.HAS_STATS != 0)
        self._value_starts = _starts(np.where(self._flags & wire.HAS_VALUES, self._numel * ITEM_SIZES[dtype], 0))

    @classmethod
    def of(cls, tables: Sequence[wire.TensorTable]) -> TableStack:
        """Return the stack of these tables, which must have the same layout."""
        count = len(tables)
        return cls(
            tables[0],
            np.frombuffer(b"".join([table.values for table in tables]), np.uint8).reshape(count, len(tables[0].values)),
            np.frombuffer(b"".join([table.stats for table in tables]), "<f8"),
            np.frombuffer(b"".join([table.counts for table in tables]), "<i8"),
        )

    def __len__(self) -> int:
        return len(self._values)

    def shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of a row, which is the same in every table."""
        ndim = np.frombuffer(self._first.ndim, np.uint8)
        start = int(ndim[:row].sum(dtype=np.int64))
        return tuple(np.frombuffer(self._first.dims, "<i8")[start : start + int(ndim[row])].tolist())

    def statistic(self, row: int, name: str) -> tuple[FloatArray, PresentMask]:
        """Return one of :data:`NUMBERS` or :data:`COUNTS` of a row."""
        if row < 0:
            return self._missing()
        if self._flags[row] & wire.HAS_STATS:
            index = int(self._stats_starts[row])
            if name in NUMBERS:
                return self._stats[:, index, NUMBERS.index(name)], np.ones(len(self), bool)
            return self._counts[:, index, COUNTS.index(name)].astype(np.float64), np.ones(len(self), bool)
        if self._numel[row] == 0:
            return (np.zeros(len(self)), np.ones(len(self), bool)) if name in COUNTS else self._missing()
        if self._numel[row] != 1:
            return self._missing()
        values, present = self.element(row, 0)
        match name:
            case "norm":
                values = np.abs(values)
            case "zeros":
                values = (values == 0).astype(np.float64)
            case "nan":
                values = np.isnan(values).astype(np.float64)
            case "inf":
                values = np.isinf(values).astype(np.float64)
        return values, present

    def element(self, row: int, index: int) -> tuple[FloatArray, PresentMask]:
        """Return an element of a row by its index in memory order, or the magnitude of a complex element."""
        if row < 0 or not self._flags[row] & wire.HAS_VALUES or index >= self._numel[row]:
            return self._missing()
        packed = np.dtype(wire.PACKED[wire.DTYPES[self._first.dtype[row]]])
        start = int(self._value_starts[row]) + index * packed.itemsize
        elements = np.ascontiguousarray(self._values[:, start : start + packed.itemsize]).view(packed)[:, 0]
        return (np.abs(elements) if elements.dtype.kind == "c" else elements).astype(np.float64), np.ones(len(self), bool)

    def _missing(self) -> tuple[FloatArray, PresentMask]:
        return np.full(len(self), np.nan), np.zeros(len(self), bool)


def _starts(sizes: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the start of each of several consecutive pieces, given their sizes."""
    ends: np.ndarray[Any, np.dtype[np.int64]] = np.cumsum(sizes, dtype=np.int64)
    return np.asarray(ends - sizes)
