"""A server that stops lets running programs finish, and answers every client."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from tapedeck.web.stopping import AnswersWhenStopped

from ..fake_executor import FakeExecutor, forever, gate
from ..handmade_events import FIT, fit
from .real_server import Connection, RealServer, listening, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run the tests on uvloop, as uvicorn does."""
    return "asyncio", {"use_uvloop": True}


RUNS = "/api/v1/runs"


async def post(server: RealServer, program: str = FIT, **headers: str) -> Connection:
    connection = await server.connect()
    connection.post(RUNS, {"program": program}, **headers)
    return connection


async def test_after_sigterm_programs_finish_and_waiting_ones_get_503(caplog: pytest.LogCaptureFixture) -> None:
    event, wait = gate()
    async with listening(FakeExecutor(fit()[:3], wait, fit()[3:])) as server:
        idle = await server.connect()
        idle.get("/healthz")
        assert (await idle.answer()).status == 200
        running = await post(server)
        await until(lambda: server.service.runs.running)
        following = await server.connect()
        following.get(f"{RUNS}/{next(iter(server.service.runs._live))}/events")
        await following.answer()
        waiting = [await post(server) for _ in range(3)]
        await until(lambda: server.service.runs.waiting == 3)

        server.stop(signal.SIGTERM)
        for connection in waiting:
            answer = await connection.answer()
            assert (answer.status, answer.json()["title"]) == (503, "Busy")
            assert int(answer.headers["retry-after"]) >= 1
        assert await idle.rest() == b""
        assert server.service.runs.running == 1
        event.set()
        answer = await running.answer()
        assert (answer.status, answer.json()["status"]) == (201, "done")
        assert b'"status":"done"' in await following.rest()
    assert not [record for record in caplog.records if record.exc_info]


async def test_after_sigterm_a_busy_connection_gets_no_further_run() -> None:
    event, wait = gate()
    async with listening(FakeExecutor(fit()[:3], wait, fit()[3:])) as server:
        busy = await post(server)
        await until(lambda: server.service.runs.running)
        busy.post(RUNS, {"program": FIT})  # sent before the first answer
        server.stop(signal.SIGTERM)
        await until(lambda: server.service.runs._closing)
        event.set()
        answer = await busy.answer()
        assert answer.status == 201
        assert b"HTTP/1.1 20" not in await busy.rest()


async def test_after_ctrl_c_programs_are_interrupted_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(FakeExecutor(fit()[:3], forever)) as server:
        running = await post(server)
        await until(lambda: server.service.runs.running)
        waiting = [await post(server) for _ in range(2)]
        await until(lambda: server.service.runs.waiting == 2)
        server.stop(signal.SIGINT)
        answer = await running.answer()
        assert (answer.status, answer.json()["status"]) == (201, "interrupted")
        assert [(await connection.answer()).status for connection in waiting] == [503, 503]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_replay_that_waits_when_the_server_stops_gets_503() -> None:
    event, wait = gate()
    executor = FakeExecutor(fit())
    async with listening(executor) as server:
        first = await post(server)
        run = (await first.answer()).json()["id"]
        executor.batches = (fit()[:3], wait, fit()[3:])
        running = await post(server)
        another = await post(server, program="x = 1")  # the slots of this address are taken
        await until(lambda: server.service.runs.running == 2)
        replay = await server.connect()
        replay.post(f"{RUNS}/{run}/replays", {"what": "check", "step": 0})
        await until(lambda: server.service.runs.waiting)
        server.stop(signal.SIGTERM)
        assert (await replay.answer()).status == 503
        event.set()
        assert (await running.answer()).status == 201
        assert (await another.answer()).status == 201


async def test_a_request_that_is_cancelled_while_the_server_stops_is_answered() -> None:
    begun = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    tasks: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.ensure_future(AnswersWhenStopped(endless)(scope, receive, send)))
        await tasks[0]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
        asking = asyncio.ensure_future(client.get("/"))
        await begun.wait()
        tasks[0].cancel()
        answer = await asking
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
