"""Keep a log of in-place writes: the storages, and the location in the program."""

from __future__ import annotations

import sys
from collections import deque
from types import FrameType

from ..source.tracebacks import Location
from ..tensors.handles import next_sequence_nr

WRITES = 4096
"""Number of writes that are kept. For an older write to a saved tensor, no line is reported."""


class WriteLog:
    """The recent in-place writes."""

    def __init__(self, filename: str) -> None:
        self._filename = filename
        self._log: deque[tuple[int, set[int], Location | None]] = deque(maxlen=WRITES)
        self._at = -1
        self._written: set[int] = set()
        """The storages that were written to while ``_at`` was the sequence number of the next node."""

    def record(self, storages: set[int]) -> None:
        """Record that these storages are about to be written to, with the innermost location in the program."""
        at = next_sequence_nr()
        if at != self._at:
            self._at = at
            self._written = set(storages)
        elif storages <= self._written:
            return  # only the first write to a storage between two nodes is reported
        else:
            self._written |= storages
        frame: FrameType | None = sys._getframe(2)
        filename = self._filename
        while frame is not None and frame.f_code.co_filename != filename:
            frame = frame.f_back
        location = None if frame is None else (frame.f_code, frame.f_lasti)
        self._log.append((at, storages, location))

    def written_after(self, sequence_nr: int, key: int) -> tuple[bool, Location | None]:
        """Return whether a storage was written to after a node was made, and the location of the first such write."""
        found = (location for at, storages, location in self._log if at > sequence_nr and key in storages)
        for location in found:
            return True, location
        return False, None
