"""Count the marked statements that a program runs."""

from __future__ import annotations

from typing import Final

from ... import wire

MOST: Final = wire.INT32
"""The largest count that is recorded."""


class StatementCount:
    """The number of marked statements that have run. A replay counts them too, to know the step without recording.

    ``ran`` is the number, and ``last`` the index of the last statement. ``inside`` is true while this statement passes its
    value. Once ``known`` is false, the program has also run statements that were not counted, for example in another thread.
    """

    __slots__ = ("inside", "known", "last", "ran")

    def __init__(self) -> None:
        self.ran = 0
        self.last = 0
        self.inside = False
        self.known = True

    def position(self) -> wire.StatementPosition | None:
        """Return the current position in the program, or ``None`` if it is unknown."""
        if not self.known or not 0 < self.ran < MOST:
            return None
        return wire.StatementPosition(self.ran, self.last, self.inside)
