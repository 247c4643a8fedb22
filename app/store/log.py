"""Read the events of a run from its blocks, unpacking only the blocks that are needed."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import Any, Final, TypeVar

from msgspec import Struct
from sqlalchemy import Engine, bindparam, func, select

from .. import wire
from ..byte_cache import ByteCache
from ..recording import NonfiniteIndices, Overview, StepGroup, StepSeries, read_each
from ..recording.log import missing
from .block import EventBlock, is_full, pack_block, split_into_blocks
from .overviews import Overviews, overview_of
from .schema import blocks
from .series import MANY_STEPS, StoredSeries

KINDS: Final[dict[str, type[wire.Event]]] = {"graph": wire.GraphEvent, "pass": wire.PassEvent, "step": wire.StepEvent}
"""Kinds of events that can be read by their index."""
CACHE_BYTES: Final = 32 * 1024 * 1024
LARGE_BLOCK_BYTES: Final = 128 * 1024 * 1024
"""Largest size of the block that is cached beside the others, such as the pass of a graph of 100,000 nodes."""
LARGE_BYTES: Final = 8 * 1024
"""Size of a run's blocks above which its overview is stored."""
HEADING_CACHE_BYTES: Final = 8 * 1024 * 1024
HEADING_BYTES: Final = 500
"""Approximate size of a heading in memory."""

E = TypeVar("E", bound=wire.Event)
BlockRow = dict[str, Any]
"""A row of the table ``blocks``."""


class PackedEvents(Struct, frozen=True):
    """The events of a run from the position ``first`` on, packed."""

    first: int
    count: int
    """Number of events."""
    rows: list[BlockRow]
    sealed: int
    """Position up to which all blocks are full."""


def packed_events(events: Sequence[wire.AnyEvent], first: int, counts: tuple[int, int, int]) -> PackedEvents:
    """Pack events into rows of the table ``blocks``.

    ``first`` is the position of the first event in its run, and ``counts`` the number of graphs, passes and steps before it.
    """
    start = first
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
    return PackedEvents(start, len(events), packed, sealed)


def has_overview(size: int) -> bool:
    """Return whether the overview of a run with blocks of this size is stored: small blocks are read as fast as an overview."""
    return size > LARGE_BYTES


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
    size: int = 0
    """Bytes of the payload."""


_HEADINGS = (
    select(
        blocks.c.first,
        blocks.c.count,
        func.length(blocks.c.payload),
        *(blocks.c[f"{name}_{number}"] for name in KINDS for number in ("first", "count")),
    )
    .where(blocks.c.run == bindparam("run"), blocks.c.first < bindparam("end"))
    .order_by(blocks.c.first)
)
_PAYLOAD = select(blocks.c.payload).where(blocks.c.run == bindparam("run"), blocks.c.first == bindparam("first"))


