"""Record in which steps each line of a program ran."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

KEY_BYTES, LINE_BYTES = 300, 40
"""Approximate size of a combination of lines, and of each line in it."""


class LineHistory:
    """The steps in which each line of a program ran. Several threads may use it.

    >>> history = LineHistory()
    >>> history.add([4, 6], [0]); history.add([6], [1, 2])
    >>> history.before(2), history.before(0)
    ({4: 0, 6: 1}, {})
    """

    def __init__(self, entries: Iterable[tuple[Sequence[int], Sequence[int]]] = ()) -> None:
        self._steps: dict[tuple[int, ...], array[int]] = {}
        self._lock = threading.Lock()
        self.bytes = 0
        """Approximate size in memory."""
        for lines, steps in entries:
            self.add(lines, steps)

    def add(self, lines: Sequence[int], steps: Sequence[int]) -> None:
        """Add steps in which exactly these lines ran. They must follow the steps added before for these lines."""
        with self._lock:
            key = tuple(lines)
            if (earlier := self._steps.get(key)) is None:
                earlier = self._steps[key] = array("i")
                self.bytes += KEY_BYTES + LINE_BYTES * len(key)
            earlier.extend(steps)
            self.bytes += earlier.itemsize * len(steps)

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

    def entries(self) -> list[tuple[list[int], array[int]]]:
        """Return pairs of lines and the steps in which exactly these lines ran."""
        with self._lock:
            return [(list(lines), array("i", steps)) for lines, steps in self._steps.items()]
