"""Remember what was written to in place lately, and where."""

from __future__ import annotations

import sys
from collections import deque

from ..source.tracebacks import Location, program_frames
from ..tensors.handles import next_sequence_nr

WRITES = 4096
"""In-place writes that are remembered; a saved tensor that was changed longer ago is told without the line."""


class WriteLog:
    """What was written to in place lately, and where."""

    def __init__(self, filename: str) -> None:
        self._filename = filename
        self._log: deque[tuple[int, set[int], Location | None]] = deque(maxlen=WRITES)

    def record(self, storages: set[int]) -> None:
        """These storages are about to be written to."""
        self._log.append((next_sequence_nr(), storages, next(program_frames(sys._getframe(2), self._filename), None)))

    def written_after(self, number: int, key: int) -> tuple[bool, Location | None]:
        """Whether a storage was written to after the node with a number was made, and where the program did so first."""
        found = (place for at, storages, place in self._log if at > number and key in storages)
        for place in found:
            return True, place
        return False, None
