"""Record in which steps each line of a program ran."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

LineSteps = Iterable[tuple[Sequence[int], Sequence[int]]]
"""Pairs of lines and steps: each pair has the steps in which exactly these lines ran."""


class LineHistory:
    """The steps in which each line of a program ran. Several threads may use it.

    >>> history = LineHistory()
    >>> history.add([4, 6], [0]); history.add([6], [1, 2])
    >>> history.before(2), history.before(0)
    ({4: 0, 6: 1}, {})
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[int, ...], array[int]] = {}
        self._complete_to = 0
        self._lock = threading.Lock()

    def add(self, lines: Sequence[int], steps: Sequence[int]) -> None:
        """Add steps in which exactly these lines ran. The steps must follow all steps added before."""
        with self._lock:
            self._steps.setdefault(tuple(lines), array("i")).extend(steps)

    def extend_to(self, stop: int, read: Callable[[int, int], LineSteps]) -> None:
        """Add all missing steps before ``stop``. ``read(start, stop)`` yields the steps from ``start`` to before ``stop``."""
        with self._lock:
            if self._complete_to >= stop:
                return
            for lines, steps in read(self._complete_to, stop):
                earlier = self._steps.get(tuple(lines), array("i"))
                self._steps[tuple(lines)] = array("i", sorted([*earlier, *steps]))
            self._complete_to = stop

    def before(self, step: int) -> dict[int, int]:
        """Return for each line the last step before ``step`` in which it ran. Lines that had not run are left out."""
        last_steps: dict[int, int] = {}
        with self._lock:
            for lines, steps in self._steps.items():
                count = bisect_left(steps, step)
                if count:
                    last = steps[count - 1]
                    last_steps |= {line: last for line in lines if last_steps.get(line, -1) < last}
        return last_steps
