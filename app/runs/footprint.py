"""Count the memory that the events of a live run take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .. import wire
from ..recording import MAX_LINE_EVENTS, Overview

_READ_ONE_BY_ONE = (wire.GraphEvent, wire.PassEvent, wire.StepEvent, wire.ProgressEvent)
"""Kinds of events of which the overview of a run keeps only a few numbers."""


class Footprint:
    """The memory of a run's events: of the events in memory, and of dropped events that the overview keeps."""

    def __init__(self) -> None:
        self.events = 0
        """Size of the events that are not dropped."""
        self._rare = 0
        """Size of the events that the overview keeps after they are dropped."""
        self._lines: deque[int] = deque(maxlen=MAX_LINE_EVENTS)

    def add(self, event: wire.AnyEvent) -> None:
        """Add the next event."""
        size = wire.memory_of(event)
        self.events += size
        if isinstance(event, wire.LinesEvent):
            self._lines.append(size)
        elif not isinstance(event, _READ_ONE_BY_ONE):
            self._rare += size

    def drop(self, kept: Iterable[wire.AnyEvent]) -> None:
        """Drop all events except ``kept``."""
        self.events = sum(map(wire.memory_of, kept))

    def bytes(self, overview: Overview) -> int:
        """Return the approximate size in memory of the events and of the run's overview."""
        return self.events + self._rare + sum(self._lines) + overview.history.bytes + 100 * len(overview.graph_sizes)
