"""Add security headers to every response, and allow other origins to use the API."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NONCE: Final = "tapedeck.nonce"
"""Key of the nonce in a request's scope."""

COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
}
UNLISTED: Final = ("/r/", "/api/")
"""Paths that search engines must not list: whoever has the address of a run can read it."""
DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""Content policy of everything except pages: an SVG that is opened by itself is shown, but cannot load or run anything."""


def page_policy(nonce: str, ancestors: str = "'none'") -> str:
    """Return the content policy of a page. The nonce allows the styles that the editor inserts.

    ``ancestors`` are the origins of the pages that may show it in a frame, as the policy writes them.
    """
    return (
        "default-src 'none'; script-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-src 'self'; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
    )


class SecurityHeaders:
    """Middleware that adds security headers to every response and handles HEAD as a GET without a body.

    ``root_path`` is the path under which a proxy serves the app, for servers that do not set it in the scope. On a ``private``
    server, pages of other origins may not embed pictures.
    """

    def __init__(self, app: ASGIApp, root_path: str = "", *, private: bool = False) -> None:
        self._app = app
        self._root = root_path
        self._data_sharing = "same-origin" if private else "cross-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bare = scope["method"] == "HEAD"
        nonce = secrets.token_urlsafe(16)
        root = scope.get("root_path") or self._root
        path = scope["path"]
        if root and path == root:  # redirect without a host, because the caller may use any name for the server
            query = scope["query_string"].decode("latin-1")
            await RedirectResponse(f"{root}/" + (f"?{query}" if query else ""), 308)(scope, receive, send)
            return
        if root and not path.startswith(f"{root}/"):  # the proxy removed the root, which belongs to the path in ASGI
            path = root + path
        scope = {**scope, NONCE: nonce, "root_path": root, "path": path}
        if bare:
            scope["method"] = "GET"
        done = False

        async def guarded(message: Message) -> None:
            nonlocal done
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if path.removeprefix(root).startswith(UNLISTED):
                    headers.setdefault("X-Robots-Tag", "noindex")
                for name, value in COMMON.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Content-Security-Policy", page_policy(nonce))
                    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                    headers.setdefault("Cache-Control", "no-cache")
                else:
                    headers.setdefault("Content-Security-Policy", DATA_POLICY)
                    headers.setdefault("Cross-Origin-Resource-Policy", self._data_sharing)
            elif bare and message["type"] == "http.response.body":
                if done:
                    return
                done = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, receive, guarded)


OPEN_TO_PAGES: Final = ("/api/", "/openapi.json", "/oembed", "/static/")
"""Starts of the paths that pages of any origin may read. A sandboxed frame needs this too: it has no origin."""


class CrossOriginApi:
    """Middleware that allows pages of any origin to use :data:`OPEN_TO_PAGES`, without credentials."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        options: dict[str, Any] = {
            "allow_origins": ["*"],
            "allow_methods": ["GET", "POST", "DELETE"],
            "allow_headers": ["Accept", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer"],
            "expose_headers": ["ETag", "Location", "Preference-Applied", "Retry-After", "Tapedeck-Owner-Key"],
            "max_age": 86_400,
        }
        self._open = CORSMiddleware(app, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        app = self._open if path.startswith(OPEN_TO_PAGES) else self._app
        await app(scope, receive, send)
