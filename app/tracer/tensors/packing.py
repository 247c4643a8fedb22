"""Read the elements of many tables at a time, and build the columns that cross the wire.

Most of a table stays the same from step to step. Tables with equal traits and contents share a layout, which is packed once.
The elements of small tensors are stacked and read together, since a call into PyTorch costs more than the computation.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import wire
from . import statistics
from .snapshot import OTHER_DTYPE, Snapshot, TensorTraits
from .summaries import summarize
from .table import BOTH, EMPTY, STATISTICS, VALUE, TableBuilder, width_of

MAX_CACHED_LAYOUTS = 2_000
"""Number of cached layouts at which the cache is cleared."""

_Array = np.ndarray[Any, Any]
_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64} | {
    dtype: torch.float32
    for dtype in (getattr(torch, name, None) for name in wire.DTYPES)
    if isinstance(dtype, torch.dtype) and "float8" in str(dtype)
}


class _TableLayout:
    """The columns of a table except its elements, and the arrangement of the elements.

    ``groups`` has an entry for each dtype code and element count: the rows that are read together, the byte columns of their
    elements, and the indices of their statistics.
    """

    def __init__(self, traits: Sequence[TensorTraits], contents: Sequence[int]) -> None:
        kinds: dict[tuple[TensorTraits, int], int] = {}  # many rows have the same traits and content
        which = np.array([kinds.setdefault(kind, len(kinds)) for kind in zip(traits, contents, strict=True)], np.intp)
        names: dict[str, int] = {}
        makers = [0 if trait.grad_fn is None else names.setdefault(trait.grad_fn, len(names) + 1) for trait, _ in kinds]
        dims = [struct.pack(f"<{len(trait.shape)}q", *trait.shape) for trait, _ in kinds]
        has_values = dict.fromkeys((EMPTY, VALUE, BOTH), wire.HAS_VALUES)
        has_stats = dict.fromkeys((BOTH, STATISTICS), wire.HAS_STATS)
        flags = [trait.flags | has_values.get(content, 0) | has_stats.get(content, 0) for trait, content in kinds]

        def column(values: Sequence[int], dtype: str) -> bytes:
            return np.array(values, dtype)[which].tobytes()

        self._dtype = column([trait.code for trait, _ in kinds], "u1")
        self._flags = column(flags, "u1")
        self._grad_fn = column(makers, "<u2")
        self._names = list(names)
        self._ndim = column([len(trait.shape) for trait, _ in kinds], "u1")
        self._dims = b"".join([dims[kind] for kind in which.tolist()]) if any(dims) else b""
        widths = np.array([width_of(*kind) for kind in kinds], np.intp)[which]
        offsets = np.cumsum(widths) - widths
        summed = np.array([content >= BOTH for _, content in kinds], np.intp)[which]
        summed_before = np.cumsum(summed) - summed
        self.width = int(widths.sum())
        self.summed_rows = int(summed.sum())
        alone = np.flatnonzero(np.array([content == STATISTICS for _, content in kinds], bool)[which])
        self.summed = list(zip(alone.tolist(), summed_before[alone].tolist(), strict=True))
        read: dict[tuple[int, int], list[int]] = {}
        for (trait, content), kind in kinds.items():
            if content in (VALUE, BOTH):
                read.setdefault((trait.code, trait.count), []).append(kind)
        self.groups: dict[tuple[int, int], tuple[list[int], _Array, _Array]] = {}
        for key, kinds_read in read.items():
            indexes = np.flatnonzero(np.isin(which, kinds_read))
            elements = offsets[indexes, None] + np.arange(widths[indexes[0]])
            self.groups[key] = indexes.tolist(), elements.ravel(), summed_before[indexes]

    def columns(self, stats: bytes, counts: bytes, values: bytes) -> wire.TensorTable:
        """Return the columns of a table with these elements."""
        return wire.TensorTable(
            self._dtype, self._flags, self._grad_fn, self._names, self._ndim, self._dims, stats, counts, values
        )


_layouts: dict[tuple[Any, ...], _TableLayout] = {}


def _layout(table: TableBuilder) -> _TableLayout:
    key = (*table.traits, *table.contents)
    layout = _layouts.get(key)
    if layout is None:
        if len(_layouts) >= MAX_CACHED_LAYOUTS:
            _layouts.clear()
        layout = _layouts[key] = _TableLayout(table.traits, table.contents)
    return layout


def blank(count: int) -> wire.TensorTable:
    """Return a table of ``count`` tensors without any content."""
    none = bytes(count)
    return wire.TensorTable(dtype=bytes([OTHER_DTYPE]) * count, flags=none, grad_fn=2 * none, ndim=none)


def pack(tables: Sequence[TableBuilder]) -> list[wire.TensorTable]:
    """Build the columns of many tables, reading all tensors of one dtype and size at once."""
    for table in tables:
        table.finalize()
    with torch._C.DisableTorchFunction():
        summarize([(table, table.deferred) for table in tables if table.deferred])
    shared: dict[_TableLayout, list[int]] = {}
    for index, table in enumerate(tables):
        shared.setdefault(_layout(table), []).append(index)
    pools: dict[tuple[int, int], list[Any]] = {}
    for layout, indexes in shared.items():
        for key, (rows, _, _) in layout.groups.items():
            pool = pools.setdefault(key, [])
            for index in indexes:
                table_rows = tables[index].rows
                pool.extend([table_rows[row] for row in rows])
    read: dict[tuple[int, int], _Read] = {}
    # no transform and no tensor subclass of the program may observe the computation
    with torch._C.DisableTorchFunction(), torch.no_grad(), torch._C._DisableFuncTorch(), torch._C._DisableTorchDispatch():
        for key, pool in pools.items():
            try:
                read[key] = _Read(key[0], key[1], pool)
            except (RuntimeError, NotImplementedError, TypeError):
                for table in tables:
                    table.omit_dtype(key[0])
                return pack(tables)
    packed: list[wire.TensorTable] = [wire.TensorTable()] * len(tables)
    for layout, indexes in shared.items():
        _assemble(layout, indexes, tables, read, packed)
    return packed


class _Read:
    """The elements of tensors of one dtype and size as bytes, with statistics if there is more than one element.

    :meth:`take` returns them in the order in which the pool was filled.
    """

    def __init__(self, code: int, count: int, pool: list[Any]) -> None:
        self._taken = 0
        self._stats: _Array | None = None
        self._counts: _Array | None = None
        if count == 1:
            numbers = [row.value if type(row) is Snapshot else row.item() for row in pool]
            values = np.array(numbers, wire.PACKED[wire.DTYPES[code]])
        else:
            stack = _stacked([row.value if type(row) is Snapshot else row for row in pool], count)
            self._stats, self._counts = statistics.of_rows(stack)
            widened = _WIDENED.get(stack.dtype)
            plain = stack if widened is None else stack.to(widened)
            plain = plain.resolve_conj() if plain.is_complex() else plain
            if plain._is_zerotensor():  # an efficient zero tensor has no memory until it is cloned
                plain = plain.clone()
            values = plain.resolve_neg().contiguous().numpy()
        self._bytes = values.reshape(len(pool), -1).view(np.uint8)

    def take(self, tables: int, rows: int) -> tuple[_Array, _Array | None, _Array | None]:
        """Return the next ``tables`` × ``rows`` tensors: their bytes, statistics and counts."""
        start, end = self._taken, self._taken + tables * rows
        self._taken = end
        values = self._bytes[start:end].reshape(tables, -1)
        if self._stats is None or self._counts is None:
            return values, None, None
        return values, self._stats[start:end].reshape(tables, rows, 4), self._counts[start:end].reshape(tables, rows, 3)


def _stacked(tensors: list[Tensor], count: int) -> Tensor:
    """Stack tensors of equal element count but any shape as rows."""
    first = tensors[0].shape
    if all(tensor.shape == first for tensor in tensors):
        return torch.stack(tensors).reshape(len(tensors), count)
    return torch.stack([tensor.reshape(count) for tensor in tensors])


def _assemble(
    layout: _TableLayout,
    indexes: Sequence[int],
    tables: Sequence[TableBuilder],
    read: dict[tuple[int, int], _Read],
    packed: list[wire.TensorTable],
) -> None:
    """Build the columns of the tables that share a layout."""
    values = np.empty((len(indexes), layout.width), np.uint8)
    stats = np.empty((len(indexes), layout.summed_rows, 4), "<f8")
    counts = np.empty((len(indexes), layout.summed_rows, 3), "<i8")
    for key, (rows, columns, sums) in layout.groups.items():
        found, numbers, counted = read[key].take(len(indexes), len(rows))
        values[:, columns] = found
        if numbers is not None:
            stats[:, sums] = numbers
            counts[:, sums] = counted
    if layout.summed:
        alone = np.array([[tables[index].rows[row].numbers for row, _ in layout.summed] for index in indexes], "<f8")
        summed = [at for _, at in layout.summed]
        stats[:, summed] = alone[:, :, :4]
        counts[:, summed] = alone[:, :, 4:]
    for at, index in enumerate(indexes):
        packed[index] = layout.columns(stats[at].tobytes(), counts[at].tobytes(), values[at].tobytes())
