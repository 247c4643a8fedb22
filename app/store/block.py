"""Pack consecutive events into one block, and unpack single events from it.

Events with the same skeleton form a group. The numbers of all groups with the same number of events are packed side by side. A
number that is repeated in another event then takes almost no space.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from .. import wire
from ..errors import RecordingDamaged
from ..recording import StepGroup, TableStack
from .columns import Matrix, StoredMatrix, pack_columns, unpack_columns
from .old_signals import OldSignal, upgrade
from .skeletons import SplitEvent, join, split
from .tables import NumberLayout

LEVEL: Final = 4
"""Compression level of zlib. Level 6 saves 2 % of the bytes, and takes twice as long."""
FULL_BYTES: Final = 256 * 1024
"""Bytes of numbers in a full block. Reading one event decompresses its whole block."""
FULL_EVENTS: Final = 1024
"""Events in a full block."""
NODE_BYTES: Final = 45
"""Size of a graph's columns for each of its nodes, in bytes."""
EDGE_BYTES: Final = 17
"""Size of a graph's columns for each of its edges, in bytes."""
FULL_MEMORY: Final = 4 * 1024 * 1024
"""Size in memory of the events in a full block."""


class _PackedGroup(Struct, frozen=True, array_like=True):
    """Events with the same skeleton."""

    skeleton: bytes
    height: int
    """Number of events."""
    integers: int
    """Number of integers of each event."""
    numbers: int
    """Number of floats of each event."""
    texts: list[tuple[str, ...]]
    """Texts of each event, or an empty list if events have none."""


class _PackedBlock(Struct, frozen=True, array_like=True):
    order: bytes
    """uint16: the group of each event."""
    groups: list[_PackedGroup]
    matrices: list[tuple[int, StoredMatrix]]
    """A packed matrix for each height of groups and each size of words, preceded by the height."""


class _GroupNumbers(Struct, frozen=True):
    """The unpacked numbers of a group, with a row for each event."""

    integers: Matrix
    numbers: Matrix
    tables: tuple[Matrix, Matrix, Matrix] | None
    """Values, statistics and counts of the events' tables."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_PackedBlock)
_skeletons: msgspec.msgpack.Decoder[wire.AnyEvent | OldSignal] = msgspec.msgpack.Decoder(wire.AnyEvent | OldSignal)


def pack_block(events: Sequence[wire.AnyEvent]) -> bytes:
    """Pack fewer than 65,536 events."""
    groups: dict[tuple[Any, ...], list[SplitEvent]] = {}
    order = []
    for parts in map(split, events):
        key = (parts.skeleton, len(parts.integers), len(parts.numbers), len(parts.texts))
        order.append(groups.setdefault(key, []))
        order[-1].append(parts)
    indices = {id(group): index for index, group in enumerate(groups.values())}
    pools: dict[tuple[int, int], list[Matrix]] = {}
    for group in groups.values():
        for matrix in _matrices(group):
            pools.setdefault((len(group), matrix.dtype.itemsize), []).append(matrix)
    block = _PackedBlock(
        np.array([indices[id(group)] for group in order], "<u2").tobytes(),
        [
            _PackedGroup(
                first.skeleton,
                len(group),
                len(first.integers),
                len(first.numbers),
                [each.texts for each in group] if first.texts else [],
            )
            for group in groups.values()
            for first in group[:1]
        ],
        [(height, pack_columns(np.concatenate(matrices, axis=1))) for (height, _), matrices in pools.items()],
    )
    return zlib.compress(_encoder.encode(block), LEVEL)


def split_into_blocks(events: Sequence[wire.AnyEvent]) -> Iterator[Sequence[wire.AnyEvent]]:
    """Yield the events of each block. A block ends with a step if possible. The last block may not be full."""
    start = size = memory = 0
    for stop, event in enumerate(events, 1):
        size += number_bytes(event)
        memory += wire.memory_of(event)
        fullness = max(size / FULL_BYTES, (stop - start) / FULL_EVENTS, memory / FULL_MEMORY)
        if fullness >= 2 or (fullness >= 1 and isinstance(event, wire.StepEvent)):
            yield events[start:stop]
            start, size, memory = stop, 0, 0
    if start < len(events):
        yield events[start:]


def is_full(events: Sequence[wire.AnyEvent]) -> bool:
    """Return whether a block of these events is full."""
    if sum(map(number_bytes, events)) >= FULL_BYTES or len(events) >= FULL_EVENTS:
        return True
    return sum(map(wire.memory_of, events)) >= FULL_MEMORY


def number_bytes(event: wire.AnyEvent) -> int:
    """Return the bytes of the numbers in an event's table, or of the columns of a graph."""
    if isinstance(event, wire.GraphEvent):
        return NODE_BYTES * len(event.kind) + EDGE_BYTES * len(event.gradient)
    if not isinstance(event, wire.PassEvent | wire.StepEvent | wire.LinesEvent):
        return 0
    return len(event.tensors.values) + len(event.tensors.stats) + len(event.tensors.counts)


