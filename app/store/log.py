"""Find the events of a run in its blocks: only those blocks are unpacked that hold what is asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Final, TypeVar

from msgspec import Struct
from sqlalchemy import Engine, bindparam, select

from .. import wire
from ..errors import NotFound
from ..recording import StepGroup, merge_lines
from ..recording.line_history import LineHistory, LineSteps
from ..recording.log import MAX_NONFINITE, NonfiniteIndices
from ..recording.tensors import finite
from .block import EventBlock, cut, full, pack_block
from .schema import blocks

KINDS: Final[dict[str, type[wire.Event]]] = {"graph": wire.GraphEvent, "pass": wire.PassEvent, "step": wire.StepEvent}
"""What is found by its index."""
CACHE_BYTES: Final = 32 * 1024 * 1024
CACHE_RUNS: Final = 64

E = TypeVar("E", bound=wire.Event)
BlockRow = dict[str, Any]


def block_rows(events: Sequence[wire.AnyEvent], first: int, counts: tuple[int, int, int]) -> tuple[list[BlockRow], int]:
    """The rows of events from the place ``first`` in a run on, which before had so many graphs, passes and steps.

    Also the place up to which blocks are full.
    """
    packed: list[BlockRow] = []
    there = dict(zip(KINDS, counts, strict=True))
    sealed = first
    for block in cut(events):
        row: BlockRow = {"first": first, "count": len(block), "payload": pack_block(block)}
        for name, kind in KINDS.items():
            found = sum(isinstance(event, kind) for event in block)
            row |= {f"{name}_first": there[name], f"{name}_count": found}
            there[name] += found
        packed.append(row)
        first += len(block)
        if full(block):
            sealed = first
    return packed, sealed


class BlockHeading(Struct, frozen=True):
    """A block without its payload: its place, how many events it has, and of each kind the first index and how many."""

    first: int
    count: int
    firsts: dict[str, int]
    counts: dict[str, int]


_HEADINGS = (
    select(*(column for column in blocks.c if column.name != "payload"))
    .where(blocks.c.run == bindparam("run"))
    .order_by(blocks.c.first)
)
_PAYLOAD = select(blocks.c.payload).where(blocks.c.run == bindparam("run"), blocks.c.first == bindparam("first"))


class BlockCache:
    """BlockCache that were read last, for several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[tuple[int, int, int], EventBlock] = OrderedDict()
        self._size = 0
        self._ran: OrderedDict[int, LineHistory] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Ask once for what no run has, see :meth:`Store.prepare`."""
        self.headings(0)
        self.block(0, BlockHeading(0, 0, {}, {}))

    def headings(self, run: int) -> list[BlockHeading]:
        """The blocks of a run, in order."""
        with self._engine.connect() as connection:
            found = connection.execute(_HEADINGS, {"run": run}).mappings().all()
        return [
            BlockHeading(
                row["first"],
                row["count"],
                {name: row[f"{name}_first"] for name in KINDS},
                {name: row[f"{name}_count"] for name in KINDS},
            )
            for row in found
        ]

    def block(self, run: int, heading: BlockHeading) -> EventBlock | None:
        """A block; ``None`` if the run has been deleted meanwhile."""
        key = (run, heading.first, heading.count)
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        with self._engine.connect() as connection:
            data = connection.execute(_PAYLOAD, {"run": run, "first": heading.first}).scalar()
        if data is None:
            return None
        block = EventBlock(data)
        with self._lock:
            self._kept[key] = block
            self._size += block.size
            while self._size > CACHE_BYTES:
                self._size -= self._kept.popitem(last=False)[1].size
        return block

    def ran(self, run: int) -> LineHistory:
        """In which steps the lines of a run ran, as far as that was looked for."""
        with self._lock:
            known = self._ran.setdefault(run, LineHistory())
            self._ran.move_to_end(run)
            while len(self._ran) > CACHE_RUNS:
                self._ran.popitem(last=False)
        return known


class StoredLog:
    """The events of one run in the store, up to a place in it; a :class:`~tapedeck.recording.Log`."""

    def __init__(self, kept: BlockCache, run: int, counts: tuple[int, int, int], end: int) -> None:
        self._kept = kept
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
        for heading in self._headings:
            first, count = heading.firsts["step"], heading.counts["step"]
            if count and first < stop and start < first + count and (block := self._block(heading)) is not None:
                yield from block.step_groups(start, stop)

    def passes(self, start: int, stop: int) -> Iterator[wire.PassEvent]:
        return self._some(wire.PassEvent, "pass", start, stop)

    def previous_line_steps(self, step: int) -> dict[int, int]:
        ran = self._kept.ran(self._run)
        ran.extend_to(min(step, self._counts[2]), self._ran)
        return ran.before(step)

    def _ran(self, start: int, stop: int) -> LineSteps:
        for heading in self._headings:
            first, count = heading.firsts["step"], heading.counts["step"]
            if count and first < stop and start < first + count and (block := self._block(heading)) is not None:
                yield from block.ran(start, stop)

    def lines(self) -> wire.LinesEvent | None:
        return merge_lines([event for _, event in self._every(wire.LinesEvent)])

    def others(self) -> Iterator[wire.AnyEvent]:
        others = (wire.StartedEvent, wire.OutputEvent, wire.CellEvent, wire.ParameterEvent, wire.Signal, wire.EndEvent)
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
        """Every event from a place on, with its place, in the order in which they came."""
        return self._every(wire.Event, first=first)

    def _every(self, *kinds: type[E], first: int = 0) -> Iterator[tuple[int, Any]]:
        for heading in self._headings:
            if heading.first + heading.count > first and (block := self._block(heading)) is not None:
                for place in block.places(*kinds):
                    if heading.first + place >= first:
                        yield heading.first + place, block.event(place)

    def _some(self, kind: type[E], name: str, start: int, stop: int) -> Iterator[E]:
        for heading in self._headings:
            first, count = heading.firsts[name], heading.counts[name]
            if count and first < stop and start < first + count and (block := self._block(heading)) is not None:
                for place in block.places(kind)[max(0, start - first) : max(0, stop - first)]:
                    event = block.event(place)
                    assert isinstance(event, kind)
                    yield event

    def _one(self, kind: type[E], name: str, index: int) -> E:
        for heading in self._headings:
            place = index - heading.firsts[name]
            if 0 <= place < heading.counts[name] and (block := self._block(heading)) is not None:
                event = block.event(block.places(kind)[place])
                assert isinstance(event, kind)
                return event
        count = self._counts[tuple(KINDS).index(name)]
        remedy = f"the last is {count - 1}" if count else f"this run has no {name}"
        raise NotFound(f"There is no {name} {index}: {remedy}.")

    @cached_property
    def _headings(self) -> list[BlockHeading]:
        return [heading for heading in self._kept.headings(self._run) if heading.first < self._end]

    def _block(self, heading: BlockHeading) -> EventBlock | None:
        return self._kept.block(self._run, heading)
