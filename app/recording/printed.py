"""Read what a program printed: each stream by itself, and both in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .. import model, wire
from .log import Log

STRETCHES: Final = 10_000
"""Largest number of stretches of text that are kept in order. Each adds some bytes to the response, however short its text."""


def text(log: Log, stream: model.Stream) -> str:
    """Return all text of one stream."""
    return "".join(event.text for event in _events(log) if event.stream == stream)


def by_cell(log: Log) -> dict[tuple[int, model.Stream], str]:
    """Return the text of each cell and stream that printed any."""
    return _joined(_events(log))


def in_order(log: Log, stretches: int = STRETCHES) -> list[model.Printed]:
    """Return the texts of both streams in order, joined where neither the stream nor the cell changes.

    After ``stretches`` texts, the rest of each cell and stream follows as one text.
    """
    found: list[tuple[int, model.Stream]] = []
    texts: list[list[str]] = []
    events = _events(log)
    rest: list[wire.OutputEvent] = []
    for event in events:
        key = (event.cell, event.stream)
        if found and found[-1] == key:
            texts[-1].append(event.text)
        elif len(found) < stretches:
            found.append(key)
            texts.append([event.text])
        else:
            rest = [event, *events]
    first = [model.Printed(stream, "".join(parts), cell) for (cell, stream), parts in zip(found, texts, strict=True)]
    return first + [model.Printed(stream, whole, cell) for (cell, stream), whole in _joined(rest).items()]


def _events(log: Log) -> Iterator[wire.OutputEvent]:
    return (event for event in log.others() if isinstance(event, wire.OutputEvent))


def _joined(events: Iterator[wire.OutputEvent] | list[wire.OutputEvent]) -> dict[tuple[int, model.Stream], str]:
    parts: dict[tuple[int, model.Stream], list[str]] = {}
    for event in events:
        parts.setdefault((event.cell, event.stream), []).append(event.text)
    return {key: "".join(texts) for key, texts in parts.items()}