def _matrices(group: list[SplitEvent]) -> list[Matrix]:
    """Return the numbers of a group as matrices of unsigned words, with a row for each event."""
    first = group[0]
    found: list[Matrix] = []
    if first.integers:
        found.append(np.array([each.integers for each in group], "<i4").view("<u4"))
    if first.numbers:
        found.append(np.array([each.numbers for each in group], "<f8").view("<u8"))
    if first.table is not None:
        found += NumberLayout(first.table).matrices([each.table for each in group if each.table is not None])
    return found


class EventBlock:
    """The events of a packed block. The numbers of a group are unpacked when one of its events is first read.

    Raises :class:`RecordingDamaged` for bytes that have changed: the compressed block has a checksum.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._block = _decoder.decode(zlib.decompress(data))
            self._order = np.frombuffer(self._block.order, "<u2").tolist()
            self._skeletons = [_read_skeleton(group.skeleton) for group in self._block.groups]
        except (zlib.error, msgspec.DecodeError, ValueError) as error:
            raise RecordingDamaged from error
        self._positions: dict[tuple[type[wire.Event], ...], list[int]] = {}
        self._numbers: dict[int, _GroupNumbers] = {}
        self._last: tuple[int, wire.AnyEvent] | None = None
        """The event that was read last, with its position: several rules in a row read the pass of a large graph."""

    def __len__(self) -> int:
        return len(self._order)

    def positions(self, *kinds: type[wire.Event]) -> list[int]:
        """Return the positions of the events of some kinds."""
        if (positions := self._positions.get(kinds)) is None:
            wanted = [isinstance(skeleton, kinds) for skeleton in self._skeletons]
            positions = [position for position, group in enumerate(self._order) if wanted[group]]
            self._positions[kinds] = positions
        return positions

    def event(self, position: int) -> wire.AnyEvent:
        """Return the event at a position."""
        last = self._last
        if last is None or last[0] != position:
            last = self._last = position, self._joined(position)
        return last[1]

    def _joined(self, position: int) -> wire.AnyEvent:
        index, row = self._order[position], self._rows[position]
        texts, numbers = self._block.groups[index].texts, self._group_numbers(index)
        table = None
        if numbers.tables is not None:
            values, stats, counts = (matrix[row].tobytes() for matrix in numbers.tables)
            table = wire.TensorTable(values=values, stats=stats, counts=counts)
        parts = SplitEvent(
            b"",
            tuple(numbers.integers[row].tolist()),
            tuple(numbers.numbers[row].tolist()),
            texts[row] if texts else (),
            table,
        )
        skeleton = self._skeletons[index]
        assert skeleton is not None  # `positions` leaves out events without a skeleton
        return join(skeleton, parts)

    def step_groups(self, start: int, stop: int) -> Iterator[StepGroup]:
        """Yield the steps from ``start`` to before ``stop`` in groups, without creating their events."""
        for index, skeleton in enumerate(self._skeletons):
            if isinstance(skeleton, wire.StepEvent):
                numbers = self._group_numbers(index)
                assert numbers.tables is not None
                steps = numbers.integers[:, 0]
                rows = np.flatnonzero((start <= steps) & (steps < stop))
                if len(rows):
                    values, stats, counts = (matrix[rows] for matrix in numbers.tables)
                    yield StepGroup(
                        skeleton,
                        steps[rows].astype(np.int64),
                        None if skeleton.iteration is None else numbers.integers[rows, self._block.groups[index].integers - 1],
                        numbers.numbers[rows],
                        TableStack(skeleton.tensors, values, stats.view("<f8"), counts.view("<i8")),
                    )

    @cached_property
    def size(self) -> int:
        """The approximate number of bytes in memory, with the largest event, which may be the one read last."""
        numbers = largest = 0
        for height, matrix in self._block.matrices:
            unpacked = matrix.rows * matrix.size * len(matrix.source) // 2
            numbers += unpacked
            largest += unpacked // height
        texts = sum(len(text) for group in self._block.groups for each in group.texts for text in each)
        skeletons = sum(wire.memory_of(skeleton) for skeleton in self._skeletons if skeleton is not None)
        return 2_000 + numbers + largest + texts + skeletons

    @cached_property
    def _rows(self) -> list[int]:
        """The row of each event in its group."""
        heights = [0] * len(self._block.groups)
        rows = []
        for group in self._order:
            rows.append(heights[group])
            heights[group] += 1
        return rows

    @cached_property
    def _layouts(self) -> list[NumberLayout | None]:
        return [
            NumberLayout(skeleton.tensors) if isinstance(skeleton, wire.PassEvent | wire.StepEvent | wire.LinesEvent) else None
            for skeleton in self._skeletons
        ]

    @cached_property
    def _columns(self) -> list[dict[int, slice]]:
        """For each group, by the size of words in bytes: the group's columns in the matrix of its height and that size."""
        taken: dict[tuple[int, int], int] = {}
        found = []
        for group, layout in zip(self._block.groups, self._layouts, strict=True):
            widths = {4: group.integers, 8: group.numbers}
            for size, width in layout.widths if layout else ():
                widths[size] = widths.get(size, 0) + width
            starts = {size: taken.get((group.height, size), 0) for size in widths}
            taken |= {(group.height, size): starts[size] + width for size, width in widths.items()}
            found.append({size: slice(starts[size], starts[size] + width) for size, width in widths.items()})
        return found

    def _group_numbers(self, index: int) -> _GroupNumbers:
        if (numbers := self._numbers.get(index)) is None:
            numbers = self._numbers[index] = self._unpack_numbers(index)
        return numbers

    def _unpack_numbers(self, index: int) -> _GroupNumbers:
        group, layout, columns = self._block.groups[index], self._layouts[index], self._columns[index]
        left = {
            matrix.size: unpack_columns(matrix, columns[matrix.size])
            for height, matrix in self._block.matrices
            if height == group.height and matrix.size in columns
        }

        def take(size: int, width: int) -> Matrix:
            taken, left[size] = left[size][:, :width], left[size][:, width:]
            return np.ascontiguousarray(taken)

        none: Matrix = np.zeros((group.height, 0))
        integers = take(4, group.integers).view("<i4") if group.integers else none
        numbers = take(8, group.numbers).view("<f8") if group.numbers else none
        matrices = (take(size, width) for size, width in layout.widths) if layout else iter(())
        tables = layout.numbers(matrices, group.height) if layout else None
        return _GroupNumbers(integers, numbers, tables)


def _read_skeleton(data: bytes) -> wire.AnyEvent | None:
    """Decode a skeleton. Return ``None`` for a signal of an old recording that cannot be read."""
    skeleton = _skeletons.decode(data)
    return upgrade(skeleton) if isinstance(skeleton, OldSignal) else skeleton
