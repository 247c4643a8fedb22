"""Limit how many requests are worked on at once. The client that was served least recently is next, with its oldest request."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from ..errors import Busy

RETRY_SECONDS = 5.0
"""``Retry-After``, in seconds, of a request that is refused because too many others wait."""


class FairGate:
    """Admits ``at_once`` requests at a time. The others wait, and clients take turns, however many requests each client has.

    Up to ``queue`` requests of one client wait; further ones raise :class:`Busy`.
    """

    def __init__(self, at_once: int, queue: int = 32) -> None:
        self._free = at_once
        self._queue = queue
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The requests of each client that waits. The client whose turn is next comes first."""

    @contextlib.asynccontextmanager
    async def entered(self, client: str) -> AsyncIterator[None]:
        """Wait until the client's turn, and count its request as being worked on during the ``with`` block."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._leave(client)

    async def _wait(self, client: str) -> None:
        mine = self._waiting.setdefault(client, deque())
        if len(mine) >= self._queue:
            raise Busy("Many of your requests are being processed: try again in a moment.", retry_after=RETRY_SECONDS)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                mine.remove(turn)
                if not mine and self._waiting.get(client) is mine:
                    del self._waiting[client]
            else:
                self._leave(client)  # the request was admitted at the moment when it was cancelled
            raise

    def _leave(self, last: str) -> None:
        """Admit the next request after a request of the client ``last`` has left."""
        if next(iter(self._waiting), None) == last:
            self._waiting[last] = self._waiting.pop(last)  # behind the other clients
        while self._waiting:
            client, requests = next(iter(self._waiting.items()))
            turn = requests.popleft()
            del self._waiting[client]
            if requests:
                self._waiting[client] = requests
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
