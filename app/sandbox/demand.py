"""Measure whether programs arrive faster than the processors can run them in children that have warmed up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

SECONDS: Final = 0.5
"""Time over which arrivals are counted."""
RUN_SECONDS: Final = 0.04
"""Processor time of a short run and its warm child, in all processes together. A child that does not warm up saves a fifth."""
SHARE: Final = 0.65
"""Fraction of the processors' time above which the demand is high."""


class Demand:
    """The programs that have arrived recently, for a number of ``processors``. ``clock`` returns seconds.

    >>> now = 0.0
    >>> demand = Demand(processors=1, clock=lambda: now)
    >>> for _ in range(20):
    ...     demand.add()
    >>> demand.is_high
    True
    >>> now = 1.0
    >>> demand.is_high
    False
    """

    def __init__(self, processors: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = int(SHARE * processors * SECONDS / RUN_SECONDS)
        self._clock = clock
        self._arrivals: deque[float] = deque(maxlen=self._most + 1)

    def add(self) -> None:
        """Count a program that has just arrived."""
        self._arrivals.append(self._clock())

    @property
    def is_high(self) -> bool:
        """True while programs arrive faster than the processors can run them with a warm child each."""
        return len(self._arrivals) > self._most and self._arrivals[0] > self._clock() - SECONDS
