"""Decide whether a request may reach the server: its token, the host that it names, and the page that sent it.

Any web page that a person visits can send requests to a server on that person's machine or network. It can also use a name of
its own that resolves to the server's address (DNS rebinding). A private server therefore requires a token, which is part of the
address that the server prints, as with Jupyter. A browser then keeps the token in a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import NotAllowed, TapedeckError
from ...settings import is_loopback

TOKEN: Final = "token"
"""Query parameter with the token."""
TOKEN_HEADER: Final = "tapedeck-token"
COOKIE: Final = "tapedeck_token"
"""Start of the name of the cookie with the token. The port follows, because browsers share cookies between ports."""
OPEN: Final = ("/healthz", "/readyz", "/static/")
"""Paths that need no token: they reveal nothing about a program."""
SIMPLE: Final = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""Media types that a page of any origin may send without asking the server first."""


def is_cross_site(headers: Headers) -> bool:
    """Return whether a page of another origin sent a request, according to the headers that a browser adds.

    Browsers send ``Origin``. They also send ``Sec-Fetch-Site``, except to plain HTTP addresses of other machines. A page can
    set neither of these headers, nor ``X-Forwarded-Host``, unless the server allows it. Other programs send none of them.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        sender = urlsplit(origin.lower())
    except ValueError:  # no browser sends such an origin
        return True
    hosts = [headers.get(name, "").lower() for name in ("host", "x-forwarded-host")]
    # a proxy may remove the port from the host
    return not any(host and host in (sender.netloc, _name(sender.netloc)) for host in hosts)


class AccessCheck:
    """Middleware that answers 403 to a request that may not reach the server.

    With ``hosts``, a request must name one of them in ``Host``; ``loopback`` allows the names of the machine itself. With
    ``token``, a request must contain the token, and a page of another origin can only link to the server. Without a token, such
    a page may use what the API allows to every origin. It may not send a body that looks like a form or plain text, because
    browsers send such bodies without asking the server first.
    """

    def __init__(self, app: ASGIApp, token: str = "", hosts: Collection[str] = (), *, loopback: bool = False) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            answer = self._check(scope)
        except NotAllowed as error:
            answer = await scope["app"].exception_handlers[TapedeckError](Request(scope, receive), error)
        await (answer or self._app)(scope, receive, send)

    def _check(self, scope: Scope) -> Response | None:
        """Return the response that ends the request, if any. Raises :class:`NotAllowed`."""
        headers = Headers(scope=scope)
        host = _name(headers.get("host", ""))
        if (self._hosts or self._loopback) and not (host in self._hosts or (self._loopback and is_loopback(host))):
            raise NotAllowed(
                f"This server does not answer to the name {host[:60]!r}: use the address that it printed, or add the name to "
                "TAPEDECK_ALLOWED_HOSTS."
            )
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._token and path.startswith(OPEN):
            return None
        if is_cross_site(headers) and not _may_be_sent_by_any_site(scope["method"], headers, private=bool(self._token)):
            raise NotAllowed(
                "A page of another site sent this request, and this server does not accept it: send it from a program, or open "
                "the server's own page."
            )
        return self._check_token(scope, headers) if self._token else None

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        in_query = next((value for name, value in query if name == TOKEN), None)
        cookie = f"{COOKIE}_{_port(headers.get('host', ''))}"
        in_cookie = cookie_parser(headers.get("cookie", "")).get(cookie, "")
        if not any(self._matches(given) for given in (in_query or "", headers.get(TOKEN_HEADER, ""), in_cookie)):
            raise NotAllowed(
                "This server needs its token: open the address that it printed when it started, or send the token in the "
                "header Tapedeck-Token."
            )
        if in_query is None:
            return None
        scope["query_string"] = urlencode([(name, value) for name, value in query if name != TOKEN]).encode()
        if scope["method"] != "GET" or "text/html" not in headers.get("accept", ""):
            return None
        # in a browser, the token moves to a cookie, because the address is shown and saved
        rest = scope["query_string"].decode()
        response = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(
            cookie,
            self._token,
            path=scope.get("root_path") or "/",
            httponly=True,
            samesite="lax",
            secure=scope["scheme"] == "https",
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _matches(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _may_be_sent_by_any_site(method: str, headers: Headers, *, private: bool) -> bool:
    if method == "GET" and headers.get("sec-fetch-mode") == "navigate":
        return True  # a link
    if private:
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return method != "POST" or kind not in SIMPLE or "authorization" in headers


def _name(host: str) -> str:
    """Return the name in a ``Host`` header, without the port.

    >>> _name("localhost:8000"), _name("[::1]:8000"), _name("course.example")
    ('localhost', '::1', 'course.example')
    """
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def _port(host: str) -> int:
    port = host.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
