"""Answer the requests that are still in progress when the time to stop is up."""

from __future__ import annotations

import asyncio

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_SECONDS = 5


class AnswersWhenStopped:
    """Middleware that answers 503 to requests that the server cancels while it stops, instead of an internal error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if not started:
                text = "This server is stopping: try again in a moment.\n"
                headers = {"Retry-After": str(RETRY_SECONDS), "Connection": "close", "Cache-Control": "no-store"}
                await PlainTextResponse(text, 503, headers)(scope, receive, send)
