"""Limit how many programs run at once and how many may queue."""

from __future__ import annotations

import asyncio

from ..errors import Busy


class Slots:
    """The slots in which programs run. Create and use an instance on one event loop.

    Callers use :meth:`admit`, then :meth:`acquire`, and :meth:`release` if they got a slot.
    """

    def __init__(self, count: int, queue: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._count = count
        self._queue = queue
        self.waiting = 0
        """Number of callers that were admitted and have no slot yet."""

    def admit(self) -> None:
        """Add the caller to the queue. Raise :class:`Busy` if the queue is full."""
        if self.waiting >= self._queue:
            seconds = max(1.0, self.waiting / self._count * 0.5)
            raise Busy(f"{self.waiting} runs are already waiting: try again in a moment.", retry_after=seconds)
        self.waiting += 1

    async def acquire(self, cancelled: asyncio.Event) -> bool:
        """Wait for a slot. Return whether the caller got one before ``cancelled`` was set."""
        try:
            if not self._free.locked():
                return await self._free.acquire()
            acquiring = asyncio.ensure_future(self._free.acquire())
            stopped = asyncio.ensure_future(cancelled.wait())
            try:
                await asyncio.wait((acquiring, stopped), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
                if not acquiring.done():
                    acquiring.cancel()
                elif cancelled.is_set():
                    self._free.release()
            return not cancelled.is_set()
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Free a slot for the next caller."""
        self._free.release()
