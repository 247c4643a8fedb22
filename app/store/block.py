"""Pack events that follow each other into one block, and take single ones out again.

Events of one skeleton are stacked; the numbers of all stacks of one height are packed side by side, so that what one event
repeats of another costs nothing.
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
from ..recording import StepGroup, TableStack
from ..recording.line_history import LineSteps
from ..recording.log import own_lines
from .columns import PackedMatrix, pack_columns, unpack_columns
from .old_signals import OldSignal, upgrade
from .skeletons import SplitEvent, join, part
from .tables import Matrix, TableLayout

LEVEL: Final = 6
FULL_BYTES: Final = 256 * 1024
"""Numbers of tables that one block holds before it is full: what has to be unpacked for the sake of one event."""
FULL_EVENTS: Final = 1024


class _PackedGroup(Struct, frozen=True, array_like=True):
    """Events of one skeleton: how many integers and numbers each has, and the texts of all, one event after the other."""

    skeleton: bytes
    height: int
    integers: int
    numbers: int
    texts: list[tuple[str, ...]]


class _PackedBlock(Struct, frozen=True, array_like=True):
    """``order`` uint16: the stack of each event."""

    order: bytes
    stacks: list[_PackedGroup]
    columns: list[tuple[int, PackedMatrix]]
    """Packed matrices, each with the height of its stacks."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_PackedBlock)
_skeletons: msgspec.msgpack.Decoder[wire.AnyEvent | OldSignal] = msgspec.msgpack.Decoder(wire.AnyEvent | OldSignal)


def pack_block(events: Sequence[wire.AnyEvent]) -> bytes:
    """Pack events, of which there are fewer than 65,536."""
    stacked: dict[tuple[Any, ...], list[SplitEvent]] = {}
    order = []
    for parts in map(part, events):
        shape = (parts.skeleton, len(parts.integers), len(parts.numbers), len(parts.texts))
        order.append(stacked.setdefault(shape, []))
        order[-1].append(parts)
    places = {id(stack): place for place, stack in enumerate(stacked.values())}
    pools: dict[tuple[int, int], list[Matrix]] = {}
    for stack in stacked.values():
        for matrix in _matrices(stack):
            pools.setdefault((len(stack), matrix.dtype.itemsize), []).append(matrix)
    block = _PackedBlock(
        np.array([places[id(stack)] for stack in order], "<u2").tobytes(),
        [
            _PackedGroup(
                stack[0].skeleton, len(stack), len(stack[0].integers), len(stack[0].numbers), [each.texts for each in stack]
            )
            if stack[0].texts
            else _PackedGroup(stack[0].skeleton, len(stack), len(stack[0].integers), len(stack[0].numbers), [])
            for stack in stacked.values()
        ],
        [(height, pack_columns(np.concatenate(matrices, axis=1))) for (height, _), matrices in pools.items()],
    )
    return zlib.compress(_encoder.encode(block), LEVEL)


def cut(events: Sequence[wire.AnyEvent]) -> Iterator[Sequence[wire.AnyEvent]]:
    """Cut events into blocks, behind a step where possible: the last one need not be full."""
    start = size = 0
    for at, event in enumerate(events, 1):
        size += weight(event)
        much = max(size / FULL_BYTES, (at - start) / FULL_EVENTS)
        if much >= 2 or (much >= 1 and isinstance(event, wire.StepEvent)):
            yield events[start:at]
            start, size = at, 0
    if start < len(events):
        yield events[start:]


def full(events: Sequence[wire.AnyEvent]) -> bool:
    """Whether a block of these events needs no more."""
    return sum(map(weight, events)) >= FULL_BYTES or len(events) >= FULL_EVENTS


def weight(event: wire.AnyEvent) -> int:
    """Bytes of an event's numbers."""
    if not isinstance(event, wire.PassEvent | wire.StepEvent | wire.LinesEvent):
        return 0
    return len(event.tensors.values) + len(event.tensors.stats) + len(event.tensors.counts)


def _matrices(stack: list[SplitEvent]) -> list[Matrix]:
    """What the events of a stack have of their own, as matrices of words."""
    first = stack[0]
    found: list[Matrix] = []
    if first.integers:
        found.append(np.array([each.integers for each in stack], "<i4").view("<u4"))
    if first.numbers:
        found.append(np.array([each.numbers for each in stack], "<f8").view("<u8"))
    if first.table is not None:
        found += TableLayout(first.table).matrices([each.table for each in stack if each.table is not None])
    return found


