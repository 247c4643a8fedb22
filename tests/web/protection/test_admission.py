"""Clients share the slots fairly, learn how long they wait, and leave nothing behind when they disconnect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from tapedeck.runs.manager import Runs
from tapedeck.web.api import replays
from tapedeck.web.service import Service

from ...fake_executor import FakeExecutor, forever
from ...handmade_events import FIT, fit
from ..conftest import Serve, client_of

pytestmark = pytest.mark.anyio

RUNS = "/api/v1/runs"
NOW = {"Prefer": "wait=0"}


def app_of(client: httpx.AsyncClient) -> FastAPI:
    app: FastAPI = client._transport.app  # type: ignore[attr-defined]
    return app


def runs_of(client: httpx.AsyncClient) -> Runs:
    service: Service = app_of(client).state.service
    return service.runs


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def stopped(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Cancel every run at the end, so that the app stops."""
    try:
        yield
    finally:
        for recorded in list(runs_of(client)._live.values()):
            recorded.cancelled.set()


async def known(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Give a client a cookie."""
    assert (await client.post(RUNS, json={"program": "x = 1"})).status_code == 201
    return client


class Loops(FakeExecutor):
    """Ends at once, except programs that contain ``while``."""

    async def run(self, job: Any, *, limits: Any, cancelled: asyncio.Event, client: str) -> AsyncIterator[list[Any]]:
        self.batches = (fit()[:2], forever) if "while" in job.program else (fit(),)
        async for batch in super().run(job, limits=limits, cancelled=cancelled, client=client):
            yield batch


async def test_the_executor_learns_which_client_a_run_or_replay_belongs_to(serve: Serve) -> None:
    executor = Loops()
    async with serve(executor=executor) as one, client_of(app_of(one)) as other:
        await known(one)  # the cookie arrives with the first answer
        await known(other)
        executor.clients.clear()
        run = await one.post(RUNS, json={"program": "x = 1"})
        await other.post(RUNS, json={"program": "x = 1"})
        await one.post(f"{RUNS}/{run.json()['id']}/replays", json={"what": "check", "step": 0})
        assert executor.clients[0] != executor.clients[1]
        assert executor.clients[0] == executor.clients[2]
        assert all(executor.clients)


async def test_endless_loops_of_one_client_do_not_delay_another_one(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=2) as one, stopped(one), client_of(app_of(one)) as other:
        await known(one)
        await known(other)
        for _ in range(20):
            assert (await one.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)).status_code == 202
        answers = [await other.post(RUNS, json={"program": "x = 1"}) for _ in range(5)]
        assert [answer.json()["status"] for answer in answers] == ["done"] * 5
        assert runs_of(one).waiting == 18


async def test_a_waiting_run_has_its_position_and_the_seconds_until_it_starts(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        await known(client)
        posted = [await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW) for _ in range(4)]
        assert "queue" not in posted[0].json()
        assert [answer.json()["queue"]["position"] for answer in posted[1:]] == [1, 2, 3]
        waits = [answer.json()["queue"]["seconds"] for answer in posted[1:]]
        assert waits == sorted(waits)
        assert int(posted[3].headers["retry-after"]) >= max(1, waits[2])
        read = await client.get(posted[3].headers["location"])
        assert read.json()["queue"]["position"] == 3
        page = await client.get(posted[3].json()["links"]["page"])
        assert "Waiting: 2 ahead, about " in page.text
        await client.post(f"{RUNS}/{posted[1].json()['id']}/cancel")
        read = await client.get(posted[3].headers["location"])
        assert read.json()["queue"]["position"] == 2


async def test_a_client_with_too_many_waiting_runs_gets_429_and_others_are_served(serve: Serve) -> None:
    async with (
        serve(executor=Loops(), concurrent=1, queue_per_session=2) as one,
        stopped(one),
        client_of(app_of(one)) as other,
    ):
        await known(one)
        await known(other)
        codes = [(await one.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)).status_code for _ in range(4)]
        assert codes == [202, 202, 202, 429]
        refused = await one.post(RUNS, json={"program": "x = 1"})
        assert int(refused.headers["retry-after"]) >= 1
        assert "2 of your runs" in refused.json()["detail"]
        assert refused.json()["retry_after"] >= 1
        assert (await other.post(RUNS, json={"program": "x = 1"})).status_code == 201
        unreadable = await one.post(RUNS, json={"program": 1})
        assert unreadable.status_code == 429  # nothing is read before there is room


async def test_replays_wait_in_the_same_queue(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        await known(client)
        run = (await client.post(RUNS, json={"program": FIT})).json()
        await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)
        await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)
        replay = await client.post(f"{RUNS}/{run['id']}/replays", json={"what": "check", "step": 0}, headers=NOW)
        assert replay.status_code == 202
        assert (replay.json()["status"], replay.json()["queue"]["position"]) == ("queued", 2)
        assert int(replay.headers["retry-after"]) >= replay.json()["queue"]["seconds"]
        await client.post(f"{RUNS}/{run['id']}/replays/{replay.json()['id']}/cancel")
        assert runs_of(client).waiting == 1


class LeavingClient:
    """A client that sends a request and can disconnect before the response."""

    def __init__(self, app: FastAPI, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.status = 0
        self._left = asyncio.Event()
        self._body = json.dumps(body).encode()
        raw = {"content-type": "application/json", **(headers or {})}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("192.0.2.1", 1),
            "server": ("testserver", 80), "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
        }  # fmt: skip
        self.answered = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def leave(self) -> None:
        self._left.set()
        await self.answered

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)


def cookie(client: httpx.AsyncClient) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}


async def test_a_run_that_is_not_stored_stops_when_its_client_leaves(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        leaving = LeavingClient(app_of(client), RUNS, {"program": "while 1: 0", "store": False})
        await until(lambda: runs_of(client).running)
        await leaving.leave()
        await until(lambda: not runs_of(client).running)
        assert runs_of(client).ended == {"cancelled": 1}


@pytest.mark.parametrize("with_cookie", [True, False])
async def test_a_waiting_run_whose_client_leaves_is_removed_from_the_queue_and_not_stored(
    serve: Serve, with_cookie: bool
) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        await known(client)
        headers = cookie(client) if with_cookie else {}
        first = LeavingClient(app_of(client), RUNS, {"program": "while 1: 0"}, headers)
        second = LeavingClient(app_of(client), RUNS, {"program": "while 1: 0"}, headers)
        await until(lambda: runs_of(client).waiting)
        await second.leave()
        await until(lambda: not runs_of(client).waiting)
        await until(lambda: len(runs_of(client)._live) == 1)
        assert [run["status"] for run in (await client.get(RUNS)).json()["runs"]].count("cancelled") == 0
        await first.leave()
        if with_cookie:  # the run has started, and its owner finds it in the list of runs
            await asyncio.sleep(0)
            assert runs_of(client).running
        else:
            await until(lambda: not runs_of(client).running)


async def test_a_run_continues_without_its_client_if_the_client_can_request_it_again(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        headers = {"idempotency-key": "a"}
        leaving = LeavingClient(app_of(client), RUNS, {"program": "while 1: 0"}, headers)
        await until(lambda: runs_of(client).running)
        await leaving.leave()
        again = LeavingClient(app_of(client), RUNS, {"program": "while 1: 0"}, headers)
        await until(lambda: next(iter(runs_of(client)._live.values())).readers)
        assert runs_of(client).running == 1
        await again.leave()


async def test_a_run_that_another_request_waits_for_continues(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        body, headers = {"program": "while 1: 0", "store": False}, {"idempotency-key": "a"}
        first, second = (LeavingClient(app_of(client), RUNS, body, headers) for _ in range(2))
        await until(lambda: any(live.readers == 2 for live in runs_of(client)._live.values()))
        await first.leave()
        await asyncio.sleep(0)
        assert runs_of(client).running == 1
        await second.leave()
        await until(lambda: not runs_of(client).running)


async def test_a_replay_stops_when_the_only_client_that_waits_for_it_leaves(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        await known(client)
        run = (await client.post(RUNS, json={"program": FIT})).json()
        for _ in range(2):
            await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)
        path = f"{RUNS}/{run['id']}/replays"
        leaving = LeavingClient(app_of(client), path, {"what": "check", "step": 0}, cookie(client))
        await until(lambda: runs_of(client).waiting == 2)
        await leaving.leave()
        await until(lambda: runs_of(client).waiting == 1)


async def test_addresses_take_turns_even_if_one_has_many_owners(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        for _ in range(6):  # without a cookie, each is a new owner
            client.cookies.clear()
            assert (await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)).status_code == 202
        body = {"program": "x = 1"}
        other = LeavingClient(app_of(client), RUNS, body)  # from another address
        async with asyncio.timeout(30):
            await other.answered
        assert other.status == 201


async def test_endless_loops_without_a_cookie_do_not_delay_another_caller_without_one(serve: Serve) -> None:
    async with serve(executor=Loops(), concurrent=2) as client, stopped(client):
        for _ in range(20):
            client.cookies.clear()
            assert (await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)).status_code == 202
        for number in range(5):
            client.cookies.clear()
            assert (await client.post(RUNS, json={"program": f"x = {number}"})).json()["status"] == "done"
        assert runs_of(client).waiting == 18


async def test_the_stream_of_a_waiting_replay_has_its_position_until_it_starts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapedeck.web.api.replays.POSITION_SECONDS", 0.01)
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        await known(client)
        run = (await client.post(RUNS, json={"program": FIT})).json()
        loops = [(await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)).json()["id"] for _ in range(2)]
        asked = await client.post(f"{RUNS}/{run['id']}/replays", json={"what": "check", "step": 0}, headers=NOW)
        service: Service = app_of(client).state.service
        live = await service.replays.find(await service.runs.find(run["id"]), asked.json()["id"])
        request = Request({"type": "http", "app": app_of(client), "root_path": ""})
        stream = replays._events(request, run["id"], live)

        async def event() -> tuple[str, Any]:
            async with asyncio.timeout(30):
                name, data = (await anext(stream)).decode().strip().split("\n")
            return name, json.loads(data.removeprefix("data: "))

        name, waiting = await event()
        assert (name, waiting["position"]) == ("event: queue", 2)
        await client.post(f"{RUNS}/{loops[1]}/cancel")
        while (found := await event())[1].get("position") != 1:
            assert found[0] in ("event: progress", "event: queue")
        await client.post(f"{RUNS}/{loops[0]}/cancel")
        while (found := await event())[0] != "event: end":
            pass
        assert "queue" not in found[1]


async def test_the_stream_of_a_waiting_run_reports_its_position_until_it_starts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapedeck.runs.manager.POSITION_SECONDS", 0.01)
    async with serve(executor=Loops(), concurrent=1) as client, stopped(client):
        await known(client)
        ids = [(await client.post(RUNS, json={"program": "while 1: 0"}, headers=NOW)).json()["id"] for _ in range(3)]
        service: Service = app_of(client).state.service
        stream = service.feeds.follow(await service.runs.find(ids[2]), -1, "")

        async def position() -> int:
            async with asyncio.timeout(30):
                piece = await anext(stream)
            assert piece.startswith(b"event: queue\n")
            assert b"id:" not in piece
            return int(json.loads(piece.split(b"data: ")[1])["position"])

        assert await position() == 2
        await client.post(f"{RUNS}/{ids[1]}/cancel")
        while (now := await position()) == 2:  # the estimate of the wait has changed
            pass
        assert now == 1
        await client.post(f"{RUNS}/{ids[0]}/cancel")
        async with asyncio.timeout(30):
            while b"event: started" not in await anext(stream):
                pass
        await stream.aclose()
