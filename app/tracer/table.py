"""Turn tensors into the packed rows that cross the wire, many tables at a time.

Most of what a row says is the same from step to step: tables whose rows say the same share a layout, which is packed
once. The elements of small tensors are put side by side and read together, since a call into torch costs more than the
work; a large tensor is summed up as soon as its table is complete, so that nothing holds it any longer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import wire
from ..model import Capture
from . import statistics
from .memory import Write
from .snapshot import OTHER, PLAIN, Facts, Snapshot, facts_of, is_dense
from .transforms import outside

NOTHING, EMPTY, VALUE, BOTH, READ, NUMBERS = range(6)
"""What a row tells of its elements: nothing, that there are none, its one value, values with statistics, statistics that
have still to be read, statistics that are known."""
SMALL = 64
"""Elements up to which statistics are read together with those of many other tables, if there are no more of them."""
TABLE_BYTES = 14 << 20
"""What the numbers of a table may take; past it the elements of its largest tensors are left out, then its last statistics."""
_STATS_BYTES = 56
"""What the statistics of a row take."""
MOST_LAYOUTS = 2_000

_Array = np.ndarray[Any, Any]
_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64} | {
    dtype: torch.float32
    for dtype in (getattr(torch, name, None) for name in wire.DTYPES)
    if isinstance(dtype, torch.dtype) and "float8" in str(dtype)
}


class Table:
    """Tensors on their way to one event. A row is known by its place; -1 stands for no tensor.

    ``kept`` is the largest number of elements that is kept whole.
    """

    def __init__(self, kept: int, capture: Capture) -> None:
        self.kept = {"full": max(kept, 1), "norms": 1, "graph": -1}[capture]
        self._copied = max(self.kept, SMALL) if capture != "graph" else -1
        self.numbers = capture != "graph"
        self.rows: list[Any] = []
        self.facts: list[Facts] = []
        self.tells: list[int] = []
        self.shortened = False
        """Whether there were more numbers than :data:`TABLE_BYTES`."""
        self._seen: dict[int, int] = {}

    def add(self, tensor: Tensor | Snapshot | None) -> int:
        """Give a tensor a row. Its elements are read when the table is packed: nothing may write to it until then."""
        return self.add_all((tensor,))[0]

    def add_all(self, tensors: Iterable[Tensor | Snapshot | None]) -> list[int]:
        """Give each of several tensors a row; what has one already keeps it."""
        seen, rows = self._seen, self.rows
        places = []
        for tensor in tensors:
            if tensor is None:
                places.append(-1)
                continue
            place = seen.get(id(tensor))
            if place is None:
                place = seen[id(tensor)] = len(rows)
                rows.append(tensor)
            places.append(place)
        return places

    def copy(self, tensor: Tensor | None) -> int:
        """Give a tensor a row with the elements that it has now."""
        return -1 if tensor is None else self.add(self.snapshot(tensor))

    def snapshot(self, tensor: Tensor) -> Snapshot:
        """A tensor as it is now, with as much of it as this table keeps."""
        return Snapshot(tensor, self._copied)

    def shared(self, tensor: Tensor, *, apart: bool = False) -> Tensor | Snapshot:
        """What several tables can tell a tensor by: itself where it is small, else what is summed up but once.

        ``apart``: what it shows of others, inside a transform, is read now.
        """
        if apart or tensor.layout is not torch.strided or type(tensor) not in PLAIN:
            return self.snapshot(tensor)
        if tensor.numel() <= self._copied or not self.numbers:
            return tensor
        facts = facts_of(tensor)
        return Snapshot.of(facts, tensor) if facts.readable and facts.code != OTHER else self.snapshot(tensor)

    def known_as(self, tensor: Tensor, snapshot: Tensor | Snapshot) -> int:
        """Give a snapshot a row, and let the tensor that it was taken of be known by that row."""
        place = self._seen[id(tensor)] = self.add(snapshot)
        return place

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy the rows that are there. They are known by no tensor any more."""
        seen = self._seen
        if write.shared:
            for place, row in enumerate(self.rows):
                if isinstance(row, Tensor) and write.reaches(row):
                    self.keep(place)
            return
        for target in write.targets:
            known = seen.get(id(target))
            if known is not None and self.rows[known] is target:
                self.keep(known)
            elif known is not None:
                del seen[id(target)]  # it is known by a snapshot of what it was

    def keep(self, place: int) -> None:
        """Copy a row's tensor."""
        row = self.rows[place]
        if isinstance(row, Tensor):
            self._seen.pop(id(row), None)
            self.rows[place] = Snapshot(row, self._copied)

    def settle(self) -> None:
        """The table is complete: note what is true of each row, and sum up the large ones."""
        with torch._C.DisableTorchFunction():  # the program's own modes and subclasses are not to see it
            self._settle()

    def _settle(self) -> None:
        kept, rows, tells = self.kept, self.rows, self.tells
        large: list[int] = []
        for place in range(len(self.facts), len(rows)):
            row = rows[place]
            facts = row.facts if type(row) is Snapshot else facts_of(row)
            count = facts.count
            if facts.sparse and type(row) is not Snapshot:
                row = rows[place] = Snapshot(row, self._copied)
            self.facts.append(facts)
            if not self.numbers or not facts.readable:
                tells.append(EMPTY if count == 0 and facts.code != OTHER else NOTHING)
            elif count <= kept and facts.code != OTHER and not (type(row) is Snapshot and row.value is None):
                tells.append(BOTH if count > 1 else VALUE if count else EMPTY)
            elif count == 0:
                tells.append(EMPTY if facts.code != OTHER else NOTHING)
            elif count <= SMALL and facts.code != OTHER and not (type(row) is Snapshot and row.value is None):
                tells.append(READ)
            else:
                large.append(place)
                tells.append(NUMBERS)
        if large:
            self._sum_up(large)
        if len(rows) * (16 * max(kept, 1) + _STATS_BYTES) > TABLE_BYTES:
            self._shorten(TABLE_BYTES)

    def _sum_up(self, places: Sequence[int]) -> None:
        """Put statistics in the place of large tensors. Views of all the same elements, as a transpose is one, share them."""
        rows, facts, tells = self.rows, self.facts, self.tells
        views: dict[tuple[Any, ...], list[int]] = {}
        for place in places:
            row = rows[place]
            tensor = row
            if type(row) is Snapshot:
                if row.numbers is not None:
                    continue
                tensor = row.value
            if type(tensor) not in PLAIN:
                if type(row) is not Snapshot:
                    rows[place] = Snapshot(row, 0)
                elif isinstance(tensor, Tensor):
                    row.numbers = _numbers([tensor])[0]
            elif is_dense(tensor):
                key = (tensor.dtype, tensor.numel(), tensor.data_ptr(), tensor.is_neg(), tensor.is_conj())
                views.setdefault(key, []).append(place)
            else:
                rows[place] = Snapshot(tensor, 0) if tensor is row else Snapshot.of(row.facts, None, _numbers([tensor])[0])
        alike: dict[tuple[torch.dtype, int], list[list[int]]] = {}
        for key, shown in views.items():
            alike.setdefault(key[:2], []).append(shown)
        for shared in alike.values():
            first = [rows[shown[0]] for shown in shared]
            found = _numbers([row.value if type(row) is Snapshot else row for row in first])
            for shown, numbers in zip(shared, found, strict=True):
                for place in shown:
                    row = rows[place]
                    if type(row) is Snapshot:
                        row.numbers, row.value = numbers, None
                    else:
                        rows[place] = Snapshot.of(facts[place], None, numbers)
        for place in places:
            if rows[place].numbers is None:
                tells[place] = NOTHING

    def _shorten(self, most: int) -> None:
        """Leave out numbers until they take no more bytes than ``most``."""
        widths = [_width(facts, told) for facts, told in zip(self.facts, self.tells, strict=True)]
        size = sum(widths) + _STATS_BYTES * sum(told >= BOTH for told in self.tells)
        if size <= most:
            return
        self.shortened = True
        for place in sorted((place for place, told in enumerate(self.tells) if told == BOTH), key=lambda place: -widths[place]):
            if size <= most:
                return
            size -= widths[place]
            self.tells[place] = READ
        for place in reversed([place for place, told in enumerate(self.tells) if told >= BOTH]):
            if size <= most:
                return
            size -= _STATS_BYTES
            self.tells[place] = NOTHING

    def without(self, code: int) -> None:
        """Tell nothing of the elements of a dtype, which cannot be read after all."""
        self.tells = [NOTHING if facts.code == code else told for facts, told in zip(self.facts, self.tells, strict=True)]

    def pack(self) -> wire.Tensors:
        """Read all elements and make the columns."""
        return pack([self])[0]


