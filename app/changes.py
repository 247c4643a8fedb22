"""Wake the tasks that wait for the next change of an object."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """The changes of one object, to which tasks of one event loop listen."""

    def __init__(self) -> None:
        self.next = asyncio.Event()
        """Event that is set at the next change. Each change has an event of its own."""

    def announce(self) -> None:
        """Wake every task that waits for a change."""
        changed, self.next = self.next, asyncio.Event()
        changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the first change after which a condition is met. Return at once if it is met already."""
        while not condition():
            await self.next.wait()
