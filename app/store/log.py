"""Keep events as rows, and read them back one by one: what is not asked for is never unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, bindparam, select

from .. import wire
from ..errors import NotFound
from ..recording import merge_lines
from .schema import events

GRAPH, PASS, STEP, LINES, OTHER = 0, 1, 2, 3, 4
NAMES: Final = {GRAPH: "graph", PASS: "pass", STEP: "step"}

DEFLATE_BYTES: Final = 200
"""Smaller payloads are kept as they are."""

E = TypeVar("E", bound=wire.Event)
Row = dict[str, Any]


def rows(batch: Iterable[wire.AnyEvent], first: int) -> list[Row]:
    """The rows of a batch of events, of which the first has the place ``first`` in its run."""
    return [_row(seq, event) for seq, event in enumerate(batch, first)]


def _row(seq: int, event: wire.AnyEvent) -> Row:
    key = seq
    match event:
        case wire.Graph():
            kind, key = GRAPH, event.index
        case wire.Pass():
            kind, key = PASS, event.index
        case wire.Step():
            kind, key = STEP, event.index
        case wire.Lines():
            kind = LINES
        case _:
            kind = OTHER
    payload = wire.pack([event])
    deflated = len(payload) > DEFLATE_BYTES
    if deflated:
        payload = zlib.compress(payload, 1)
    return {"kind": kind, "key": key, "seq": seq, "deflated": int(deflated), "payload": payload}


_ONE = select(events.c.deflated, events.c.payload).where(
    events.c.run == bindparam("run"), events.c.kind == bindparam("kind"), events.c.key == bindparam("key")
)
_SOME = (
    select(events.c.deflated, events.c.payload)
    .where(events.c.run == bindparam("run"), events.c.kind == bindparam("kind"))
    .where(events.c.key >= bindparam("start"), events.c.key < bindparam("stop"))
    .order_by(events.c.key)
)
_KIND = (
    select(events.c.deflated, events.c.payload)
    .where(events.c.run == bindparam("run"), events.c.kind == bindparam("kind"))
    .order_by(events.c.key)
)
_PLACES = select(events.c.seq, events.c.kind, events.c.key).where(events.c.run == bindparam("run")).order_by(events.c.seq)


class StoredLog:
    """The events of one run in the store; a :class:`~tapedeck.recording.Log`."""

    def __init__(self, engine: Engine, run: int, counts: tuple[int, int, int]) -> None:
        self._engine = engine
        self._run = run
        self._counts = counts

    def graph(self, index: int) -> wire.Graph:
        return self._one(wire.Graph, GRAPH, index)

    def pass_(self, index: int) -> wire.Pass:
        return self._one(wire.Pass, PASS, index)

    def step(self, index: int) -> wire.Step:
        return self._one(wire.Step, STEP, index)

    def steps(self, start: int, stop: int) -> Iterator[wire.Step]:
        with self._engine.connect() as connection:
            found = connection.execute(_SOME, {"run": self._run, "kind": STEP, "start": start, "stop": stop}).all()
        return (event for row in found if isinstance(event := _event(row.deflated, row.payload), wire.Step))

    def lines(self) -> wire.Lines | None:
        return merge_lines([event for event in self._all(LINES) if isinstance(event, wire.Lines)])

    def others(self) -> Iterator[wire.AnyEvent]:
        return self._all(OTHER)

    def counts(self) -> tuple[int, int, int]:
        return self._counts

    def all(self, first: int = 0) -> Iterator[tuple[int, wire.AnyEvent]]:
        """Every event from a place on, with its place, in the order in which they came."""
        with self._engine.connect() as connection:
            places = [row for row in connection.execute(_PLACES, {"run": self._run}) if row.seq >= first]
        for seq, kind, key in places:
            with self._engine.connect() as connection:
                row = connection.execute(_ONE, {"run": self._run, "kind": kind, "key": key}).first()
            if row is not None:  # the run may have been deleted meanwhile
                yield seq, _event(row.deflated, row.payload)

    def _one(self, kind: type[E], code: int, index: int) -> E:
        row = None
        if 0 <= index < 2**31:
            with self._engine.connect() as connection:
                row = connection.execute(_ONE, {"run": self._run, "kind": code, "key": index}).first()
        if row is None:
            count = self._counts[code]
            remedy = f"the last is {count - 1}" if count else f"this run has no {NAMES[code]}"
            raise NotFound(f"There is no {NAMES[code]} {index}: {remedy}.")
        event = _event(row.deflated, row.payload)
        assert isinstance(event, kind)
        return event

    def _all(self, code: int) -> Iterator[wire.AnyEvent]:
        with self._engine.connect() as connection:
            found = connection.execute(_KIND, {"run": self._run, "kind": code}).all()
        return (_event(row.deflated, row.payload) for row in found)


def _event(deflated: int, payload: bytes) -> wire.AnyEvent:
    return wire.unpack(zlib.decompress(payload) if deflated else payload)[0]