def _numbers(tensors: Sequence[Tensor]) -> Sequence[statistics.Numbers | None]:
    """The statistics of tensors of one dtype and size; ``None`` for what torch itself cannot read."""
    with torch.no_grad(), outside():
        try:
            return statistics.of_many(tensors)
        except (RuntimeError, NotImplementedError, TypeError):
            return [Snapshot(tensor, 0).numbers for tensor in tensors]


def _width(facts: Facts, told: int) -> int:
    """Bytes of the elements that a row tells."""
    return facts.width if told in (VALUE, BOTH) else 0


class _Layout:
    """What the rows of a table say, but for their elements. ``groups`` are the rows that are read together."""

    def __init__(self, facts: Sequence[Facts], tells: Sequence[int]) -> None:
        names: dict[str, int] = {}
        makers = [0 if fact.grad_fn is None else names.setdefault(fact.grad_fn, len(names) + 1) for fact in facts]
        dims = [size for fact in facts for size in fact.shape]
        flags = [
            fact.flags | (wire.HAS_VALUES if told in (EMPTY, VALUE, BOTH) else 0) | (wire.HAS_STATS if told >= BOTH else 0)
            for fact, told in zip(facts, tells, strict=True)
        ]
        self._dtype = bytes([fact.code for fact in facts])
        self._flags = bytes(flags)
        self._grad_fn = struct.pack(f"<{len(makers)}H", *makers)
        self._names = list(names)
        self._ndim = bytes([len(fact.shape) for fact in facts])
        self._dims = struct.pack(f"<{len(dims)}q", *dims)
        widths = [_width(fact, told) for fact, told in zip(facts, tells, strict=True)]
        offsets = [0, *accumulate(widths)]
        told_before = [0, *accumulate(int(told >= BOTH) for told in tells)]
        self.width = offsets[-1]
        self.told = told_before[-1]
        self.summed = [(place, told_before[place]) for place, told in enumerate(tells) if told == NUMBERS]
        groups: dict[tuple[int, int, int], list[int]] = {}
        for place, (fact, told) in enumerate(zip(facts, tells, strict=True)):
            if told in (VALUE, BOTH, READ):
                groups.setdefault((fact.code, fact.count, told), []).append(place)
        self.groups = {
            key: (
                places,
                np.array([offsets[place] + byte for place in places for byte in range(widths[place])], np.intp),
                np.array([told_before[place] for place in places]),
            )
            for key, places in groups.items()
        }

    def tensors(self, stats: bytes, counts: bytes, values: bytes) -> wire.Tensors:
        """A table's columns with these elements."""
        return wire.Tensors(self._dtype, self._flags, self._grad_fn, self._names, self._ndim, self._dims, stats, counts, values)


