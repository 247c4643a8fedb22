"""Serve HTTP to clients that send slowly, read slowly, or open more connections than they need.

uvicorn closes a connection that stays idle after a response. This module limits the time for headers and bodies, and the time
in which a client must read. It also limits the size of headers, the requests sent ahead of responses, and the connections, in
total and for each address. A response may take as long as it needs, so waiting requests and event streams are not affected.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ...settings import ConnectionLimits
from .clients import address_of

SWEEP_SECONDS: Final = 1.0
"""Interval at which the times of all connections are checked."""
HEADER_BYTES: Final = 64 * 1024
"""Largest size of a request's line and headers together."""
HEADERS: Final = 100
"""Largest number of headers of a request."""
PIPELINE: Final = 8
"""Number of requests that a client may send before it has received the response to an earlier one."""
BODY_RATE: Final = 16 * 1024
"""Bytes per second at which a body must arrive after the first ``body_seconds``."""
WRITE_RATE: Final = 1024
"""Bytes per second at which a client must read."""
REFUSED_SECONDS: Final = 5.0
"""Seconds for which a connection is read after its last response, so that a client that is still sending gets the response."""
RETRY_SECONDS: Final = 5
"""``Retry-After`` of a connection beyond a limit."""
REFUSALS: Final = 64
"""Number of connections beyond a limit that are answered with an error at the same time. Further ones are closed at once."""

log = logging.getLogger(__name__)


