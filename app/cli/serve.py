"""Serve from one process. If that is impossible, report the reason on one line."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from ..errors import TapedeckError
from ..main import create_app
from ..settings import Settings, SettingsError, is_loopback
from .allocator import return_large_blocks
from .doctor import writable
from .server import DrainingServer

LOOPBACK_ONLY: Final = (
    "Without a sandbox, anyone who reaches this address could run any program as you: --unconfined serves on a loopback "
    "address only, such as --host 127.0.0.1."
)

KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds without data before the first probe, seconds between probes, and unanswered probes that end a connection."""


def serve(settings: Settings, host: str, port: int) -> bool:
    """Serve until stopped. Return whether the server started. Raises :class:`SettingsError` for invalid settings."""
    if settings.unconfined and not is_loopback(host):
        raise SettingsError(LOOPBACK_ONLY)
    if not (diagnosis := writable(settings.data)).ok:
        raise SettingsError(diagnosis.text)
    listening = listen(host, port)
    return_large_blocks()
    if settings.unconfined and not settings.token:
        settings = msgspec.structs.replace(settings, token=secrets.token_urlsafe(24))
    made = create_app(settings)
    failed: list[TapedeckError | SettingsError] = []
    starts = made.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        try:
            async with starts(app) as state:
                gc.collect()
                gc.freeze()  # loaded modules stay alive: scanning them again would delay a response by 50 ms
                print(
                    f"Tapedeck is on {address(listening, settings.root_path, settings.token)}   (Ctrl+C stops it)", flush=True
                )
                yield state
        except (TapedeckError, SettingsError) as error:
            failed.append(error)
            raise

    made.router.lifespan_context = lifespan
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(lambda record: not failed)  # the error is reported on one line instead
    server = DrainingServer(made, settings)
    with contextlib.suppress(SystemExit, KeyboardInterrupt):  # uvicorn raises Ctrl+C again once it has stopped
        server.run(sockets=[listening])
    if failed:
        raise failed[0]
    return server.started


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises :class:`SettingsError`, which names the remedy."""
    try:
        family, _, _, _, resolved = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise SettingsError(f"Cannot listen on {host!r}: {error.strerror}.") from error
    try:
        listening = socket.create_server(resolved[:2], family=family, backlog=2048)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise SettingsError(f"Listening on port {port} is not permitted: choose a port above 1023 with --port.") from error
        reason = os.strerror(error.errno or 0).lower()
        raise SettingsError(
            f"Cannot listen on {host}:{port}, {reason}: choose another port with --port (PORT= with make)."
        ) from error
    _detect_lost_clients(listening)
    return listening


def _detect_lost_clients(listening: socket.socket) -> None:
    """Let the system close connections whose clients have vanished. Accepted sockets inherit the options."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def address(listening: socket.socket, root_path: str = "", token: str = "") -> str:
    """Return the URL of a listening socket, with the token that the server needs, if any."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{root_path.rstrip('/')}/{f'?token={token}' if token else ''}"