_layouts: dict[tuple[Any, ...], _Layout] = {}


def _layout(table: Table) -> _Layout:
    key = (*table.facts, *table.tells)
    known = _layouts.get(key)
    if known is None:
        if len(_layouts) >= MOST_LAYOUTS:
            _layouts.clear()
        known = _layouts[key] = _Layout(table.facts, table.tells)
    return known


def blank(count: int) -> wire.Tensors:
    """A table of tensors of which nothing is known."""
    none = bytes(count)
    return wire.Tensors(dtype=bytes([OTHER]) * count, flags=none, grad_fn=2 * none, ndim=none)


def pack(tables: Sequence[Table]) -> list[wire.Tensors]:
    """Read the elements of many tables, all those of one dtype and size at once, and make the columns of each."""
    shared: dict[_Layout, list[int]] = {}
    for place, table in enumerate(tables):
        table.settle()
        shared.setdefault(_layout(table), []).append(place)
    pools: dict[tuple[int, int, int], list[Any]] = {}
    for layout, places in shared.items():
        for key, (rows, _, _) in layout.groups.items():
            pool = pools.setdefault(key, [])
            for place in places:
                table_rows = tables[place].rows
                pool.extend([table_rows[row] for row in rows])
    read: dict[tuple[int, int, int], _Read] = {}
    # a program may be inside a transform, or have tensors with a __torch_function__ of their own: neither is to see this
    with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableFuncTorch(), torch._C._DisableTorchDispatch():
        for key, pool in pools.items():
            try:
                read[key] = _Read(key[0], key[1], pool)
            except (RuntimeError, NotImplementedError, TypeError):
                for table in tables:
                    table.without(key[0])
                return pack(tables)
    packed: list[wire.Tensors] = [wire.Tensors()] * len(tables)
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
    read: dict[tuple[int, int, int], _Read],
    packed: list[wire.Tensors],
) -> None:
    """Put what was read for the tables of one layout in the order of their rows."""
    values = np.empty((len(places), layout.width), np.uint8)
    stats = np.empty((len(places), layout.told, 4), "<f8")
    counts = np.empty((len(places), layout.told, 3), "<i8")
    for key, (rows, columns, told) in layout.groups.items():
        found, numbers, counted = read[key].take(len(places), len(rows))
        if len(columns):
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
