"""Stream a run as server-sent events: everything recorded so far, new events as they arrive, and the end.

A stream can be resumed after any event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import msgspec
from fastapi.sse import format_sse_event

from .. import model, wire
from ..recording import Tensors, line_text
from ..runs.archive import Archive
from ..runs.run import LiveRun, RecordedRun, StoredRun
from .responses import finding_of

QUIET_SECONDS: Final = 15.0
"""Seconds without an event after which a comment is sent, so that proxies keep the connection open."""
BATCH: Final = 64
"""Events that are encoded together."""
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Numbered = tuple[int, wire.AnyEvent]


def last_id(recorded: RecordedRun) -> int | None:
    """Return the id of the last event in a run's stream, or ``None`` while the run is in progress."""
    if not recorded.ended:
        return None
    count = (
        recorded.count if isinstance(recorded, LiveRun) else recorded.stored.events if isinstance(recorded, StoredRun) else 0
    )
    return count + len(recorded.findings)


async def events(archive: Archive, recorded: RecordedRun, after: int, root: str) -> AsyncIterator[bytes]:
    """Yield the bytes of a stream with all events after the one with id ``after`` (-1 for all events)."""
    index = after + 1
    if isinstance(recorded, LiveRun):
        while True:
            changed = recorded.changed
            ended = recorded.ended or recorded.failure is not None
            if index < recorded.forgotten and recorded.earlier is not None:
                earlier, index = recorded.earlier.all(index), recorded.forgotten
                while batch := await archive.beside(_next_batch, earlier):
                    yield _encoded(batch)
                continue
            if batch := list(enumerate(recorded.events[index - recorded.forgotten :][:BATCH], index)):
                yield _encoded(batch)
                index += len(batch)
                continue
            if ended:
                break
            if comment := await wait_for(changed):
                yield comment
        count = recorded.count
    else:
        assert isinstance(recorded, StoredRun)
        stored = recorded.stored_log.all(index)
        while batch := await archive.beside(_next_batch, stored):
            yield _encoded(batch)
        count = recorded.stored.events
    for seq, finding in enumerate(recorded.findings, count):
        if seq > after:
            yield sse("finding", finding_of(finding, root), seq)
    if count + len(recorded.findings) > after:
        yield sse("end", {"status": recorded.status if recorded.ended else "interrupted"}, count + len(recorded.findings))


async def wait_for(changed: asyncio.Event) -> bytes | None:
    """Wait for a change. After ``QUIET_SECONDS`` without one, return a comment that keeps the connection open."""
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            await changed.wait()
    except TimeoutError:
        return b": still running\n\n"
    return None


def sse(name: str, data: Any, id: int | None = None) -> bytes:
    """Return a server-sent event whose data is JSON."""
    return format_sse_event(data_str=msgspec.json.encode(data).decode(), event=name, id=None if id is None else str(id))


def _next_batch(stored: Iterable[Numbered]) -> list[Numbered]:
    batch = []
    for numbered in stored:
        batch.append(numbered)
        if len(batch) == BATCH:
            break
    return batch


def _encoded(batch: Iterable[Numbered]) -> bytes:
    return b"".join(sse(*public, seq) for seq, event in batch if (public := public_event(event)) is not None)


def public_event(event: wire.AnyEvent) -> tuple[str, Any] | None:
    """Return the name and the data of an event in the stream, or ``None`` if the stream skips it."""
    match event:
        case wire.StartedEvent():
            return "started", {"torch": event.torch, "python": event.python}
        case wire.LinesEvent():
            tensors = Tensors(event.tensors)
            return "lines", {
                "lines": [
                    model.Line(row.line, row.file, line_text(row, tensors), tensors.summary(row.row), _graph_id(row.graph))
                    for row in event.rows
                ]
            }
        case wire.GraphEvent():
            return "graph", model.GraphSize(f"g{event.index}", len(event.kind), len(event.gradient))
        case wire.StepEvent():
            return "step", {
                "index": event.index,
                "iteration": model.Iteration(*event.iteration) if event.iteration else None,
                "loss": Tensors(event.tensors).summary(event.loss_row),
                "loss_name": event.loss_name,
                "passes": event.passes,
            }
        case wire.OutputEvent():
            return "output", {"text": event.text, "cell": event.cell, "stream": event.stream}
        case wire.ProgressEvent():
            return "progress", {"done": event.done, "of": event.of if event.of >= 0 else None}
        case _:
            return None


def _graph_id(index: int) -> str | None:
    return f"g{index}" if index >= 0 else None
