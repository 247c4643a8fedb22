"""Count the memory that the events of a live run take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

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
        """Size of the dropped events that the overview keeps."""
        self._lines: deque[int] = deque(maxlen=MAX_LINE_EVENTS)
        """Sizes of the last dropped events with values of lines. The overview merges all such events into a few."""
        self._lines_in_memory = 0
        """Number of events with values of lines that are not dropped."""

    def add(self, event: wire.AnyEvent) -> None:
        """Add the next event."""
        self.events += wire.memory_of(event)
        self._lines_in_memory += isinstance(event, wire.LinesEvent)

    def drop(self, events: Iterable[wire.AnyEvent]) -> None:
        """Drop the first events that are still in memory."""
        for event in events:
            size = wire.memory_of(event)
            self.events -= size
            if isinstance(event, wire.LinesEvent):
                self._lines.append(size)
                self._lines_in_memory -= 1
            elif not isinstance(event, _READ_ONE_BY_ONE):
                self._rare += size

    def bytes(self, overview: Overview) -> int:
        """Return the approximate size in memory of the events and of the run's overview."""
        first = max(0, len(self._lines) + self._lines_in_memory - MAX_LINE_EVENTS)
        lines = sum(islice(self._lines, first, None))
        return self.events + self._rare + lines + overview.history.bytes + 100 * len(overview.graph_sizes)
