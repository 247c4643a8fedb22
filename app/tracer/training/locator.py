"""Locate the running statement of the program."""

from __future__ import annotations

import sys

from ..source.instrument import ProgramSource
from ..source.statements import LineContext


class Locator:
    """Finds the program's frame among those that have called the recorder."""

    def __init__(self, source: ProgramSource) -> None:
        self._source = source

    def here(self) -> LineContext:
        """Return the running line, with the loops and gradient modes around it."""
        return self._source.context_of(sys._getframe(1))

    def here_at(self, line: int) -> LineContext:
        """Return ``line``, a line of the running function, with the loops and gradient modes around it."""
        at, here = self._source.context_at(line), self.here()
        return LineContext(line, at.heads, at.loops + tuple(loop for loop in here.loops if loop not in at.loops))
