"""Know in which steps the lines of a program ran."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

LineSteps = Iterable[tuple[Sequence[int], Sequence[int]]]
"""Lines, and steps in which exactly these ran."""


class LineHistory:
    """The steps of a run by the lines that ran in them, as far as they have been told; for several threads.

    >>> ran = LineHistory()
    >>> ran.tell([4, 6], [0]); ran.tell([6], [1, 2])
    >>> ran.before(2), ran.before(0)
    ({4: 0, 6: 1}, {})
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[int, ...], array[int]] = {}
        self._known = 0
        self._lock = threading.Lock()

    def tell(self, lines: Sequence[int], steps: Sequence[int]) -> None:
        """These lines ran in these steps, which come after those told before."""
        with self._lock:
            self._steps.setdefault(tuple(lines), array("i")).extend(steps)

    def read(self, stop: int, told: Callable[[int, int], LineSteps]) -> None:
        """Be told of the steps up to ``stop`` that are not known yet."""
        with self._lock:
            if self._known >= stop:
                return
            for lines, steps in told(self._known, stop):
                known = self._steps.get(tuple(lines), array("i"))
                self._steps[tuple(lines)] = array("i", sorted([*known, *steps]))
            self._known = stop

    def before(self, step: int) -> dict[int, int]:
        """The last step before one in which each line ran, for those that did."""
        found: dict[int, int] = {}
        with self._lock:
            for lines, steps in self._steps.items():
                place = bisect_left(steps, step)
                if place:
                    last = steps[place - 1]
                    found |= {line: last for line in lines if found.get(line, -1) < last}
        return found
