"""Clients that send slowly, read slowly or connect too often are disconnected, tested on real sockets with a moved clock."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request

import httpx
import pytest
from tapedeck.cli import serve as serving
from tapedeck.settings import ConnectionLimits
from tapedeck.web.protection.connections import PIPELINE, REFUSALS, REFUSED_SECONDS

from ...fake_executor import FakeExecutor, forever, gate
from ...handmade_events import FIT, fit
from ..conftest import Serve, client_of
from ..real_server import LIVENESS, RealServer, listening, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run the tests on uvloop, as uvicorn does."""
    return "asyncio", {"use_uvloop": True}


RUNS = "/api/v1/runs"


async def ping(server: RealServer) -> None:
    """Check that the server still responds."""
    connection = await server.connect()
    connection.get("/healthz")
    assert (await connection.answer()).status == 200
    connection.close()


async def test_headers_that_arrive_slowly_are_answered_408() -> None:
    async with listening(FakeExecutor(), header_seconds=15) as server:
        slow = await server.connect()
        slow.send(b"GET /healthz HTTP/1.1\r\nHost: testserver\r\n")
        await until(lambda: any(each._received for each in server.table._connections))
        for number in range(14):  # each header arrives in time, but not all of them together
            slow.send(f"X-{number}: a\r\n".encode())
            await asyncio.sleep(0.001)
            server.advance(1)
        assert len(server.table) == 1
        server.advance(2)
        assert b"408 Request Timeout" in await slow.rest()
        server.advance(6)  # a refused client that does not close its connection is disconnected
        await until(lambda: not len(server.table))
        await ping(server)


async def test_a_connection_on_which_nothing_is_sent_is_closed() -> None:
    async with listening(FakeExecutor(), header_seconds=15) as server:
        silent = await server.connect()
        await until(lambda: len(server.table))
        server.advance(16)
        assert await silent.rest() == b""


async def test_bytes_that_begin_no_request_do_not_keep_a_connection_open() -> None:
    async with listening(FakeExecutor(), header_seconds=15) as server:
        connection = await server.connect()
        connection.get("/healthz")
        await connection.answer()
        connection.send(b"\r\n")
        await until(lambda: any(each._deadline is not None for each in server.table._connections))
        for _ in range(3):
            server.advance(5)
            connection.send(b"\r\n")
            await asyncio.sleep(0.01)
        server.advance(1)
        await connection.rest()
        server.advance(6)
        await until(lambda: not len(server.table))


async def test_a_body_that_arrives_slowly_is_answered_408() -> None:
    async with listening(FakeExecutor(), body_seconds=30) as server:
        slow = await server.connect()
        slow.send(
            b"POST /api/v1/runs HTTP/1.1\r\nHost: testserver\r\nContent-Type: text/x-python\r\nContent-Length: 1000\r\n\r\n"
        )
        await until(lambda: any(each.cycle is not None for each in server.table._connections))
        for _ in range(30):
            slow.send(b"#")
            await asyncio.sleep(0.001)
            server.advance(1)
        assert len(server.table) == 1
        server.advance(1)
        assert b"408 Request Timeout" in await slow.rest()
        await ping(server)


async def test_a_client_that_closes_its_connections_learns_why_its_body_is_refused() -> None:
    def post(port: int) -> tuple[int, bytes]:
        """Send a body as a client that reads nothing before it has sent everything."""
        headers = {"Content-Type": "text/x-python", "Connection": "close"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/runs", bytes(11_000_000), headers)
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=LIVENESS)
        return error.value.code, error.value.read()

    async with listening(FakeExecutor(fit())) as server:
        for _ in range(3):
            status, body = await asyncio.to_thread(post, server.port)
            assert status == 413
            assert b"larger than the limit" in body
        await until(lambda: not len(server.table))
        connection = await server.connect()  # a client that never stops sending is disconnected
        connection.send(b"POST /api/v1/runs HTTP/1.1\r\nHost: testserver\r\nContent-Type: text/x-python\r\n")
        connection.send(b"Connection: close\r\nContent-Length: 11000000\r\n\r\n" + bytes(1_000))
        assert (await connection.answer()).status == 413
        assert len(server.table) == 1
        server.advance(REFUSED_SECONDS + 1)
        await until(lambda: not len(server.table))


