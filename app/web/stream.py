"""Tell a run as server-sent events: what is recorded already, what comes, and the end; resumable at any place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import msgspec
from fastapi.sse import format_sse_event

from .. import model, wire
from ..recording import Tensors, shown
from ..runs.archive import Archive
from ..runs.run import LiveTake, StoredTake, Take

QUIET_SECONDS: Final = 15.0
"""A comment is sent after this long without news, so that no proxy thinks the connection dead."""
BATCH: Final = 64

Told = tuple[int, wire.AnyEvent]


def last_id(take: Take) -> int | None:
    """The id of the event that ends a run's stream: past it there is nothing. ``None`` while the run goes on."""
    if not take.ended:
        return None
    count = take.count if isinstance(take, LiveTake) else take.stored.events if isinstance(take, StoredTake) else 0
    return count + len(take.findings)


async def events(archive: Archive, take: Take, after: int) -> AsyncIterator[bytes]:
    """The events after the one with id ``after`` (-1 for all), as bytes of a stream."""
    place = after + 1
    if isinstance(take, LiveTake):
        while True:
            changed = take.changed
            ended = take.ended or take.failure is not None
            if place < take.forgotten and take.earlier is not None:
                earlier, place = take.earlier.all(place), take.forgotten
                while batch := await archive.beside(_some, earlier):
                    yield _written(batch)
                continue
            if batch := list(enumerate(take.events[place - take.forgotten :][:BATCH], place)):
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
        count = take.count
    else:
        assert isinstance(take, StoredTake)
        stored = take.stored_log.all(place)
        while batch := await archive.beside(_some, stored):
            yield _written(batch)
        count = take.stored.events
    for seq, finding in enumerate(take.findings, count):
        if seq > after:
            yield _event(seq, "finding", finding)
    if count + len(take.findings) > after:
        yield _event(count + len(take.findings), "end", {"status": take.status if take.ended else "interrupted"})


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
        case wire.Started():
            return "started", {"torch": event.torch, "python": event.python}
        case wire.Lines():
            tensors = Tensors(event.tensors)
            return "lines", {
                "lines": [
                    model.Line(row.line, row.file, shown(row, tensors), tensors.summary(row.row), _graph(row.graph))
                    for row in event.rows
                ]
            }
        case wire.Graph():
            return "graph", model.GraphSize(f"g{event.index}", len(event.kind), len(event.gradient))
        case wire.Step():
            return "step", {
                "index": event.index,
                "iteration": model.Iteration(*event.iteration) if event.iteration else None,
                "loss": Tensors(event.tensors).summary(event.loss_row),
                "loss_name": event.loss_name,
                "passes": event.passes,
            }
        case wire.Output():
            return "output", {"text": event.text, "cell": event.cell}
        case wire.Progress():
            return "progress", {"done": event.done, "of": event.of if event.of >= 0 else None}
        case _:
            return None


def _graph(index: int) -> str | None:
    return f"g{index}" if index >= 0 else None
