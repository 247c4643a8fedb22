"""Test that many listeners cost little: events are encoded once, sent in turn, and nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tapedeck import model, wire
from tapedeck.errors import TooMany
from tapedeck.inputs.request import Request
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.run import LiveRun
from tapedeck.settings import Settings
from tapedeck.store import Store
from tapedeck.web.streams import event_stream, feed
from tapedeck.web.streams.event_stream import SENDERS, Listeners, SendingTurns
from tapedeck.web.streams.feed import CHUNK, Feeds
from tapedeck.web.streams.stream import Chunk, encode

from ...fake_executor import FakeExecutor, InlineFinder, forever, gate
from ...handmade_events import FIT, fit
from ...until import until
from ..conftest import Serve
from ..real_server import listening

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def live_run(folder: Path, *batches: Any) -> AsyncIterator[tuple[Feeds, LiveRun, Archive]]:
    archive = Archive(Store(folder), model.Limits())
    runs = Runs(Settings(), archive, FakeExecutor(*batches), InlineFinder([]), 1)  # type: ignore[arg-type]
    await archive.start()
    try:
        recorded = await runs.submit(Request(model.Program(FIT, "program", [(1, 13)]), model.Options()), "anna")
        assert isinstance(recorded, LiveRun)
        yield Feeds(archive), recorded, archive
    finally:
        await runs.close()
        await archive.close()


async def pieces(events: AsyncGenerator[bytes, None]) -> list[bytes]:
    return [piece async for piece in events]


def ids(data: bytes) -> list[int]:
    return [int(line[4:]) for line in data.decode().splitlines() if line.startswith("id: ")]


def one_by_one(events: list[wire.AnyEvent]) -> list[Any]:
    """Return batches of one event each; other tasks run between them."""
    return [each for event in events for each in ([event], lambda: asyncio.sleep(0))]


async def test_each_event_is_encoded_once_for_all_listeners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: Counter[int] = Counter()

    def counted(events: Iterable[wire.AnyEvent], first: int) -> Chunk:
        chunk = encode(events, first)
        encoded.update(range(first, chunk.stop))
        return chunk

    monkeypatch.setattr(feed, "encode", counted)
    monkeypatch.setattr(feed, "INTERVAL", 0.001)
    event, wait = gate()
    events = fit(100)
    async with live_run(tmp_path, events[:33], wait, *one_by_one(events[33:])) as (feeds, recorded, _):
        listeners = [asyncio.create_task(pieces(feeds.follow(recorded, -1, ""))) for _ in range(50)]
        await until(lambda: encoded.total() >= 33)
        event.set()
        received = [b"".join(each) for each in await asyncio.gather(*listeners)]
        late = b"".join(await pieces(feeds.follow(recorded, 70, "")))
    assert set(received) == {received[0]}
    assert ids(late) == [id for id in ids(received[0]) if id > 70]
    assert set(encoded.values()) == {1}
    assert encoded.total() == len(events)


async def test_events_are_announced_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "INTERVAL", 3600)
    events = fit(100)
    async with live_run(tmp_path, *one_by_one(events)) as (feeds, recorded, _):
        received = await pieces(feeds.follow(recorded, -1, ""))
    assert len(received) <= len(events) // CHUNK + 4  # full chunks, the first announcement, and the end


async def test_one_task_waits_for_a_run_however_many_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0
    quiet = feed.set_within

    async def counted(seconds: float, changed: asyncio.Event) -> bool:
        nonlocal waits
        waits += 1
        return await quiet(seconds, changed)

    monkeypatch.setattr(feed, "set_within", counted)
    event, wait = gate()
    started = 0
    async with live_run(tmp_path, fit()[:3], wait, fit()[3:]) as (feeds, recorded, _):

        async def listen() -> bytes:
            nonlocal started
            received = b""
            async for piece in feeds.follow(recorded, -1, ""):
                started += not received
                received += piece
            return received

        listeners = [asyncio.create_task(listen()) for _ in range(300)]
        await until(lambda: started == 300)
        before = waits
        for _ in range(50):
            await asyncio.sleep(0)
        assert waits - before <= 1  # 300 quiet listeners do nothing
        event.set()
        assert len(set(await asyncio.gather(*listeners))) == 1
    assert waits < 50


async def test_comments_keep_a_quiet_stream_open_until_it_is_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "QUIET_SECONDS", 0.001)
    async with live_run(tmp_path, fit()[:3], forever) as (feeds, recorded, _):
        received = await pieces(feeds.follow(recorded, -1, ""))
        assert received[-feed.MOST_COMMENTS :] == [b": still running\n\n"] * feed.MOST_COMMENTS
        assert b"event: end" not in b"".join(received)
        assert not recorded.ended


async def test_a_stream_of_a_deleted_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.store.log.CACHE_BYTES", 0)
    monkeypatch.setattr("tapedeck.store.log.LARGE_BLOCK_BYTES", 0)
    async with live_run(tmp_path, fit(100)) as (_, recorded, archive):
        await recorded.until_ended()
        archive.forget(recorded.id)
        stored = await archive.find(recorded.id)
        assert stored is not None
        events = Feeds(archive).follow(stored, -1, "")
        first = await anext(events)
        await archive.delete(recorded.id)
        rest = await pieces(events)
    assert len(ids(first)) > 0
    assert b"event: end" not in b"".join(rest)


async def test_large_events_are_encoded_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(events: Iterable[wire.AnyEvent], first: int) -> Chunk:
        threads.append(threading.current_thread().name)
        return encode(events, first)

    monkeypatch.setattr(feed, "encode", noted)
    async with live_run(tmp_path, [*fit()[:3], wire.OutputEvent("x" * 60_000, 0), *fit()[3:]]) as (feeds, recorded, _):
        received = b"".join(await pieces(feeds.follow(recorded, -1, "")))
    assert b"x" * 60_000 in received
    assert all(name.startswith("store-read") for name in threads)


async def test_few_streams_send_in_one_iteration_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SHARE", 1.0)
    turns = SendingTurns()
    iteration, sent = 0, Counter[int]()
    loop = asyncio.get_running_loop()

    def tick() -> None:
        nonlocal iteration
        iteration += 1
        if len(sent) < 200:
            loop.call_soon(tick)

    async def sender() -> None:
        for _ in range(4):
            await turns.take()
            sent[iteration] += 1

    tick()
    await asyncio.gather(*(sender() for _ in range(100)))
    assert sent.total() == 400
    assert max(sent.values()) <= SENDERS


async def test_a_cancelled_sender_does_not_stop_the_others() -> None:
    turns = SendingTurns()
    waiting = [asyncio.create_task(turns.take()) for _ in range(40)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await asyncio.gather(*waiting[1::2])
    await turns.take()


async def endless() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"x" * 200_000


async def test_a_listener_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.01)
    listeners = Listeners(10, 10, 10)
    sizes = []

    async def send(message: Any) -> None:
        if body := message.get("body"):
            sizes.append(len(body))
            if len(sizes) > 2:
                await asyncio.Event().wait()  # the connection's buffer is full

    async def receive() -> Any:
        await asyncio.Event().wait()

    response = listeners.open("run", "10.0.0.1", endless())
    assert listeners.count == 1
    await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert listeners.count == 0
    assert max(sizes) <= event_stream.PIECE


async def test_a_listener_that_does_not_read_is_disconnected_while_the_others_get_everything() -> None:
    event, wait = gate()
    tail = [wire.LinesEvent([wire.LineRow(1, None, "x" * 4_000, -1)], wire.TensorTable()) for _ in range(4_000)]
    executor = FakeExecutor(fit()[:3], wait, *([each] for each in tail), fit()[3:])
    async with listening(executor, write_seconds=30) as server:
        posting = await server.connect()
        posting.post("/api/v1/runs", {"program": FIT}, Prefer="wait=0")
        path = (await posting.answer()).headers["location"]
        reading, stuck = await server.connect(), await server.connect()
        for each in (reading, stuck):
            each.send(f"GET {path}/events HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n\r\n".encode())
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: server.service.listeners.count == 2)
        event.set()
        assert b"event: end" in await reading.rest()
        assert max(each.transport.get_write_buffer_size() for each in server.table._connections) < 4 * event_stream.PIECE
        server.advance(1)
        server.advance(31)
        await until(lambda: server.service.listeners.count == 0)


async def test_a_listener_that_leaves_is_no_longer_counted(tmp_path: Path) -> None:
    listeners = Listeners(10, 10, 10)
    left = asyncio.Event()

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None: ...

    async with live_run(tmp_path, fit()[:3], forever) as (feeds, recorded, _):
        response = listeners.open(recorded.id, "10.0.0.1", feeds.follow(recorded, -1, ""))
        listening = asyncio.create_task(response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send))
        await asyncio.sleep(0.01)
        assert listeners.count == 1
        left.set()
        await listening
        assert listeners.count == 0
        assert not feeds._feeds


def test_streams_have_ceilings_for_a_run_an_address_and_the_server() -> None:
    listeners = Listeners(5, 2, 3)
    for run, address in (("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("d", "2")):
        listeners.open(run, address, endless())
    for run, address, match in (
        ("a", "3", "This run has 2"),
        ("e", "1", "Your address has 3"),
        ("e", "3", "This server has 5"),
    ):
        with pytest.raises(TooMany, match=match) as caught:
            listeners.open(run, address, endless())
        assert caught.value.retry_after
    assert listeners.count == 5


async def test_a_stream_above_the_ceiling_is_answered_429(serve: Serve) -> None:
    event, wait = gate()
    async with serve(fit()[:3], wait, fit()[3:], streams_of_run=2) as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT}, headers={"Prefer": "wait=0"})).headers["location"]
        streams = [asyncio.create_task(client.get(f"{run}/events")) for _ in range(2)]
        listeners = client._transport.app.state.service.listeners  # type: ignore[attr-defined]
        await until(lambda: listeners.count == 2)
        refused = await client.get(f"{run}/events")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert "2 open event streams" in json.loads(refused.text)["detail"]
        event.set()
        for answer in await asyncio.gather(*streams):
            assert answer.status_code == 200
        assert (await client.get(f"{run}/events")).status_code == 200
