"""Read the elements of many tables at a time, and make the columns that cross the wire.

Most of what a row says is the same from step to step: tables whose rows say the same share a layout, which is packed once.
The elements of small tensors are put side by side and read together, since a call into torch costs more than the work.
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
from .table import BOTH, EMPTY, STATISTICS, VALUE, TableBuilder, summarize, width_of

MAX_CACHED_LAYOUTS = 2_000
"""Layouts that are remembered; a program whose tables never repeat starts over."""

_Array = np.ndarray[Any, Any]
_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64} | {
    dtype: torch.float32
    for dtype in (getattr(torch, name, None) for name in wire.DTYPES)
    if isinstance(dtype, torch.dtype) and "float8" in str(dtype)
}


class _TableLayout:
    """What the rows of a table say, but for their elements. ``groups`` are the rows that are read together."""

    def __init__(self, traits: Sequence[TensorTraits], contents: Sequence[int]) -> None:
        kinds: dict[tuple[TensorTraits, int], int] = {}  # few, of however many rows
        which = np.array([kinds.setdefault(kind, len(kinds)) for kind in zip(traits, contents, strict=True)], np.intp)
        names: dict[str, int] = {}
        makers = [0 if fact.grad_fn is None else names.setdefault(fact.grad_fn, len(names) + 1) for fact, _ in kinds]
        dims = [struct.pack(f"<{len(fact.shape)}q", *fact.shape) for fact, _ in kinds]
        has_values = dict.fromkeys((EMPTY, VALUE, BOTH), wire.HAS_VALUES)
        has_stats = dict.fromkeys((BOTH, STATISTICS), wire.HAS_STATS)
        flags = [fact.flags | has_values.get(content, 0) | has_stats.get(content, 0) for fact, content in kinds]

        def column(values: Sequence[int], dtype: str) -> bytes:
            return np.array(values, dtype)[which].tobytes()

        self._dtype = column([fact.code for fact, _ in kinds], "u1")
        self._flags = column(flags, "u1")
        self._grad_fn = column(makers, "<u2")
        self._names = list(names)
        self._ndim = column([len(fact.shape) for fact, _ in kinds], "u1")
        self._dims = b"".join([dims[kind] for kind in which.tolist()]) if any(dims) else b""
        widths = np.array([width_of(*kind) for kind in kinds], np.intp)[which]
        offsets = np.cumsum(widths) - widths
        summed = np.array([content >= BOTH for _, content in kinds], np.intp)[which]
        told_before = np.cumsum(summed) - summed
        self.width = int(widths.sum())
        self.content = int(summed.sum())
        alone = np.flatnonzero(np.array([content == STATISTICS for _, content in kinds], bool)[which])
        self.summed = list(zip(alone.tolist(), told_before[alone].tolist(), strict=True))
        read: dict[tuple[int, int], list[int]] = {}
        for (fact, content), kind in kinds.items():
            if content in (VALUE, BOTH):
                read.setdefault((fact.code, fact.count), []).append(kind)
        self.groups: dict[tuple[int, int], tuple[list[int], _Array, _Array]] = {}
        for key, alike in read.items():
            places = np.flatnonzero(np.isin(which, alike))
            elements = offsets[places, None] + np.arange(widths[places[0]])
            self.groups[key] = places.tolist(), elements.ravel(), told_before[places]

    def columns(self, stats: bytes, counts: bytes, values: bytes) -> wire.TensorTable:
        """A table's columns with these elements."""
        return wire.TensorTable(
            self._dtype, self._flags, self._grad_fn, self._names, self._ndim, self._dims, stats, counts, values
        )


_layouts: dict[tuple[Any, ...], _TableLayout] = {}


def _layout(table: TableBuilder) -> _TableLayout:
    key = (*table.traits, *table.contents)
    known = _layouts.get(key)
    if known is None:
        if len(_layouts) >= MAX_CACHED_LAYOUTS:
            _layouts.clear()
        known = _layouts[key] = _TableLayout(table.traits, table.contents)
    return known


