"""Read the events of a run from its blocks, unpacking only the blocks that are needed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import cached_property
from itertools import islice
from typing import Any, Final, TypeVar

from msgspec import Struct
from sqlalchemy import Engine, bindparam, select

from .. import wire
from ..recording import StepGroup, merge_lines
from ..recording.line_history import LineHistory, LineSteps
from ..recording.log import MAX_NONFINITE, NonfiniteIndices, missing
from ..recording.tensors import finite
from .block import EventBlock, is_full, pack_block, split_into_blocks
from .schema import blocks

KINDS: Final[dict[str, type[wire.Event]]] = {"graph": wire.GraphEvent, "pass": wire.PassEvent, "step": wire.StepEvent}
"""Kinds of events that can be read by their index."""
CACHE_BYTES: Final = 32 * 1024 * 1024
CACHE_RUNS: Final = 64

E = TypeVar("E", bound=wire.Event)
BlockRow = dict[str, Any]
"""A row of the table ``blocks``."""


def block_rows(events: Sequence[wire.AnyEvent], first: int, counts: tuple[int, int, int]) -> tuple[list[BlockRow], int]:
    """Pack events into rows of the table ``blocks``.

    ``first`` is the position of the first event in its run, and ``counts`` the number of graphs, passes and steps before it.
    Return the rows, and the position up to which all blocks are full.
    """
    packed: list[BlockRow] = []
    next_index = dict(zip(KINDS, counts, strict=True))
    sealed = first
    for block in split_into_blocks(events):
        row: BlockRow = {"first": first, "count": len(block), "payload": pack_block(block)}
        for name, kind in KINDS.items():
            found = sum(isinstance(event, kind) for event in block)
            row |= {f"{name}_first": next_index[name], f"{name}_count": found}
            next_index[name] += found
        packed.append(row)
        first += len(block)
        if is_full(block):
            sealed = first
    return packed, sealed


class BlockHeading(Struct, frozen=True):
    """A block without its payload."""

    first: int
    """Position of the first event in the run."""
    count: int
    """Number of events."""
    firsts: dict[str, int]
    """Index of the first event of each of :data:`KINDS`."""
    counts: dict[str, int]
    """Number of events of each of :data:`KINDS`."""

    def overlaps(self, kind: str, start: int, stop: int) -> bool:
        """Return whether the block has events of a kind with indices from ``start`` to before ``stop``."""
        first, count = self.firsts[kind], self.counts[kind]
        return bool(count) and first < stop and start < first + count


_HEADINGS = (
    select(*(column for column in blocks.c if column.name != "payload"))
    .where(blocks.c.run == bindparam("run"))
    .order_by(blocks.c.first)
)
_PAYLOAD = select(blocks.c.payload).where(blocks.c.run == bindparam("run"), blocks.c.first == bindparam("first"))


class BlockCache:
    """Reads blocks, and caches the most recently read blocks and line histories. Several threads may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._blocks: OrderedDict[tuple[int, int, int], EventBlock] = OrderedDict()
        self._size = 0
        """The sum of the sizes of ``_blocks``."""
        self._loading: dict[tuple[int, int, int], Future[EventBlock | None]] = {}
        """The blocks that a thread is loading."""
        self._histories: OrderedDict[int, LineHistory] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Compile the queries by reading from a run that does not exist; see :meth:`Store.prepare`."""
        self.headings(0)
        self.block(0, BlockHeading(0, 0, {}, {}))

    def headings(self, run: int) -> list[BlockHeading]:
        """Return the headings of a run's blocks, in order."""
        with self._engine.connect() as connection:
            rows = connection.execute(_HEADINGS, {"run": run}).mappings().all()
        return [
            BlockHeading(
                row["first"],
                row["count"],
                {name: row[f"{name}_first"] for name in KINDS},
                {name: row[f"{name}_count"] for name in KINDS},
            )
            for row in rows
        ]

    def block(self, run: int, heading: BlockHeading) -> EventBlock | None:
        """Return a block; ``None`` if the run was deleted in the meantime. Threads that ask for the same block load it once."""
        key = (run, heading.first, heading.count)
        with self._lock:
            if (cached := self._blocks.get(key)) is not None:
                self._blocks.move_to_end(key)
                return cached
            loading = self._loading.get(key)
            if loading is None:
                mine = self._loading[key] = Future[EventBlock | None]()
        if loading is not None:
            return loading.result()
        try:
            block = self._load(run, heading)
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._loading[key]
            if block is not None:
                self._blocks[key] = block
                self._size += block.size
            while self._size > CACHE_BYTES:
                self._size -= self._blocks.popitem(last=False)[1].size
        mine.set_result(block)
        return block

    def _load(self, run: int, heading: BlockHeading) -> EventBlock | None:
        with self._engine.connect() as connection:
            data = connection.execute(_PAYLOAD, {"run": run, "first": heading.first}).scalar()
        return None if data is None else EventBlock(data)

    @property
    def cached_bytes(self) -> int:
        """The approximate size of the cached blocks in bytes, at most :data:`CACHE_BYTES`."""
        return self._size

    def line_history(self, run: int) -> LineHistory:
        """Return the cached history of a run's lines, which may be incomplete."""
        with self._lock:
            history = self._histories.setdefault(run, LineHistory())
            self._histories.move_to_end(run)
            while len(self._histories) > CACHE_RUNS:
                self._histories.popitem(last=False)
        return history


