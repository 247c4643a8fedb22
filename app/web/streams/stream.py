"""Encode recorded events as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from fastapi.sse import format_sse_event
from msgspec import Struct

from ... import model, wire
from ...recording import Tensors, line_text
from ...runs.run import RecordedRun
from ..responses import finding_of

COMMENT: Final = b": still running\n\n"
"""A comment. It keeps a quiet connection open in proxies."""
LIGHT_ROWS: Final = 500
"""Largest number of lines and tensors in a batch of events that is encoded on the event loop."""


class Chunk(Struct, frozen=True):
    """Consecutive events of a run, encoded."""

    first: int
    """Position of the first event, which is its id in the stream."""
    ends: tuple[int, ...]
    """For each event, the end of its bytes in ``data``. Events that the stream skips have no bytes."""
    data: bytes

    @property
    def stop(self) -> int:
        """Position after the last event."""
        return self.first + len(self.ends)

    def since(self, position: int) -> bytes:
        """Return the bytes of the events from ``position`` on.

        >>> chunk = Chunk(64, (3, 3, 5), b"aaabb")
        >>> chunk.since(64), chunk.since(65), chunk.since(67)
        (b'aaabb', b'bb', b'')
        """
        return self.data[self.ends[position - self.first - 1] :] if position > self.first else self.data

    def joined(self, following: Chunk) -> Chunk:
        """Return this chunk with the events of the following one."""
        ends = tuple(len(self.data) + end for end in following.ends)
        return Chunk(self.first, self.ends + ends, self.data + following.data)


def encode(events: Iterable[wire.AnyEvent], first: int) -> Chunk:
    """Encode events, the first of which has the position ``first``."""
    return _chunk(
        first,
        [sse(*public, id) if (public := public_event(event)) is not None else b"" for id, event in enumerate(events, first)],
    )


def encode_end(recorded: RecordedRun, count: int, root: str) -> Chunk:
    """Encode the end of a run's stream: its findings and its status. ``count`` is its number of events."""
    parts = [sse("finding", finding_of(finding, root), id) for id, finding in enumerate(recorded.findings, count)]
    status = recorded.status if recorded.ended else "interrupted"
    return _chunk(count, [*parts, sse("end", {"status": status}, count + len(parts))])


def _chunk(first: int, parts: Sequence[bytes]) -> Chunk:
    ends, end = [], 0
    for part in parts:
        end += len(part)
        ends.append(end)
    return Chunk(first, tuple(ends), b"".join(parts))


def is_heavy(events: Iterable[wire.AnyEvent]) -> bool:
    """Return whether encoding the events would delay others on the event loop."""
    rows = 0
    for event in events:
        match event:
            case wire.LinesEvent():
                rows += len(event.rows) + len(event.tensors.dtype)
            case wire.StepEvent():
                rows += len(event.tensors.dtype)
            case wire.OutputEvent():
                rows += len(event.text) // 100
            case _:
                pass
    return rows > LIGHT_ROWS


def sse(name: str, data: Any, id: int | None = None) -> bytes:
    """Return a server-sent event whose data is JSON."""
    return format_sse_event(data_str=msgspec.json.encode(data).decode(), event=name, id=None if id is None else str(id))


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