class ConnectionTable:
    """All connections of a server, and their limits. Create and use an instance on one event loop."""

    def __init__(self, limits: ConnectionLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        self.per_address: Counter[str] = Counter()
        self._connections: set[BoundedProtocol] = set()
        self._accepted = 0
        self._sweeping: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def protocol(self, **parts: Any) -> BoundedProtocol:
        """Return the protocol of a new connection, as uvicorn creates it."""
        return BoundedProtocol(table=self, **parts)

    def add(self, connection: BoundedProtocol, address: str) -> HTTPStatus | None:
        """Add a connection. Return the status with which it must be refused, or ``None``."""
        self._connections.add(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
        if self._accepted >= self.limits.most:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if self.per_address[address] >= self.limits.most_per_address:
            return HTTPStatus.TOO_MANY_REQUESTS
        self._accepted += 1
        self.per_address[address] += 1
        return None

    def remove(self, connection: BoundedProtocol, address: str, *, accepted: bool) -> None:
        """Remove a connection that is closed."""
        self._connections.discard(connection)
        if accepted:
            self._accepted -= 1
            self.per_address[address] -= 1
            if not self.per_address[address]:
                del self.per_address[address]

    @property
    def crowded(self) -> bool:
        """True if more connections are refused than can be answered."""
        return len(self._connections) - self._accepted > REFUSALS

    def _sweep(self) -> None:
        self._sweeping = None
        now = self.clock()
        for connection in list(self._connections):
            connection.check(now)
        if self._connections:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's connection, with limits. The table calls :meth:`check` every ``SWEEP_SECONDS``."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        table: ConnectionTable,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._table = table
        self._limits = table.limits
        self._address = ""
        self._serving: RequestResponseCycle | None = None
        self._refusal: HTTPStatus | None = None
        self._deadline: float | None = None
        """Time at which the headers or the body that is arriving must be complete."""
        self._received = False
        self._in_headers = False
        self._header_bytes = 0
        self._broken: HTTPStatus | None = None
        """Why nothing more is read from this connection."""
        self._lingering = False
        """Whether arriving data is dropped, because the last response was sent before the whole request had arrived."""
        self._stuck_since: float | None = None
        """Time since which the bytes counted in ``_unread`` have been waiting for the client to read them."""
        self._unread = 0

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        self._address = address_of(str(peer[0])) if isinstance(peer, tuple) else ""
        self._refusal = self._table.add(self, self._address)
        if self._refusal is None:
            super().connection_made(transport)
            self._deadline = self._table.clock() + self._limits.header_seconds
            return
        self.transport = transport
        self._deadline = self._table.clock() + REFUSED_SECONDS
        if self._table.crowded:
            transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._serving = cycle
        cycle.transport = cast(asyncio.Transport, _TransportOfRequest(self))
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self, self._address, accepted=self._refusal is None)
        # of several requests, uvicorn notifies only the last one
        if self._serving is not None and not self._serving.response_complete:
            self._serving.disconnected = True
            self._serving.message_event.set()
        if self._refusal is None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._broken is not None or self._lingering or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._refuse(self._refusal)
            return
        self._received = True
        if self._deadline is None and self._idle:  # bytes that do not begin a request have a time limit too
            self._deadline = self._table.clock() + self._limits.header_seconds
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self._broken = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if self._broken is not None:
            self._refuse(self._broken)

    def pause_writing(self) -> None:
        if self._refusal is None:
            super().pause_writing()

    def resume_writing(self) -> None:
        if self._refusal is None:
            super().resume_writing()

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        if self._broken is not None:
            return
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._deadline = self._table.clock() + self._limits.header_seconds

    def on_headers_complete(self) -> None:
        self._in_headers = False
        if self._broken is not None:
            return
        if len(self.headers) > HEADERS:
            self._broken = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        elif len(self.pipeline) >= PIPELINE:
            self._broken = HTTPStatus.TOO_MANY_REQUESTS
        else:
            self._deadline = self._table.clock() + self._limits.body_seconds
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._broken is None:
            if self._deadline is not None:
                self._deadline += len(body) / BODY_RATE
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._broken is None:
            self._deadline = None
            super().on_message_complete()

    # -- limits

    @property
    def _idle(self) -> bool:
        """True if no response is due."""
        return self.cycle is None or self.cycle.response_complete

    def check(self, now: float) -> None:
        """Close the connection if the client takes too long to send or to read."""
        transport = self.transport
        if self._refusal is not None or self._broken is not None or self._lingering:
            if self._deadline is not None and now > self._deadline:
                transport.abort()
            return
        if transport.is_closing() or self.flow.write_paused:
            self._check_reading(now)
        else:
            self._stuck_since = None
        if self._deadline is None or transport.is_closing():
            return
        if self.flow.read_paused:  # the client has to wait for the server
            self._deadline = max(self._deadline, now + self._limits.header_seconds)
        elif now > self._deadline:
            if self._received:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            else:
                transport.close()

    def _check_reading(self, now: float) -> None:
        """Close the connection if the client reads too slowly. Called while the server waits for the client to read."""
        unread = self.transport.get_write_buffer_size()
        if self._stuck_since is None:
            self._stuck_since, self._unread = now, unread
        elif now > self._stuck_since + self._limits.write_seconds:
            if unread > self._unread - WRITE_RATE * self._limits.write_seconds:
                self.transport.abort()
            self._stuck_since, self._unread = now, unread

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with an error, and read nothing more. The client closes the connection, or :meth:`check` does."""
        self._broken = status
        if not self._idle and (self.pipeline or self.cycle.response_started):  # the error would be read as part of a response
            self.transport.close()
            return
        if not self._idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_answer(status))
        self._linger()

    def close_after_request(self) -> None:
        """Close the connection at once if the whole request has arrived; otherwise wait for the client to close it."""
        if self._deadline is None or self.transport.is_closing():
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Stop sending, and drop arriving data until the client or :meth:`check` closes the connection."""
        self._lingering = True
        self._deadline = self._table.clock() + REFUSED_SECONDS
        try:
            self.transport.write_eof()
        except OSError:  # the client has closed the connection
            self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """Do not log requests for an upgrade: anyone can send them."""


class _TransportOfRequest:
    """The transport of a connection as a request uses it: to send its response, and then to close the connection."""

    def __init__(self, connection: BoundedProtocol) -> None:
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing
        self.close = connection.close_after_request


_DETAILS: Final = {
    HTTPStatus.REQUEST_TIMEOUT: "The request took too long to arrive: send it again.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"Send at most {HEADERS} headers with at most {HEADER_BYTES:,} bytes in total.",
    HTTPStatus.TOO_MANY_REQUESTS: "There are too many connections or requests from your address: close some, then try again.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server has too many connections: try again in a moment.",
}


def _answer(status: HTTPStatus) -> bytes:
    """Return a whole response, which is sent without the app."""
    retry = RETRY_SECONDS if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) else None
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": _DETAILS[status]}
    body = msgspec.json.encode(problem if retry is None else problem | {"retry_after": retry})
    headers = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "connection: close",
        *([] if retry is None else [f"retry-after: {retry}"]),
    ]
    return "\r\n".join([*headers, "", ""]).encode() + body


def protocol_class(table: ConnectionTable) -> type[asyncio.Protocol]:
    """Return the function that creates the protocols of a table, with the type that uvicorn's ``http`` option expects."""
    return cast("type[asyncio.Protocol]", table.protocol)
