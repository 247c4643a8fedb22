"""Remember failed work for a while, so that it is not tried again at every request."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from ..errors import DrawingError

SECONDS: Final = 600.0
"""Longest time for which a failure is remembered."""
FIRST_SECONDS: Final = 5.0
"""Time after which work that took too long is tried again for the first time. On a less busy machine, it may succeed."""
MOST: Final = 4_096
"""Largest number of failures that are remembered."""


class _Remembered(NamedTuple):
    message: str
    until: float
    wait: float


class FailedWork:
    """The failures of the last ``seconds``, by the hash of the input. ``clock`` returns the time in seconds.

    Work that took too long may be tried again after ``first`` seconds. This wait doubles whenever the work is too slow again.
    """

    def __init__(
        self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic, first: float = FIRST_SECONDS
    ) -> None:
        self._seconds = seconds
        self._first = min(first, seconds)
        self._clock = clock
        self._failed: OrderedDict[bytes, _Remembered] = OrderedDict()

    def check(self, key: bytes) -> None:
        """Raise :class:`DrawingError` again if the work with this key has failed, and must not be tried again yet."""
        failure = self._failed.get(key)
        if failure is not None and self._clock() < failure.until:
            raise DrawingError(failure.message)

    def add(self, key: bytes, error: DrawingError, *, slow: bool = False) -> None:
        """Remember a failure. Work that was ``slow`` is tried again sooner."""
        before = self._failed.pop(key, None)
        wait = self._seconds
        if slow:
            wait = self._first if before is None else min(2 * before.wait, self._seconds)
        self._failed[key] = _Remembered(str(error), self._clock() + wait, wait)
        while len(self._failed) > MOST:
            self._failed.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """Forget the failures of work that has succeeded."""
        self._failed.pop(key, None)
