"""Serve an app on a real socket, in the event loop of the test, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tapedeck.cli.server import DrainingServer
from tapedeck.main import create_app
from tapedeck.settings import ConnectionLimits, Settings
from tapedeck.web.service import Service

from ..fake_executor import FakeExecutor, InlineFinder

LIVENESS = 20.0
"""Seconds after which a test fails that waits for something."""


class Answer:
    """A response as it was received."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def get(self, path: str) -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: testserver\r\n\r\n".encode())

    def post(self, path: str, body: dict[str, Any], **headers: str) -> None:
        data = json.dumps(body).encode()
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = [f"POST {path} HTTP/1.1", "Host: testserver", "Content-Type: application/json", f"Content-Length: {len(data)}"]
        self.send("\r\n".join([*head, *lines, "", ""]).encode() + data)

    async def answer(self) -> Answer:
        async with asyncio.timeout(LIVENESS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
            empty = Answer(head, b"")
            return Answer(head, await self.reader.readexactly(int(empty.headers.get("content-length", "0"))))

    async def rest(self) -> bytes:
        """Return everything up to the end of the connection. A reset connection has ended, too."""
        async with asyncio.timeout(LIVENESS):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()


class RealServer:
    """A server on a free port. ``now`` is the clock of its connections."""

    def __init__(self, server: DrainingServer, port: int) -> None:
        self.server = server
        self.port = port
        self.now = 1_000.0
        self.table = server.table
        self.table.clock = lambda: self.now
        self._connections: list[Connection] = []

    @property
    def service(self) -> Service:
        service: Service = self.server._app.state.service
        return service

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self._connections.append(connection)
        return connection

    def advance(self, seconds: float) -> None:
        """Move the clock, and check all connections."""
        self.now += seconds
        self.table._sweep()

    def stop(self, signal: int) -> None:
        self.server._captured_signals.append(signal)
        self.server.should_exit = True

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@asynccontextmanager
async def listening(executor: FakeExecutor, settings: Settings | None = None, **limits: Any) -> AsyncIterator[RealServer]:
    """Serve until the block ends."""
    chosen = settings or Settings(data=":memory:", concurrent=1, connections=ConnectionLimits(**limits))
    server = DrainingServer(create_app(chosen, executor=executor, finder=InlineFinder()), chosen)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        running = RealServer(server, bound.getsockname()[1])
        serving = asyncio.ensure_future(server._serve([bound]))  # without signal handlers
        try:
            await until(lambda: server.started or serving.done())
            yield running
        finally:
            running.close()
            server.should_exit = True
            for recorded in list(running.service.runs._live.values()):
                recorded.cancelled.set()
            async with asyncio.timeout(LIVENESS):
                await serving


async def until(condition: Any) -> None:
    async with asyncio.timeout(LIVENESS):
        while not condition():
            await asyncio.sleep(0.005)