class EventBlock:
    """The events of a packed block, each put together when it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._block = _decoder.decode(zlib.decompress(data))
        self._order = np.frombuffer(self._block.order, "<u2").tolist()
        self._skeletons = [_read_skeleton(stack.skeleton) for stack in self._block.stacks]
        self._places: dict[tuple[type[wire.Event], ...], list[int]] = {}
        self._read: dict[int, _Own] = {}

    def __len__(self) -> int:
        return len(self._order)

    def places(self, *kinds: type[wire.Event]) -> list[int]:
        """Where the events of some kinds are."""
        if (known := self._places.get(kinds)) is None:
            wanted = [isinstance(skeleton, kinds) for skeleton in self._skeletons]
            known = self._places[kinds] = [place for place, stack in enumerate(self._order) if wanted[stack]]
        return known

    def event(self, place: int) -> wire.AnyEvent:
        """The event at a place."""
        stack, row = self._order[place], self._rows[place]
        told, own = self._block.stacks[stack], self._own(stack)
        numbers = own.tables
        skeleton = self._skeletons[stack]
        assert skeleton is not None  # places() leaves those out
        return join(
            skeleton,
            SplitEvent(
                b"",
                tuple(own.integers[row].tolist()),
                tuple(own.numbers[row].tolist()),
                told.texts[row] if told.texts else (),
                None
                if numbers is None
                else wire.TensorTable(
                    values=numbers[0][row].tobytes(), stats=numbers[1][row].tobytes(), counts=numbers[2][row].tobytes()
                ),
            ),
        )

    def step_groups(self, start: int, stop: int) -> Iterator[StepGroup]:
        """The steps from one index to before another, those together that are alike, without putting any together."""
        for stack, skeleton in enumerate(self._skeletons):
            if isinstance(skeleton, wire.StepEvent):
                own = self._own(stack)
                assert own.tables is not None
                index = own.integers[:, 0]
                rows = np.flatnonzero((start <= index) & (index < stop))
                if len(rows):
                    values, stats, counts = (matrix[rows] for matrix in own.tables)
                    yield StepGroup(
                        skeleton,
                        index[rows].astype(np.int64),
                        None if skeleton.iteration is None else own.integers[rows, self._block.stacks[stack].integers - 1],
                        own.numbers[rows],
                        TableStack(skeleton.tensors, values, stats.view("<f8"), counts.view("<i8")),
                    )

    def ran(self, start: int, stop: int) -> LineSteps:
        """Lines, and the steps from one index to before another in which they ran, without putting any together."""
        for stack, skeleton in enumerate(self._skeletons):
            if isinstance(skeleton, wire.StepEvent):
                index = self._own(stack).integers[:, 0]
                yield own_lines(skeleton), index[(start <= index) & (index < stop)].tolist()

    @property
    def size(self) -> int:
        """Roughly how many bytes of memory it takes."""
        return 2_000 + sum(columns.rows * columns.size * len(columns.source) // 2 for _, columns in self._block.columns)

    @cached_property
    def _rows(self) -> list[int]:
        """The place of each event in its stack."""
        heights = [0] * len(self._block.stacks)
        rows = []
        for stack in self._order:
            rows.append(heights[stack])
            heights[stack] += 1
        return rows

    @cached_property
    def _layouts(self) -> list[TableLayout | None]:
        return [
            TableLayout(skeleton.tensors) if isinstance(skeleton, wire.PassEvent | wire.StepEvent | wire.LinesEvent) else None
            for skeleton in self._skeletons
        ]

    @cached_property
    def _columns(self) -> list[dict[int, slice]]:
        """For each stack its columns in the matrices of its height, by their size of words."""
        taken: dict[tuple[int, int], int] = {}
        found = []
        for stack, layout in zip(self._block.stacks, self._layouts, strict=True):
            widths = {4: stack.integers, 8: stack.numbers}
            for size, width in layout.widths if layout else ():
                widths[size] = widths.get(size, 0) + width
            starts = {size: taken.get((stack.height, size), 0) for size in widths}
            taken |= {(stack.height, size): starts[size] + width for size, width in widths.items()}
            found.append({size: slice(starts[size], starts[size] + width) for size, width in widths.items()})
        return found

    def _own(self, place: int) -> _Own:
        """What the events of a stack have of their own, unpacked when one of them is first asked for."""
        if (known := self._read.get(place)) is None:
            known = self._read[place] = self._unpacked(place)
        return known

    def _unpacked(self, place: int) -> _Own:
        stack, layout, own = self._block.stacks[place], self._layouts[place], self._columns[place]
        left = {
            columns.size: unpack_columns(columns, own[columns.size])
            for height, columns in self._block.columns
            if height == stack.height and columns.size in own
        }

        def take(size: int, width: int) -> Matrix:
            taken, left[size] = left[size][:, :width], left[size][:, width:]
            return np.ascontiguousarray(taken)

        none: Matrix = np.zeros((stack.height, 0))
        integers = take(4, stack.integers).view("<i4") if stack.integers else none
        numbers = take(8, stack.numbers).view("<f8") if stack.numbers else none
        matrices = (take(size, width) for size, width in layout.widths) if layout else iter(())
        tables = layout.numbers(matrices, stack.height) if layout else None
        return _Own(integers, numbers, tables)


def _read_skeleton(data: bytes) -> wire.AnyEvent | None:
    """Decode a skeleton; ``None`` for a signal of an old recording that cannot be read."""
    skeleton = _skeletons.decode(data)
    return upgrade(skeleton) if isinstance(skeleton, OldSignal) else skeleton


class _Own(Struct, frozen=True):
    """What the events of a stack have of their own, a row for each."""

    integers: Matrix
    numbers: Matrix
    tables: tuple[Matrix, Matrix, Matrix] | None
