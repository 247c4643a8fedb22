"""Bound the memory that request bodies take while they arrive."""

from __future__ import annotations

from collections import Counter
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import Busy, TooMany
from ...settings import ConnectionLimits
from .clients import sender_of

RETRY_SECONDS: Final = 5.0
"""``Retry-After`` of a request whose body is refused."""
_RELEASE: Final = "tapedeck.release_body"
"""Key, in a request's scope, of the function that stops counting its body."""


def release_body(request: Request) -> None:
    """Stop counting the body of a request, because it is no longer in memory."""
    request.scope[_RELEASE]()


class BodiesInFlight:
    """Middleware that limits the bytes of all requests in progress, in total and for each address.

    The request whose bytes exceed a limit gets 429 or 503.
    """

    def __init__(self, app: ASGIApp, limits: ConnectionLimits) -> None:
        self._app = app
        self._limits = limits
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address, received = sender_of(scope), 0

        def release() -> None:
            nonlocal received
            self._bytes -= received
            self._bytes_of[address] -= received
            if self._bytes_of[address] <= 0:
                del self._bytes_of[address]
            received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self._bytes += size
            self._bytes_of[address] += size
            if size:
                self._check(address)
            return message

        try:
            await self._app({**scope, _RELEASE: release}, counted, send)
        finally:
            release()

    def _check(self, address: str) -> None:
        if self._bytes_of[address] > self._limits.body_bytes_per_address:
            raise TooMany("Your address is sending too much at once: try again in a moment.", retry_after=RETRY_SECONDS)
        if self._bytes > self._limits.body_bytes:
            raise Busy("The server is receiving too much at once: try again in a moment.", retry_after=RETRY_SECONDS)
