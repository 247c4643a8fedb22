"""Let so many programs execute at once, and so many wait."""

from __future__ import annotations

import asyncio

from ..errors import Busy


class Slots:
    """The places in which programs execute. Made and used on one event loop.

    Who wants one is admitted, takes it when it is free, and gives it back.
    """

    def __init__(self, count: int, queue: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._count = count
        self._queue = queue
        self.waiting = 0
        """How many have been admitted and have no place yet."""

    def admit(self) -> None:
        """Begin to wait for a place; raises :class:`Busy` when too many do."""
        if self.waiting >= self._queue:
            seconds = max(1.0, self.waiting / self._count * 0.5)
            raise Busy(f"{self.waiting} runs are waiting already: try again in a moment.", retry_after=seconds)
        self.waiting += 1

    async def acquire(self, cancelled: asyncio.Event) -> bool:
        """Wait for a place; tells whether there is one, and it was not cancelled before."""
        try:
            if not self._free.locked():
                return await self._free.acquire()
            placed = asyncio.ensure_future(self._free.acquire())
            stopped = asyncio.ensure_future(cancelled.wait())
            try:
                await asyncio.wait((placed, stopped), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
                if not placed.done():
                    placed.cancel()
                elif cancelled.is_set():
                    self._free.release()
            return not cancelled.is_set()
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Let the next one in."""
        self._free.release()
