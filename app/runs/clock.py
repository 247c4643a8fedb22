"""Determine the time for the expiry of runs, without trusting a clock that jumps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

TOLERANCE_SECONDS: Final = 300.0
"""Largest jump of the machine's clock that is followed at once."""
SETTLING_SECONDS: Final = 86_400.0
"""Time after which a larger jump of the machine's clock is accepted."""


class ExpiryClock:
    """Seconds since 1970. A large jump of the machine's clock counts only once it has lasted a day.

    A clock that is set to a wrong time would delete fresh runs, or keep old ones. ``latest`` is the time of the newest run, 0
    if there is none. If the clock is more than a day away from ``latest`` at the start, either the server was off, or the clock
    is wrong. The time then follows the clock, but is not :attr:`certain` for a day.
    """

    def __init__(
        self,
        latest: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._latest = latest
        self._wall = wall
        self._monotonic = monotonic
        passed = monotonic()
        self._offset = wall() - passed
        self._doubted = self._doubt(passed)
        self._jumped: float | None = None

    @property
    def certain(self) -> bool:
        """True if there is no reason to doubt the time, so that expired runs may be deleted."""
        self.now()
        return self._doubted is None

    def now(self) -> float:
        """Return the time."""
        passed = self._monotonic()
        deviation = self._wall() - passed - self._offset
        if self._doubted is not None:
            self._offset += deviation
            if abs(deviation) > TOLERANCE_SECONDS:
                self._doubted = self._doubt(passed)
            elif passed - self._doubted >= SETTLING_SECONDS:
                self._doubted = None
        elif abs(deviation) <= TOLERANCE_SECONDS:
            self._offset += deviation
            self._jumped = None
        elif self._jumped is None:
            self._jumped = passed
        elif passed - self._jumped >= SETTLING_SECONDS:
            self._offset += deviation
            self._jumped = None
        return passed + self._offset

    def _doubt(self, passed: float) -> float | None:
        """Return the monotonic time ``passed`` if the clock is far from the newest run, else ``None``."""
        far = self._latest > 0 and abs(passed + self._offset - self._latest) > SETTLING_SECONDS
        return passed if far else None
