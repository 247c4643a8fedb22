"""Serve on an address from one process, and say in one line what stands in the way."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import uvicorn

from ..errors import TapedeckError
from ..main import create_app
from ..settings import Settings, SettingsError
from .doctor import writable

LOOPBACK_ONLY: Final = (
    "Without a sandbox any program of anybody who reaches this address could do all that you can: --unconfined serves on a "
    "loopback address only, such as --host 127.0.0.1."
)


def serve(settings: Settings, host: str, port: int) -> bool:
    """Serve until it is stopped; tells whether it ever began. Raises :class:`SettingsError` for what cannot work."""
    if settings.unconfined and not is_loopback(host):
        raise SettingsError(LOOPBACK_ONLY)
    if not (kept := writable(settings.data)).ok:
        raise SettingsError(kept.text)
    listening = listen(host, port)
    made = create_app(settings)
    failed: list[TapedeckError | SettingsError] = []
    starts = made.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        try:
            async with starts(app) as state:
                gc.collect()
                gc.freeze()  # what is loaded by now stays: looking through it again would hold up some answer for 50 ms
                print(f"Tapedeck is on {address(listening, settings.root_path)}   (Ctrl+C stops it)", flush=True)
                yield state
        except (TapedeckError, SettingsError) as error:
            failed.append(error)
            raise

    made.router.lifespan_context = lifespan
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(lambda record: not failed)  # one line says it
    server = uvicorn.Server(
        uvicorn.Config(
            made,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,  # longer than a proxy keeps its connections: it must not find one closed
            timeout_graceful_shutdown=5,
            lifespan="on",
        )
    )
    with contextlib.suppress(SystemExit, KeyboardInterrupt):  # uvicorn raises Ctrl+C again once it has stopped
        server.run(sockets=[listening])
    if failed:
        raise failed[0]
    return server.started


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Open the socket; raises :class:`SettingsError` with what to do."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise SettingsError(f"There is no address {host!r} to listen on: {error.strerror}.") from error
    try:
        return socket.create_server(place[:2], family=family, backlog=2048)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise SettingsError(f"Listening on port {port} is not permitted: choose one above 1023 with --port.") from error
        reason = os.strerror(error.errno or 0).lower()
        raise SettingsError(f"Cannot listen on {host}:{port}, {reason}: choose another with --port (PORT= of make).") from error


def address(listening: socket.socket, root_path: str = "") -> str:
    """The URL of a socket that listens."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{root_path.rstrip('/')}/"