class BlockCache:
    """Reads blocks, and caches the most recently read ones. Several threads may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._blocks: OrderedDict[tuple[int, int, int], EventBlock] = OrderedDict()
        self._size = 0
        """The sum of the sizes of ``_blocks``."""
        self._large: tuple[tuple[int, int, int], EventBlock] | None = None
        """The large block that was read last, with its key. Among ``_blocks``, it would displace most others."""
        self._loading: dict[tuple[int, int, int], Future[EventBlock | None]] = {}
        """The blocks that a thread is loading."""
        self._headings = ByteCache[tuple[int, int], list[BlockHeading]](HEADING_CACHE_BYTES)
        self._lock = threading.Lock()

    @property
    def database(self) -> str:
        """Path of the database."""
        return self._engine.url.database or ""

    def prepare(self) -> None:
        """Compile the queries by reading from a run that does not exist; see :meth:`Store.prepare`."""
        self.headings(0)
        self.block(0, BlockHeading(0, 0, {}, {}))

    def headings(self, run: int, end: int = 1 << 62) -> list[BlockHeading]:
        """Return the headings of the blocks with the first ``end`` events of a run, in order."""
        if (cached := self._headings.get((run, end))) is not None:
            return cached
        with self._engine.connect() as connection:
            rows = connection.execute(_HEADINGS, {"run": run, "end": end}).all()
        found = [
            BlockHeading(
                first,
                count,
                dict(zip(KINDS, numbers[::2], strict=True)),
                dict(zip(KINDS, numbers[1::2], strict=True)),
                size,
            )
            for first, count, size, *numbers in rows
        ]
        self._headings.put((run, end), found, HEADING_BYTES * len(found))
        return found

    def block(self, run: int, heading: BlockHeading) -> EventBlock | None:
        """Return a block; ``None`` if the run was deleted in the meantime. Threads that ask for the same block load it once."""
        key = (run, heading.first, heading.count)
        with self._lock:
            if (cached := self._blocks.get(key)) is not None:
                self._blocks.move_to_end(key)
                return cached
            if self._large is not None and self._large[0] == key:
                return self._large[1]
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
                self._keep(key, block)
        mine.set_result(block)
        return block

    def _keep(self, key: tuple[int, int, int], block: EventBlock) -> None:
        if block.size > CACHE_BYTES // 2:
            self._large = (key, block) if block.size <= LARGE_BLOCK_BYTES else None
            return
        self._blocks[key] = block
        self._size += block.size
        while self._size > CACHE_BYTES:
            self._size -= self._blocks.popitem(last=False)[1].size

    def _load(self, run: int, heading: BlockHeading) -> EventBlock | None:
        with self._engine.connect() as connection:
            data = connection.execute(_PAYLOAD, {"run": run, "first": heading.first}).scalar()
        return None if data is None else EventBlock(data)

    @property
    def cached_bytes(self) -> int:
        """The approximate size of the cached blocks in bytes, without a large one, at most :data:`CACHE_BYTES`."""
        return self._size


class StoredLog:
    """The events of a stored run before the position ``end``. ``counts`` is their number of graphs, passes and steps.

    It implements :class:`~tapedeck.recording.Log`.
    """

    def __init__(
        self, cache: BlockCache, overviews: Overviews, series: StoredSeries, run: int, counts: tuple[int, int, int], end: int
    ) -> None:
        self._cache = cache
        self._overviews = overviews
        self._series = series
        self.run = run
        self._counts = counts
        self.end = end

    @property
    def database(self) -> str:
        """Path of the database."""
        return self._cache.database

    def graph(self, index: int) -> wire.GraphEvent:
        return self._one(wire.GraphEvent, "graph", index)

    def pass_(self, index: int) -> wire.PassEvent:
        return self._one(wire.PassEvent, "pass", index)

    def step(self, index: int) -> wire.StepEvent:
        return self._one(wire.StepEvent, "step", index)

    def step_groups(self, start: int, stop: int) -> Iterator[StepGroup]:
        for _, block in self._overlapping("step", start, stop):
            yield from block.step_groups(start, stop)

    def series(self, keys: Sequence[str], start: int, stop: int) -> dict[str, StepSeries]:
        steps = self._counts[2]
        if steps < MANY_STEPS:
            return read_each(self.step_groups(start, stop), keys)

        def make(missing: Sequence[str]) -> dict[str, StepSeries]:
            return read_each(self.step_groups(0, steps), missing)

        whole = self._series.read(self.run, self.end, keys, make)
        return {key: series.steps(start, stop) for key, series in whole.items()}

    def passes(self, start: int, stop: int) -> Iterator[wire.PassEvent]:
        for heading, block in self._overlapping("pass", start, stop):
            first = heading.firsts["pass"]
            for position in block.positions(wire.PassEvent)[max(0, start - first) : max(0, stop - first)]:
                event = block.event(position)
                assert isinstance(event, wire.PassEvent)
                yield event

    def previous_line_steps(self, step: int) -> dict[int, int]:
        return self.overview.history.before(step)

    def lines(self) -> wire.LinesEvent | None:
        return self.overview.lines()

    def others(self) -> Iterator[wire.AnyEvent]:
        return iter(self.overview.others)

    def graph_sizes(self) -> Sequence[tuple[int, int]]:
        return self.overview.graph_sizes

    def counts(self) -> tuple[int, int, int]:
        return self._counts

    def nonfinite(self) -> NonfiniteIndices:
        return self.overview.nonfinite

    @cached_property
    def overview(self) -> Overview:
        """The overview of these events. It is read from the store, or made from all events if it is not stored."""

        def make() -> Overview:
            return overview_of(event for _, event in self.all())

        return self._overviews.read(
            self.run, self.end, make, keep=has_overview(sum(heading.size for heading in self._headings))
        )

    def all(self, first: int = 0) -> Iterator[tuple[int, wire.AnyEvent]]:
        """Yield the events from the position ``first`` on, in order, each with its position."""
        for heading in self._headings:
            if heading.first + heading.count > first and (block := self._block(heading)) is not None:
                for position in block.positions(wire.Event):
                    if heading.first + position >= first:
                        yield heading.first + position, block.event(position)

    def _overlapping(self, kind: str, start: int, stop: int) -> Iterator[tuple[BlockHeading, EventBlock]]:
        """Yield the blocks with events of a kind whose indices are from ``start`` to before ``stop``."""
        headings = self._headings
        at = bisect_right(headings, start, key=lambda heading: heading.firsts[kind] + heading.counts[kind])
        while at < len(headings) and headings[at].firsts[kind] < stop:
            if headings[at].counts[kind] and (block := self._block(headings[at])) is not None:
                yield headings[at], block
            at += 1

    def _one(self, kind: type[E], name: str, index: int) -> E:
        for heading, block in self._overlapping(name, index, index + 1):
            event = block.event(block.positions(kind)[index - heading.firsts[name]])
            assert isinstance(event, kind)
            return event
        raise missing(name, index, self._counts[tuple(KINDS).index(name)])

    @cached_property
    def _headings(self) -> list[BlockHeading]:
        return self._cache.headings(self.run, self.end)

    def _block(self, heading: BlockHeading) -> EventBlock | None:
        return self._cache.block(self.run, heading)
