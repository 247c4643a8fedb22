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
from .snapshot import OTHER, Facts, Snapshot
from .table import BOTH, EMPTY, NUMBERS, VALUE, Table, sum_up, width_of

MOST_LAYOUTS = 2_000
"""Layouts that are remembered; a program whose tables never repeat starts over."""

_Array = np.ndarray[Any, Any]
_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64} | {
    dtype: torch.float32
    for dtype in (getattr(torch, name, None) for name in wire.DTYPES)
    if isinstance(dtype, torch.dtype) and "float8" in str(dtype)
}


class _Layout:
    """What the rows of a table say, but for their elements. ``groups`` are the rows that are read together."""

    def __init__(self, facts: Sequence[Facts], tells: Sequence[int]) -> None:
        kinds: dict[tuple[Facts, int], int] = {}  # few, of however many rows
        which = np.array([kinds.setdefault(kind, len(kinds)) for kind in zip(facts, tells, strict=True)], np.intp)
        names: dict[str, int] = {}
        makers = [0 if fact.grad_fn is None else names.setdefault(fact.grad_fn, len(names) + 1) for fact, _ in kinds]
        dims = [struct.pack(f"<{len(fact.shape)}q", *fact.shape) for fact, _ in kinds]
        flags = [
            fact.flags | (wire.HAS_VALUES if told in (EMPTY, VALUE, BOTH) else 0) | (wire.HAS_STATS if told >= BOTH else 0)
            for fact, told in kinds
        ]

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
        summed = np.array([told >= BOTH for _, told in kinds], np.intp)[which]
        told_before = np.cumsum(summed) - summed
        self.width = int(widths.sum())
        self.told = int(summed.sum())
        alone = np.flatnonzero(np.array([told == NUMBERS for _, told in kinds], bool)[which])
        self.summed = list(zip(alone.tolist(), told_before[alone].tolist(), strict=True))
        read: dict[tuple[int, int], list[int]] = {}
        for (fact, told), kind in kinds.items():
            if told in (VALUE, BOTH):
                read.setdefault((fact.code, fact.count), []).append(kind)
        self.groups: dict[tuple[int, int], tuple[list[int], _Array, _Array]] = {}
        for key, alike in read.items():
            places = np.flatnonzero(np.isin(which, alike))
            elements = offsets[places, None] + np.arange(widths[places[0]])
            self.groups[key] = places.tolist(), elements.ravel(), told_before[places]

    def tensors(self, stats: bytes, counts: bytes, values: bytes) -> wire.TensorTable:
        """A table's columns with these elements."""
        return wire.TensorTable(
            self._dtype, self._flags, self._grad_fn, self._names, self._ndim, self._dims, stats, counts, values
        )


_layouts: dict[tuple[Any, ...], _Layout] = {}


def _layout(table: Table) -> _Layout:
    key = (*table.facts, *table.tells)
    known = _layouts.get(key)
    if known is None:
        if len(_layouts) >= MOST_LAYOUTS:
            _layouts.clear()
        known = _layouts[key] = _Layout(table.facts, table.tells)
    return known


def blank(count: int) -> wire.TensorTable:
    """A table of tensors of which nothing is known."""
    none = bytes(count)
    return wire.TensorTable(dtype=bytes([OTHER]) * count, flags=none, grad_fn=2 * none, ndim=none)


def pack(tables: Sequence[Table]) -> list[wire.TensorTable]:
    """Read the elements of many tables, all those of one dtype and size at once, and make the columns of each."""
    for table in tables:
        table.settle()
    with torch._C.DisableTorchFunction():
        sum_up([(table, table.later) for table in tables if table.later])
    shared: dict[_Layout, list[int]] = {}
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
                    table.without(key[0])
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
    layout: _Layout,
    places: Sequence[int],
    tables: Sequence[Table],
    read: dict[tuple[int, int], _Read],
    packed: list[wire.TensorTable],
) -> None:
    """Put what was read for the tables of one layout in the order of their rows."""
    values = np.empty((len(places), layout.width), np.uint8)
    stats = np.empty((len(places), layout.told, 4), "<f8")
    counts = np.empty((len(places), layout.told, 3), "<i8")
    for key, (rows, columns, told) in layout.groups.items():
        found, numbers, counted = read[key].take(len(places), len(rows))
        values[:, columns] = found
        if numbers is not None:
            stats[:, told] = numbers
            counts[:, told] = counted
    if layout.summed:
        numbers_of = np.array([[tables[place].rows[row].numbers for row, _ in layout.summed] for place in places], "<f8")
        summed = [at for _, at in layout.summed]
        stats[:, summed] = numbers_of[:, :, :4]
        counts[:, summed] = numbers_of[:, :, 4:]
    for number, place in enumerate(places):
        packed[place] = layout.tensors(stats[number].tobytes(), counts[number].tobytes(), values[number].tobytes())
