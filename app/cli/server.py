"""Configure uvicorn, and stop it so that every client gets an answer."""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import signal
import socket
from typing import Any, Final

import msgspec
import uvicorn
from fastapi import FastAPI

from ..settings import ConnectionLimits, Settings
from ..web.protection.connections import ConnectionTable, protocol_class

DESCRIPTORS: Final = 512
"""File descriptors that a server needs beside its connections: for children, the store and libraries."""
GRACE_SECONDS: Final = 5.0
"""Seconds beyond the time limit of a run for its findings and for sending the responses."""

log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """A server that lets running programs finish before it stops.

    After SIGTERM, runs that are executing continue until they end, at most for their time limit. Waiting runs get 503. After
    Ctrl+C, all runs are interrupted at once.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app = app
        limits = _affordable(settings.connections)
        self.table = ConnectionTable(limits)
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_class(self.table),
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the app reads these headers itself, from the proxies in its settings only
                timeout_keep_alive=math.ceil(limits.idle_seconds),
                timeout_graceful_shutdown=math.ceil(settings.limits.wall_seconds + GRACE_SECONDS),
                lifespan="on",
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service: Any = getattr(self._app.state, "service", None)
        interrupting: asyncio.Task[None] | None = None
        if service is not None:
            service.drain()
            if signal.SIGINT in self._captured_signals:
                interrupting = asyncio.get_running_loop().create_task(service.runs.close())
        await super().shutdown(sockets)
        if interrupting is not None:
            await interrupting


def _affordable(limits: ConnectionLimits) -> ConnectionLimits:
    """Raise this process's limit on file descriptors if it is too low, and return the connection limits that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.most + DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if reachable > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    most = max(1, max(reachable, soft) - DESCRIPTORS)
    if most < limits.most:
        log.warning("Only %d connections are possible: raise the limit of open files (ulimit -n) to %d.", most, wanted)
    return msgspec.structs.replace(limits, most=min(limits.most, most))