class StoredLog:
    """The events of a stored run before the position ``end``. ``counts`` is their number of graphs, passes and steps.

    It implements :class:`~tapedeck.recording.Log`.
    """

    def __init__(self, cache: BlockCache, run: int, counts: tuple[int, int, int], end: int) -> None:
        self._cache = cache
        self._run = run
        self._counts = counts
        self._end = end

    def graph(self, index: int) -> wire.GraphEvent:
        return self._one(wire.GraphEvent, "graph", index)

    def pass_(self, index: int) -> wire.PassEvent:
        return self._one(wire.PassEvent, "pass", index)

    def step(self, index: int) -> wire.StepEvent:
        return self._one(wire.StepEvent, "step", index)

    def step_groups(self, start: int, stop: int) -> Iterator[StepGroup]:
        for _, block in self._overlapping("step", start, stop):
            yield from block.step_groups(start, stop)

    def passes(self, start: int, stop: int) -> Iterator[wire.PassEvent]:
        for heading, block in self._overlapping("pass", start, stop):
            first = heading.firsts["pass"]
            for position in block.positions(wire.PassEvent)[max(0, start - first) : max(0, stop - first)]:
                event = block.event(position)
                assert isinstance(event, wire.PassEvent)
                yield event

    def previous_line_steps(self, step: int) -> dict[int, int]:
        history = self._cache.line_history(self._run)
        history.extend_to(min(step, self._counts[2]), self._line_steps)
        return history.before(step)

    def _line_steps(self, start: int, stop: int) -> LineSteps:
        for _, block in self._overlapping("step", start, stop):
            yield from block.line_steps(start, stop)

    def lines(self) -> wire.LinesEvent | None:
        return merge_lines([event for _, event in self._every(wire.LinesEvent)])

    def others(self) -> Iterator[wire.AnyEvent]:
        others = (
            wire.StartedEvent,
            wire.OutputEvent,
            wire.CellEvent,
            wire.ModuleFileEvent,
            wire.ParameterEvent,
            wire.Signal,
            wire.EndEvent,
        )
        return (event for _, event in self._every(*others))

    def counts(self) -> tuple[int, int, int]:
        return self._counts

    def nonfinite(self) -> NonfiniteIndices:
        _, passes, steps = self._counts
        found = (
            (index for index in range(count) if not finite(read(index).tensors))
            for read, count in ((self.pass_, passes), (self.step, steps))
        )
        first, second = (list(islice(each, MAX_NONFINITE)) for each in found)
        return first, second

    def all(self, first: int = 0) -> Iterator[tuple[int, wire.AnyEvent]]:
        """Yield the events from the position ``first`` on, in order, each with its position."""
        return self._every(wire.Event, first=first)

    def _every(self, *kinds: type[E], first: int = 0) -> Iterator[tuple[int, Any]]:
        for heading in self._headings:
            if heading.first + heading.count > first and (block := self._block(heading)) is not None:
                for position in block.positions(*kinds):
                    if heading.first + position >= first:
                        yield heading.first + position, block.event(position)

    def _overlapping(self, kind: str, start: int, stop: int) -> Iterator[tuple[BlockHeading, EventBlock]]:
        """Yield the blocks with events of a kind whose indices are from ``start`` to before ``stop``."""
        for heading in self._headings:
            if heading.overlaps(kind, start, stop) and (block := self._block(heading)) is not None:
                yield heading, block

    def _one(self, kind: type[E], name: str, index: int) -> E:
        for heading, block in self._overlapping(name, index, index + 1):
            event = block.event(block.positions(kind)[index - heading.firsts[name]])
            assert isinstance(event, kind)
            return event
        raise missing(name, index, self._counts[tuple(KINDS).index(name)])

    @cached_property
    def _headings(self) -> list[BlockHeading]:
        return [heading for heading in self._cache.headings(self._run) if heading.first < self._end]

    def _block(self, heading: BlockHeading) -> EventBlock | None:
        return self._cache.block(self._run, heading)
