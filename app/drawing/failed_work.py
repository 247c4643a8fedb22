"""Remember failed work for a while, so that it is not tried again at every request."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..errors import DrawingError

SECONDS: Final = 600.0
"""Seconds for which a failure is remembered. Later, on a less busy machine, the same work may succeed."""
MOST: Final = 4_096
"""Largest number of failures that are remembered."""


class FailedWork:
    """The failures of the last ``seconds``, by the hash of the input. ``clock`` returns the time in seconds."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._failed: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def check(self, key: bytes) -> None:
        """Raise :class:`DrawingError` again if the work with this key has failed before."""
        message, until = self._failed.get(key, ("", 0.0))
        if message and self._clock() < until:
            raise DrawingError(message)

    def add(self, key: bytes, error: DrawingError) -> None:
        """Remember a failure."""
        self._failed.pop(key, None)
        self._failed[key] = (str(error), self._clock() + self._seconds)
        while len(self._failed) > MOST:
            self._failed.popitem(last=False)