def blank(count: int) -> wire.TensorTable:
    """A table of tensors of which nothing is known."""
    none = bytes(count)
    return wire.TensorTable(dtype=bytes([OTHER_DTYPE]) * count, flags=none, grad_fn=2 * none, ndim=none)


def pack(tables: Sequence[TableBuilder]) -> list[wire.TensorTable]:
    """Read the elements of many tables, all those of one dtype and size at once, and make the columns of each."""
    for table in tables:
        table.finalize()
    with torch._C.DisableTorchFunction():
        summarize([(table, table.deferred) for table in tables if table.deferred])
    shared: dict[_TableLayout, list[int]] = {}
    for place, table in enumerate(tables):
        shared.setdefault(_layout(table), []).append(place)
    pools: dict[tuple[int, int], list[Any]] = {}
    for layout, places in shared.items():
        for key, (rows, _, _) in layout.groups.items():
            pool = pools.setdefault(key, [])
            for place in places:
                table_rows = tables[place].rows
                pool.extend([table_rows[row] for row in rows])
    read: dict[tuple[int, int], _Read] = {}
    # a program may be inside a transform, or have tensors with a __torch_function__ of their own: neither is to see this
    with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableFuncTorch(), torch._C._DisableTorchDispatch():
        for key, pool in pools.items():
            try:
                read[key] = _Read(key[0], key[1], pool)
            except (RuntimeError, NotImplementedError, TypeError):
                for table in tables:
                    table.omit_dtype(key[0])
                return pack(tables)
    packed: list[wire.TensorTable] = [wire.TensorTable()] * len(tables)
    for layout, places in shared.items():
        _assemble(layout, places, tables, read, packed)
    return packed


class _Read:
    """The elements of a pool of tensors of one dtype and size, as bytes, with their statistics if there is more than one.

    It is taken from in the order in which it was filled.
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
            if plain._is_zerotensor():  # zeros that have no memory until they are copied
                plain = plain.clone()
            values = plain.resolve_neg().contiguous().numpy()
        self._bytes = values.reshape(len(pool), -1).view(np.uint8)

    def take(self, tables: int, rows: int) -> tuple[_Array, _Array | None, _Array | None]:
        """The next ``tables`` × ``rows`` tensors: their bytes, numbers and counts."""
        start, end = self._taken, self._taken + tables * rows
        self._taken = end
        values = self._bytes[start:end].reshape(tables, -1)
        if self._stats is None or self._counts is None:
            return values, None, None
        return values, self._stats[start:end].reshape(tables, rows, 4), self._counts[start:end].reshape(tables, rows, 3)


def _stacked(tensors: list[Tensor], count: int) -> Tensor:
    """Tensors of one size, whatever their shapes, as the rows of one."""
    first = tensors[0].shape
    if all(tensor.shape == first for tensor in tensors):
        return torch.stack(tensors).reshape(len(tensors), count)
    return torch.stack([tensor.reshape(count) for tensor in tensors])


def _assemble(
    layout: _TableLayout,
    places: Sequence[int],
    tables: Sequence[TableBuilder],
    read: dict[tuple[int, int], _Read],
    packed: list[wire.TensorTable],
) -> None:
    """Put what was read for the tables of one layout in the order of their rows."""
    values = np.empty((len(places), layout.width), np.uint8)
    stats = np.empty((len(places), layout.content, 4), "<f8")
    counts = np.empty((len(places), layout.content, 3), "<i8")
    for key, (rows, columns, content) in layout.groups.items():
        found, numbers, counted = read[key].take(len(places), len(rows))
        values[:, columns] = found
        if numbers is not None:
            stats[:, content] = numbers
            counts[:, content] = counted
    if layout.summed:
        numbers_of = np.array([[tables[place].rows[row].numbers for row, _ in layout.summed] for place in places], "<f8")
        summed = [at for _, at in layout.summed]
        stats[:, summed] = numbers_of[:, :, :4]
        counts[:, summed] = numbers_of[:, :, 4:]
    for number, place in enumerate(places):
        packed[place] = layout.columns(stats[number].tobytes(), counts[number].tobytes(), values[number].tobytes())