async def test_a_large_body_may_take_longer_than_a_small_one(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(FakeExecutor(fit()), body_seconds=30) as server:
        slow = await server.connect()
        body = b"#" * 60_000
        slow.send(
            b"POST /api/v1/runs HTTP/1.1\r\nHost: testserver\r\nContent-Type: text/x-python\r\nContent-Length: 60000\r\n\r\n"
        )
        slow.send(body[:48_000])
        start = server.now
        await until(lambda: any((each._deadline or 0.0) > start + 32.9 for each in server.table._connections))
        server.advance(32)
        slow.send(body[48_000:])
        assert (await slow.answer()).status == 201
    assert not caplog.records


async def test_waiting_requests_and_event_streams_have_no_time_limit() -> None:
    event, wait = gate()
    async with listening(FakeExecutor(fit()[:3], wait, fit()[3:])) as server:
        posting, following = await server.connect(), await server.connect()
        posting.post(RUNS, {"program": FIT}, Prefer="wait=60")
        await until(lambda: server.service.runs.running)
        (run,) = server.service.runs._live
        following.get(f"{RUNS}/{run}/events")
        assert (await following.answer()).status == 200
        for _ in range(100):
            server.advance(60)
        event.set()
        assert (await posting.answer()).status == 201
        async with asyncio.timeout(60):
            while b"event: end" not in await following.reader.readline():
                pass


def large() -> FakeExecutor:
    """Return an executor whose runs have more steps than fit into the buffers of a socket."""
    return FakeExecutor(fit(500))


def buffered(server: RealServer) -> int:
    """Return the number of bytes that wait in the server until the client reads."""
    return max((each.transport.get_write_buffer_size() for each in server.table._connections), default=0)


async def unread(server: RealServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Request a large response on a connection with small buffers, and read nothing of it."""
    posting = await server.connect()
    posting.post(RUNS, {"program": FIT})
    address = (await posting.answer()).headers["location"]
    posting.close()
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.connect(("127.0.0.1", server.port))
        raw.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=raw.dup(), limit=1_024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(f"GET {address}/steps?count=500 HTTP/1.1\r\nHost: testserver\r\n\r\n".encode())
    await until(lambda: buffered(server) > 100_000)
    return reader, writer


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    async with listening(large(), write_seconds=30) as server:
        _, writer = await unread(server)
        server.advance(1)
        server.advance(29)
        assert len(server.table) == 1
        server.advance(2)
        await until(lambda: not len(server.table))
        writer.close()


async def test_a_client_that_reads_slowly_gets_the_whole_response() -> None:
    async with listening(large(), write_seconds=30) as server:
        reader, writer = await unread(server)
        size, left = 0, buffered(server)
        async with asyncio.timeout(60):
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            while size < length:
                chunk = await reader.read(100_000)
                assert chunk, "disconnected"
                size += len(chunk)
                if buffered(server) < left - 40_000:
                    left = buffered(server)
                    server.advance(29)
        assert size == length
        writer.close()


async def test_requests_sent_ahead_are_answered_in_order_but_not_without_limit() -> None:
    async with listening(FakeExecutor()) as server:
        few = await server.connect()
        for path in ("/healthz", "/api/v1/runs/x", "/healthz"):
            few.get(path)
        assert [(await few.answer()).status for _ in range(3)] == [200, 404, 200]
        many = await server.connect()
        many.send(b"GET /healthz HTTP/1.1\r\nHost: testserver\r\n\r\n" * 5_000)
        answers = await many.rest()
        assert answers.count(b"HTTP/1.1") <= PIPELINE + 1
        assert server.server.server_state.total_requests <= 3 + PIPELINE + 1
        await ping(server)


@pytest.mark.parametrize(
    "headers", [b"X: " + b"a" * 200_000, b"".join(b"X-%d: a\r\n" % number for number in range(150)) + b"\r\n"]
)
async def test_large_headers_are_answered_431(headers: bytes) -> None:
    async with listening(FakeExecutor()) as server:
        connection = await server.connect()
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: testserver\r\n" + headers)
        assert b" 431 Request Header Fields Too Large" in await connection.rest()
        server.advance(6)
        await until(lambda: not len(server.table))


@pytest.mark.parametrize(("limits", "status"), [({"most": 2}, 503), ({"most_per_address": 2}, 429)])
async def test_connections_beyond_a_limit_are_refused_until_one_is_closed(limits: dict[str, int], status: int) -> None:
    async with listening(FakeExecutor(), **limits) as server:
        first, _ = [await server.connect() for _ in range(2)]
        await until(lambda: len(server.table) == 2)
        refused = await server.connect()
        refused.get("/healthz")
        answer = await refused.answer()
        assert answer.status == status
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["status"] == status
        assert await refused.rest() == b""
        refused.close()
        first.close()
        await until(lambda: len(server.table) == 1)
        await ping(server)


async def test_far_too_many_connections_are_closed_at_once() -> None:
    async with listening(FakeExecutor(), most=8) as server:
        clients = [await server.connect() for _ in range(8 + REFUSALS + 3)]
        assert await clients[-1].rest() == b""
        await until(lambda: len(server.table) == 8 + REFUSALS)
        server.advance(6)  # a refused client that sends nothing is disconnected
        await until(lambda: len(server.table) == 8)


async def test_a_client_that_vanishes_stops_its_run() -> None:
    async with listening(FakeExecutor(fit()[:2], forever)) as server:
        client = await server.connect()
        client.post(RUNS, {"program": FIT, "store": False})
        await until(lambda: server.service.runs.running)
        client.close()
        await until(lambda: not server.service.runs.running)


async def test_a_client_that_sent_a_request_ahead_and_vanishes_stops_its_run() -> None:
    async with listening(FakeExecutor(fit()[:2], forever)) as server:
        client = await server.connect()
        client.post(RUNS, {"program": FIT, "store": False})
        client.get("/healthz")
        await until(lambda: server.service.runs.running)
        client.close()
        await until(lambda: not server.service.runs.running)


async def test_vanished_clients_are_probed() -> None:
    with serving.listen("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


async def test_a_body_is_counted_only_until_it_is_read(serve: Serve) -> None:
    limits = ConnectionLimits(body_bytes=3_000, body_bytes_per_address=2_000)
    event, wait = gate()
    async with serve(fit()[:3], wait, fit()[3:], connections=limits, concurrent=1) as client:
        headers = {"Content-Type": "text/x-python"}
        posting = [asyncio.ensure_future(client.post(RUNS, content="#" * 1_500, headers=headers)) for _ in range(4)]
        app = client._transport.app  # type: ignore[attr-defined]
        await until(lambda: len(app.state.service.runs._live) == 4 or any(each.done() for each in posting))
        event.set()
        assert [(await each).status_code for each in posting] == [201] * 4


async def test_a_client_that_leaves_before_its_body_is_complete_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(FakeExecutor()) as server:
        client = await server.connect()
        head = b"POST /api/v1/runs HTTP/1.1\r\nHost: testserver\r\nContent-Type: text/x-python\r\nContent-Length: 1000\r\n\r\n"
        client.send(head + b"#")
        await until(lambda: server.server.server_state.tasks)
        client.close()
        await until(lambda: not server.server.server_state.tasks)
    assert not caplog.records


async def test_bodies_in_flight_are_limited_by_address_and_in_total(serve: Serve) -> None:
    limits = ConnectionLimits(body_bytes=3_000, body_bytes_per_address=2_000)
    async with serve(connections=limits) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        more, sent = asyncio.Event(), []

        async def half(size: int):  # type: ignore[no-untyped-def]
            yield b"#" * size
            sent.append(size)
            await more.wait()

        def post(address: str, size: int) -> asyncio.Task[httpx.Response]:
            transport = httpx.ASGITransport(app=app, client=(address, 1))
            caller = httpx.AsyncClient(transport=transport, base_url="http://testserver")
            return asyncio.create_task(caller.post(RUNS, content=half(size), headers={"Content-Type": "text/x-python"}))

        first = post("192.0.2.1", 1_500)
        await until(lambda: len(sent) == 1)
        refused = await post("192.0.2.1", 600)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        second = post("192.0.2.2", 1_400)
        await until(lambda: len(sent) == 2)
        assert (await post("192.0.2.3", 600)).status_code == 503
        more.set()
        assert {(await first).status_code, (await second).status_code} == {201}
        async with client_of(app) as later:  # the bodies no longer count
            program = "#" * 1_900
            assert (await later.post(RUNS, content=json.dumps({"program": program}))).status_code in (201, 415)
