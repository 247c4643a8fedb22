"""A class follows the playhead of whoever opened its room, and nobody else can move it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import segno
from tapedeck.errors import NotAllowed, NotFound, TooMany
from tapedeck.web.api import classroom
from tapedeck.web.streams import classrooms
from tapedeck.web.streams.classrooms import Classrooms

pytestmark = pytest.mark.anyio


async def test_a_room_shows_its_position_and_the_newest_one_after_that() -> None:
    rooms = Classrooms()
    id, room = rooms.open("run", "192.0.2.1")
    rooms.move(id, room.key, "step=1")
    positions = rooms.follow(room)
    assert await anext(positions) == "step=1"
    rooms.move(id, room.key, "step=2")
    rooms.move(id, room.key, "step=3")
    assert await anext(positions) == "step=3"
    waiting = asyncio.ensure_future(anext(positions, "closed"))
    await asyncio.sleep(0)
    rooms.close(id, room.key)
    assert await waiting == "closed"


async def test_only_the_key_moves_and_closes_a_room() -> None:
    rooms = Classrooms()
    id, room = rooms.open("run", "192.0.2.1")
    for act in (lambda: rooms.move(id, "é", "step=1"), lambda: rooms.close(id, room.key[:-1])):
        with pytest.raises(NotAllowed):
            act()
    assert room.position == ""
    rooms.close(id, room.key)
    with pytest.raises(NotFound):
        rooms.move(id, room.key, "step=1")


async def test_rooms_are_limited_and_close_when_nobody_moves_them() -> None:
    now = 0.0
    rooms = Classrooms(lambda: now)
    opened = [rooms.open("run", "192.0.2.1") for _ in range(classrooms.ROOMS_OF_ADDRESS)]
    with pytest.raises(TooMany):
        rooms.open("run", "192.0.2.1")
    rooms.open("run", "192.0.2.2")
    now = classrooms.IDLE_SECONDS + 1
    rooms.open("run", "192.0.2.1")
    assert all(room.closed for _, room in opened)
    with pytest.raises(NotFound):
        rooms.find(opened[0][0])


async def test_however_often_a_room_is_moved_a_listener_gets_the_newest_position_a_few_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classrooms, "INTERVAL", 3600.0)
    rooms = Classrooms()
    id, room = rooms.open("run", "192.0.2.1")
    rooms.move(id, room.key, "step=0")
    positions = rooms.follow(room)
    assert await anext(positions) == "step=0"
    following = asyncio.ensure_future(anext(positions))
    for step in range(100):
        rooms.move(id, room.key, f"step={step}")
        await asyncio.sleep(0)
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_room_that_nobody_follows_makes_way_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classrooms, "ROOMS", 4)
    now = 0.0
    rooms = Classrooms(lambda: now)
    followed, deserted, moved = (rooms.open("run", f"192.0.2.{number}") for number in range(3))
    rooms.move(*(followed[0], followed[1].key, "step=1"))
    positions = rooms.follow(followed[1])
    await anext(positions)
    now = classrooms.DESERTED_SECONDS + 1
    rooms.move(moved[0], moved[1].key, "step=1")
    rooms.open("run", "192.0.2.9")
    rooms.open("run", "192.0.2.9")
    assert [room.closed for _, room in (followed, deserted, moved)] == [False, True, False]
    with pytest.raises(TooMany):
        rooms.open("run", "192.0.2.9")
    await positions.aclose()
    rooms.open("run", "192.0.2.9")
    assert followed[1].closed


async def test_a_stream_without_news_is_closed_so_that_only_pages_that_listen_open_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classrooms, "HEARTBEAT", 0.0)
    rooms = Classrooms()
    _, room = rooms.open("run", "192.0.2.1")
    sent = [each async for each in classroom._events(rooms, room)]
    assert not any(b"end" in each for each in sent)
    assert len(sent) < 30
    assert room.listeners == 0


async def test_a_classroom_is_opened_moved_followed_and_closed(client: httpx.AsyncClient) -> None:
    run = (await client.post("/api/v1/runs", json={"program": "pass"})).json()["id"]
    opened = (await client.post(f"/api/v1/runs/{run}/classrooms")).json()
    assert opened["links"]["page"] == f"/r/{run}?follow={opened['id']}"
    own = {"Classroom-Key": opened["key"]}
    position = opened["links"]["position"]
    assert (await client.post(position, params={"position": "step=1"}, headers={"Classroom-Key": "x"})).status_code == 403
    assert (await client.post(position, params={"position": "step=1"}, headers=own)).status_code == 204
    assert (await client.post(position, params={"position": "x" * 501}, headers=own)).status_code == 422
    following = asyncio.ensure_future(client.get(opened["links"]["events"]))
    while not client._transport.app.state.service.listeners.count:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert (await client.delete(f"/api/v1/classrooms/{opened['id']}", headers=own)).status_code == 204
    events = (await following).text
    assert events.index('{"position":"step=1"}') < events.index("event: end")
    assert (await client.get(opened["links"]["events"])).status_code == 404


async def test_a_qr_code_leads_to_this_server_only(client: httpx.AsyncClient) -> None:
    answer = await client.get("/qr.svg", params={"path": "/r/42?step=3"})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(answer.text).tag.endswith("svg")
    for path in ("https://example.org/", "//example.org/", "/\n", "/" + "\u6f22" * 900):
        assert (await client.get("/qr.svg", params={"path": path})).status_code == 422
    long = await client.get("/qr.svg", params={"path": "/"}, headers={"Host": "x" * 5_000})
    assert long.status_code == 422


async def test_qr_codes_are_drawn_beside_the_event_loop_and_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    make = segno.make_qr

    def noted(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return make(*args, **options)

    monkeypatch.setattr(segno, "make_qr", noted)
    for _ in range(2):
        assert (await client.get("/qr.svg", params={"path": "/r/drawn-once"})).status_code == 200
    assert len(threads) == 1
    assert threading.current_thread() not in threads
