"""Send server-sent events to many listeners: in turn, within limits, and without waiting for a listener that does not read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ...errors import TooMany

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
PIECE: Final = 64 * 1024
"""Number of bytes sent at once. For a listener that does not read, the server keeps at most these bytes and its own buffer."""
SEND_SECONDS: Final = 60.0
"""Seconds without reading after which a listener is dropped. On our own server, ``connections.py`` does so earlier."""
SENDERS: Final = 8
"""Largest number of streams that send in one iteration of the event loop."""
SHARE: Final = 0.3
"""Largest share of the event loop's time that sending to listeners takes."""
RETRY_SECONDS: Final = 10.0
"""``Retry-After`` of a stream that was refused."""

log = logging.getLogger(__name__)


class SendingTurns:
    """Let senders take turns, so that other work on the event loop never waits for all senders.

    At most ``SENDERS`` of them send in one iteration of the loop. Then all wait, in proportion to the time that this took.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._active = False

    async def take(self) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._active:
            self._active = True
            loop.call_soon(self._release, loop)
        await turn

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        released = 0
        while self._waiting and released < SENDERS:
            if not (turn := self._waiting.popleft()).done():
                turn.set_result(None)
                released += 1
        if released:
            loop.call_soon(self._pause, loop, loop.time())
        else:
            self._active = False

    def _pause(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        """Pause, then let the next senders take their turns. The senders that began at time ``began`` have sent by now."""
        loop.call_later((loop.time() - began) * (1 / SHARE - 1), self._release, loop)


class Listeners:
    """The streams that are open, counted by run and by address, and their limits."""

    def __init__(self, most: int, most_of_run: int, most_of_address: int) -> None:
        self._most, self._most_of_run, self._most_of_address = most, most_of_run, most_of_address
        self._of_run: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self.turns = SendingTurns()

    @property
    def count(self) -> int:
        """Number of open streams."""
        return self._of_run.total()

    def open(self, run: str, address: str, events: AsyncGenerator[bytes, None]) -> EventStream:
        """Return a response that streams ``events`` to an address. Raises :class:`TooMany` at a limit."""
        for count, most, of in (
            (self._of_run[run], self._most_of_run, "This run has"),
            (self._of_address[address], self._most_of_address, "Your address has"),
            (self.count, self._most, "This server has"),
        ):
            if count >= most:
                remedy = "close one, or read the run itself every few seconds instead."
                raise TooMany(f"{of} {count} open event streams, which is the limit: {remedy}", retry_after=RETRY_SECONDS)
        self._of_run[run] += 1
        self._of_address[address] += 1
        return EventStream(events, self.turns, lambda: self._close(run, address))

    def _close(self, run: str, address: str) -> None:
        for counter, key in ((self._of_run, run), (self._of_address, address)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]


class EventStream(StreamingResponse):
    """A response that sends events in pieces, each in its turn, and drops a listener that does not read."""

    def __init__(self, events: AsyncGenerator[bytes, None], turns: SendingTurns, closed: Callable[[], None]) -> None:
        super().__init__(events, 200, HEADERS, "text/event-stream")
        self._events = events
        self._turns = turns
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with contextlib.aclosing(self._events):
                await super().__call__(scope, receive, send)
        finally:
            self._closed()

    async def stream_response(self, send: Send) -> None:
        try:
            await _send(send, {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for data in self._events:
                for start in range(0, len(data), PIECE):
                    await self._turns.take()
                    await _send(send, {"type": "http.response.body", "body": data[start : start + PIECE], "more_body": True})
            await _send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:  # the response stays incomplete, and the server closes the connection
            log.info("A listener did not read for %g s, and was dropped.", SEND_SECONDS)


async def _send(send: Send, message: dict[str, Any]) -> None:
    """Send a message. Raises :class:`TimeoutError` if the client does not read."""
    async with asyncio.timeout(SEND_SECONDS):
        await send(message)
