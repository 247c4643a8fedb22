"""Estimate from the programs that have ended how long the next ones take."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

FIRST_GUESS: Final = 1.0
"""Seconds that a program is assumed to take before any has ended."""
WEIGHT: Final = 0.2
"""Weight of the latest duration in a mean."""
KNOWN: Final = 1_000
"""Number of sessions whose mean is remembered."""


class Durations:
    """The mean duration of programs, of each session and of all, in seconds. No program takes more than ``longest``."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._mean = min(FIRST_GUESS, longest)
        self._means: OrderedDict[str, float] = OrderedDict()

    def add(self, session: str, seconds: float) -> None:
        """Include a program that has ended."""
        self._mean += WEIGHT * (seconds - self._mean)
        known = self._means.pop(session, seconds)
        self._means[session] = known + WEIGHT * (seconds - known)
        if len(self._means) > KNOWN:
            self._means.popitem(last=False)

    def expected(self, session: str, running: float = 0.0) -> float:
        """Return the expected seconds of a session's next program: the session's mean duration, but at least ``running``."""
        return min(self._longest, max(self._means.get(session, self._mean), running))

    def left(self, session: str, running: float) -> float:
        """Return the expected seconds until a program ends that has run for ``running`` seconds.

        A program that has run longer than expected is assumed to be halfway through.

        >>> durations = Durations(longest=10.0)
        >>> durations.left("anna", 0.2), durations.left("anna", 4.0), durations.left("anna", 9.0)
        (0.8, 4.0, 1.0)
        """
        return max(0.0, min(max(self._means.get(session, self._mean) - running, running), self._longest - running))
