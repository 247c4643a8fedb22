"""Read the rows of a packed tensor table as summaries and arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from .. import model, wire

LISTED: Final = 10_000
"""Largest number of offsets that are kept in a list. Offsets of a larger table stay in an array: often, few rows are read."""
MOST_DIMENSIONS: Final = 64
"""Largest number of dimensions of a NumPy array. A tensor with more dimensions is read without its elements."""
ITEM_SIZES: Final = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)
"""Packed bytes of an element, by the index of its dtype in :data:`wire.DTYPES`; 0 if elements are not packed."""


_Ints = np.ndarray[Any, np.dtype[np.int64]]


class Tensors:
    """A packed table of tensors. Methods take a row of the table; row -1 means no tensor."""

    def __init__(self, table: wire.TensorTable) -> None:
        self._table = table
        self._flags = np.frombuffer(table.flags, np.uint8)
        self._ndim = np.frombuffer(table.ndim, np.uint8)
        self._summaries: dict[int, model.TensorSummary] = {}  # cached, because one row often has several uses

    def __len__(self) -> int:
        return len(self._table.dtype)

    @cached_property
    def _offsets(self) -> tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]:
        """The starts of the shape, statistics and values of each row, and its number of elements."""
        table, numel = self._table, self._numel
        shapes = starts(self._ndim)
        stats = starts((self._flags & wire.HAS_STATS) != 0)
        dtype = np.frombuffer(table.dtype, np.uint8)
        values = starts(np.where(self._flags & wire.HAS_VALUES, numel * ITEM_SIZES[dtype], 0))
        return shapes, stats, values, _listed(numel)

    @cached_property
    def _numel(self) -> _Ints:
        return wire.elements(self._table)

    def shape(self, row: int) -> list[int]:
        """Return the shape of a row."""
        start = self._offsets[0][row]
        shape: list[int] = np.frombuffer(self._table.dims, "<i8", int(self._ndim[row]), start * 8).tolist()
        return shape

    def dtype(self, row: int) -> str:
        """Return the name of the dtype of a row."""
        return wire.DTYPES[self._table.dtype[row]]

    def array(self, row: int) -> np.ndarray[Any, Any] | None:
        """Return the elements of a row in its shape; ``None`` if they were not recorded."""
        if row < 0 or not self._flags[row] & wire.HAS_VALUES or self._ndim[row] > MOST_DIMENSIONS:
            return None
        _, _, values, numel = self._offsets
        packed = np.dtype(wire.PACKED[wire.DTYPES[self._table.dtype[row]]])
        return np.frombuffer(self._table.values, packed, numel[row], values[row]).reshape(self.shape(row))

    def summary(self, row: int) -> model.TensorSummary | None:
        """Return the summary of a row; ``None`` for row -1."""
        if row < 0:
            return None
        if (summary := self._summaries.get(row)) is None:
            summary = self._summaries[row] = self._read_summary(row)
        return summary

    def _read_summary(self, row: int) -> model.TensorSummary:
        table = self._table
        flags = int(self._flags[row])
        name = int.from_bytes(table.grad_fn[2 * row : 2 * row + 2], "little")
        array = self.array(row)
        (low, high, mean, norm), counts = self._statistics(row, array)
        return model.TensorSummary(
            shape=self.shape(row),
            dtype=wire.DTYPES[table.dtype[row]],
            requires_grad=bool(flags & wire.REQUIRES_GRAD),
            is_leaf=bool(flags & wire.IS_LEAF),
            grad_fn=table.names[name - 1] if name else None,
            values=None if array is None else json_values(array),
            min=low,
            max=high,
            mean=mean,
            norm=norm,
            zeros=counts[0],
            nan=counts[1],
            inf=counts[2],
        )

    def norm(self, row: int) -> float | None:
        """Return the L2 norm of a row, which may be NaN or infinite; ``None`` if it was not recorded."""
        if row < 0:
            return None
        if self._flags[row] & wire.HAS_STATS:
            return float(np.frombuffer(self._table.stats, "<f8", 4, 32 * self._offsets[1][row])[3])
        array = self.array(row)
        return float(abs(array.reshape(()).item())) if array is not None and array.size == 1 else None

    def norms(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the L2 norms of all rows, which may be NaN or infinite; -1 for those that were not recorded."""
        norms = np.full(len(self), -1.0)
        recorded = (self._flags & wire.HAS_STATS) != 0
        norms[recorded] = np.frombuffer(self._table.stats, "<f8").reshape(-1, 4)[:, 3]
        for rows, elements in self._single_elements():
            norms[rows] = np.abs(elements)
        return norms

    def counts(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return for each row how many elements are zero, NaN and infinite; -1 where that was not recorded."""
        counts = np.full((len(self), 3), -1, np.int64)
        recorded = (self._flags & wire.HAS_STATS) != 0
        counts[recorded] = np.frombuffer(self._table.counts, "<i8").reshape(-1, 3)
        for rows, elements in self._single_elements():
            counts[rows] = np.stack([elements == 0, np.isnan(elements), np.isinf(elements)], axis=1)
        return counts

    def _single_elements(self) -> Iterator[tuple[_Ints, np.ndarray[Any, Any]]]:
        """Yield the rows without statistics that have one element, and these elements, for each dtype."""
        with_values = (self._flags & wire.HAS_VALUES) != 0
        single = np.flatnonzero(with_values & ((self._flags & wire.HAS_STATS) == 0) & (self._numel == 1))
        if not len(single):
            return
        dtype = np.frombuffer(self._table.dtype, np.uint8)
        sizes = np.where(with_values, self._numel * ITEM_SIZES[dtype], 0)
        offsets = (np.cumsum(sizes) - sizes)[single]
        dtypes = dtype[single]
        data = np.frombuffer(self._table.values, np.uint8)
        for code in sorted(set(dtypes.tolist())):  # `np.unique` would import `numpy.ma`
            packed = np.dtype(wire.PACKED[wire.DTYPES[code]])
            here = dtypes == code
            elements = data[offsets[here][:, None] + np.arange(packed.itemsize)].view(packed).reshape(-1)
            yield single[here], elements.astype(np.complex128 if packed.kind == "c" else np.float64)

    def _statistics(
        self, row: int, array: np.ndarray[Any, Any] | None
    ) -> tuple[list[float | str | None], tuple[int, int, int] | tuple[None, None, None]]:
        index = self._offsets[1][row]
        if self._flags[row] & wire.HAS_STATS:
            numbers = np.frombuffer(self._table.stats, "<f8", 4, 32 * index).tolist()
            zeros, nan, inf = np.frombuffer(self._table.counts, "<i8", 3, 24 * index).tolist()
            return [json_number(value) for value in numbers], (zeros, nan, inf)
        if array is None or array.size != 1:
            return [None] * 4, (0, 0, 0) if array is not None and array.size == 0 else (None, None, None)
        value = array.reshape(()).item()
        size = abs(value)
        shown = size if isinstance(value, complex) else float(value)
        return (
            [json_number(shown), json_number(shown), json_number(shown), json_number(float(size))],
            (int(value == 0), int(math.isnan(size)), int(math.isinf(size))),
        )


def json_number(value: float) -> float | str:
    """Return a number for JSON: NaN and infinities as strings.

    >>> json_number(1.5), json_number(float("-inf")), json_number(float("nan"))
    (1.5, '-Infinity', 'NaN')
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def json_values(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as nested lists for JSON, with complex elements as pairs and NaN and infinities as strings.

    >>> json_values(np.array([1.0, np.nan])), json_values(np.array(2 + 1j))
    ([1.0, 'NaN'], [2.0, 1.0])
    """
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag], axis=-1)
    listed = array.tolist()
    return listed if array.dtype.kind != "f" or bool(np.isfinite(array).all()) else _json_floats(listed)


def _json_floats(value: Any) -> Any:
    return [_json_floats(item) for item in value] if isinstance(value, list) else json_number(value)


def starts(sizes: np.ndarray[Any, Any]) -> Sequence[int]:
    """Return the start of each of several consecutive pieces, and the end of the last. An array is returned for many pieces."""
    return _listed(np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))))


def _listed(numbers: _Ints) -> Sequence[int]:
    """Return few numbers as a list, whose elements are read faster. Return many as an array, because few of them are read."""
    return numbers.tolist() if len(numbers) <= LISTED else numbers  # type: ignore[return-value]


def finite(table: wire.TensorTable) -> bool:
    """Return whether all recorded numbers of a table are finite, by its counts and values.

    The common case of a table with one dtype is fast.
    """
    if table.counts and np.frombuffer(table.counts, "<i8").reshape(-1, 3)[:, 1:].any():
        return False
    if not table.values:
        return True
    codes = set(table.dtype)
    if len(codes) == 1:
        packed = np.dtype(wire.PACKED[wire.DTYPES[codes.pop()]])
        return packed.kind not in "fc" or bool(np.isfinite(np.frombuffer(table.values, packed)).all())
    dtype = np.frombuffer(table.dtype, np.uint8)
    recorded = (np.frombuffer(table.flags, np.uint8) & wire.HAS_VALUES) != 0
    owner = np.repeat(dtype, np.where(recorded, wire.elements(table) * ITEM_SIZES[dtype], 0))
    data = np.frombuffer(table.values, np.uint8)
    for code in codes:
        packed = np.dtype(wire.PACKED.get(wire.DTYPES[code], "V0"))
        if packed.kind in "fc" and not np.isfinite(data[owner == code].view(packed)).all():
            return False
    return True
