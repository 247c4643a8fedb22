"""Read packed tensors, row by row, as the API tells them."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from .. import model, wire

MOST_DIMENSIONS = 64
"""What an array may have; a tensor that has more is told without its elements."""


class Tensors:
    """A packed table of tensors, read by rows."""

    def __init__(self, table: wire.TensorTable) -> None:
        self._table = table
        self._flags = np.frombuffer(table.flags, np.uint8)
        self._ndim = np.frombuffer(table.ndim, np.uint8)
        self._read: dict[int, model.TensorSummary] = {}  # one row is often several things: what arrived and what was used

    def __len__(self) -> int:
        return len(self._table.dtype)

    @cached_property
    def _offsets(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """For each row: where its shape, statistics and values begin, and its number of elements."""
        table = self._table
        numel = wire.elements(table)
        shapes = starts(self._ndim)
        stats = starts((self._flags & wire.HAS_STATS) != 0)
        sizes = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)
        dtype = np.frombuffer(table.dtype, np.uint8)
        values = starts(np.where(self._flags & wire.HAS_VALUES, numel * sizes[dtype], 0))
        return shapes, stats, values, numel.tolist()

    def shape(self, row: int) -> list[int]:
        """Shape of a row."""
        start = self._offsets[0][row]
        shape: list[int] = np.frombuffer(self._table.dims, "<i8", int(self._ndim[row]), start * 8).tolist()
        return shape

    def array(self, row: int) -> np.ndarray[Any, Any] | None:
        """The kept elements of a row, in its shape; ``None`` when they were not kept."""
        if row < 0 or not self._flags[row] & wire.HAS_VALUES or self._ndim[row] > MOST_DIMENSIONS:
            return None
        _, _, values, numel = self._offsets
        packed = np.dtype(wire.PACKED[wire.DTYPES[self._table.dtype[row]]])
        return np.frombuffer(self._table.values, packed, numel[row], values[row]).reshape(self.shape(row))

    def summary(self, row: int) -> model.TensorSummary | None:
        """A row as the API tells it; ``None`` for row -1."""
        if row < 0:
            return None
        if (read := self._read.get(row)) is None:
            read = self._read[row] = self._summary(row)
        return read

    def _summary(self, row: int) -> model.TensorSummary:
        table = self._table
        flags = int(self._flags[row])
        name = int.from_bytes(table.grad_fn[2 * row : 2 * row + 2], "little")
        array = self.array(row)
        statistics, counts = self._statistics(row, array)
        return model.TensorSummary(
            shape=self.shape(row),
            dtype=wire.DTYPES[table.dtype[row]],
            requires_grad=bool(flags & wire.REQUIRES_GRAD),
            is_leaf=bool(flags & wire.IS_LEAF),
            grad_fn=table.names[name - 1] if name else None,
            values=None if array is None else json_values(array),
            min=statistics[0],
            max=statistics[1],
            mean=statistics[2],
            norm=statistics[3],
            zeros=counts[0],
            nan=counts[1],
            inf=counts[2],
        )

    def norm(self, row: int) -> float | None:
        """L2 norm of a row (may be NaN or infinite); ``None`` where it is not known."""
        if row < 0:
            return None
        if self._flags[row] & wire.HAS_STATS:
            return float(np.frombuffer(self._table.stats, "<f8", 4, 32 * self._offsets[1][row])[3])
        array = self.array(row)
        return float(abs(array.reshape(()).item())) if array is not None and array.size == 1 else None

    def _statistics(
        self, row: int, array: np.ndarray[Any, Any] | None
    ) -> tuple[list[float | str | None], tuple[int, int, int] | tuple[None, None, None]]:
        place = self._offsets[1][row]
        if self._flags[row] & wire.HAS_STATS:
            numbers = np.frombuffer(self._table.stats, "<f8", 4, 32 * place).tolist()
            zeros, nan, inf = np.frombuffer(self._table.counts, "<i8", 3, 24 * place).tolist()
            return [number(value) for value in numbers], (zeros, nan, inf)
        if array is None or array.size != 1:
            return [None] * 4, (0, 0, 0) if array is not None and array.size == 0 else (None, None, None)
        value = array.reshape(()).item()
        size = abs(value)
        shown = size if isinstance(value, complex) else float(value)
        return (
            [number(shown), number(shown), number(shown), number(float(size))],
            (int(value == 0), int(math.isnan(size)), int(math.isinf(size))),
        )


def number(value: float) -> float | str:
    """A number as JSON can carry it.

    >>> number(1.5), number(float("-inf")), number(float("nan"))
    (1.5, '-Infinity', 'NaN')
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def json_values(array: np.ndarray[Any, Any]) -> Any:
    """An array as nested lists, as ``tensor.tolist()`` gives them, safe for JSON.

    >>> json_values(np.array([1.0, np.nan])), json_values(np.array(2 + 1j))
    ([1.0, 'NaN'], [2.0, 1.0])
    """
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag], axis=-1)
    listed = array.tolist()
    return listed if array.dtype.kind != "f" or bool(np.isfinite(array).all()) else _finite(listed)


def _finite(value: Any) -> Any:
    return [_finite(item) for item in value] if isinstance(value, list) else number(value)


def starts(sizes: np.ndarray[Any, Any]) -> list[int]:
    """Where each of consecutive pieces begins."""
    return [0, *np.cumsum(sizes, dtype=np.int64).tolist()]


def finite(table: wire.TensorTable) -> bool:
    """Whether every number of a table that is known is finite: by its counts, and by its values. Quick: nearly all are."""
    if table.counts and np.frombuffer(table.counts, "<i8").reshape(-1, 3)[:, 1:].any():
        return False
    if not table.values:
        return True
    codes = set(table.dtype)
    if len(codes) == 1:
        packed = np.dtype(wire.PACKED[wire.DTYPES[codes.pop()]])
        return packed.kind not in "fc" or bool(np.isfinite(np.frombuffer(table.values, packed)).all())
    dtype = np.frombuffer(table.dtype, np.uint8)
    kept = (np.frombuffer(table.flags, np.uint8) & wire.HAS_VALUES) != 0
    sizes = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)[dtype]
    owner = np.repeat(dtype, np.where(kept, wire.elements(table) * sizes, 0))
    data = np.frombuffer(table.values, np.uint8)
    for code in codes:
        packed = np.dtype(wire.PACKED.get(wire.DTYPES[code], "V0"))
        if packed.kind in "fc" and not np.isfinite(data[owner == code].view(packed)).all():
            return False
    return True
