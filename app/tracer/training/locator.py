"""Locate the running statement of the program."""

from __future__ import annotations

import sys

from ..source.instrument import Here, Source


class Locator:
    """Finds the program's frame among those that have called the recorder."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def here(self) -> Here:
        """Return the line that runs, with the loops and gradient modes around it."""
        return self._source.here(sys._getframe(1))

    def here_at(self, line: int) -> Here:
        """Return the same for another line of the function that runs."""
        at, here = self._source.at(line), self.here()
        return Here(line, at.heads, at.loops + tuple(loop for loop in here.loops if loop not in at.loops))
