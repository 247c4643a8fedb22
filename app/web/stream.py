"""Tell a run as server-sent events: what is recorded already, what comes, and the end; resumable at any place."""

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

QUIET_SECONDS: Final = 15.0
"""A comment is sent after this long without news, so that no proxy thinks the connection dead."""
BATCH: Final = 64

Told = tuple[int, wire.AnyEvent]


def last_id(recorded: RecordedRun) -> int | None:
    """The id of the event that ends a run's stream: past it there is nothing. ``None`` while the run goes on."""
    if not recorded.ended:
        return None
    count = (
        recorded.count if isinstance(recorded, LiveRun) else recorded.stored.events if isinstance(recorded, StoredRun) else 0
    )
    return count + len(recorded.findings)


async def events(archive: Archive, recorded: RecordedRun, after: int) -> AsyncIterator[bytes]:
    """The events after the one with id ``after`` (-1 for all), as bytes of a stream."""
    place = after + 1
    if isinstance(recorded, LiveRun):
        while True:
            changed = recorded.changed
            ended = recorded.ended or recorded.failure is not None
            if place < recorded.forgotten and recorded.earlier is not None:
                earlier, place = recorded.earlier.all(place), recorded.forgotten
                while batch := await archive.beside(_some, earlier):
                    yield _written(batch)
                continue
            if batch := list(enumerate(recorded.events[place - recorded.forgotten :][:BATCH], place)):
                yield _written(batch)
                place += len(batch)
                continue
            if ended:
                break
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield b": still running\n\n"
        count = recorded.count
    else:
        assert isinstance(recorded, StoredRun)
        stored = recorded.stored_log.all(place)
        while batch := await archive.beside(_some, stored):
            yield _written(batch)
        count = recorded.stored.events
    for seq, finding in enumerate(recorded.findings, count):
        if seq > after:
            yield _event(seq, "finding", finding)
    if count + len(recorded.findings) > after:
        yield _event(count + len(recorded.findings), "end", {"status": recorded.status if recorded.ended else "interrupted"})


def _some(stored: Iterable[Told]) -> list[Told]:
    found = []
    for told in stored:
        found.append(told)
        if len(found) == BATCH:
            break
    return found


def _written(batch: Iterable[Told]) -> bytes:
    return b"".join(_event(seq, *told) for seq, event in batch if (told := tell(event)) is not None)


def _event(seq: int, name: str, data: Any) -> bytes:
    return format_sse_event(data_str=msgspec.json.encode(data).decode(), event=name, id=str(seq))


def tell(event: wire.AnyEvent) -> tuple[str, Any] | None:
    """The name and the data of an event as the stream tells it; ``None`` for one that it leaves to other calls."""
    match event:
        case wire.StartedEvent():
            return "started", {"torch": event.torch, "python": event.python}
        case wire.LinesEvent():
            tensors = Tensors(event.tensors)
            return "lines", {
                "lines": [
                    model.Line(row.line, row.file, line_text(row, tensors), tensors.summary(row.row), _graph(row.graph))
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
            return "output", {"text": event.text, "cell": event.cell}
        case wire.ProgressEvent():
            return "progress", {"done": event.done, "of": event.of if event.of >= 0 else None}
        case _:
            return None


def _graph(index: int) -> str | None:
    return f"g{index}" if index >= 0 else None
