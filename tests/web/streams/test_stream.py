"""Test the event stream of a run: live, replayed, resumed, and after the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tapedeck import model
from tapedeck.errors import NotFound
from tapedeck.inputs.request import Request
from tapedeck.recording import MemoryLog, Recording
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.run import LiveRun, RecordedRun
from tapedeck.settings import Settings
from tapedeck.store import Store
from tapedeck.web.streams import feed
from tapedeck.web.streams.feed import Feeds

from ...fake_executor import FakeExecutor, InlineFinder, gate
from ...handmade_events import FIT, fit
from ...until import until
from ..conftest import Serve

pytestmark = pytest.mark.anyio

Event = tuple[int, str, Any]


def parse(text: str) -> list[Event]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


async def followed(client: httpx.AsyncClient, run: str, **headers: str) -> list[Event]:
    answer = await client.get(f"{run}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parse(answer.text)


async def start(client: httpx.AsyncClient) -> str:
    return (await client.post("/api/v1/runs", json={"program": FIT})).headers["location"]


async def test_recorded_events_are_sent_in_order_and_end(client: httpx.AsyncClient) -> None:
    events = await followed(client, await start(client))
    assert [name for _, name, _ in events] == [
        "started", "graph", "step", "progress", "step", "progress", "output", "lines", "lines", "end",
    ]  # fmt: skip
    ids = [seq for seq, _, _ in events]
    assert ids == sorted(set(ids))
    first = {name: data for _, name, data in reversed(events)}
    assert first["started"] == {"torch": "2.13.0", "python": "3.11.7"}
    assert first["graph"] == {"id": "g0", "nodes": 5, "edges": 4}
    assert first["step"]["loss"]["values"] == pytest.approx(14 / 3)
    assert first["progress"] == {"done": 1, "of": 2}
    assert first["output"] == {"text": "done\n", "cell": 0, "stream": "stdout"}
    assert first["lines"]["lines"][0]["line"] == 7
    assert first["end"] == {"status": "done"}


async def test_the_store_gives_the_same_events_as_memory(serve: Serve, tmp_path: Path) -> None:
    async with serve() as client:
        run = await start(client)
        live = await followed(client, run)
    async with serve() as client:
        assert await followed(client, run) == live
        assert await followed(client, run, **{"Last-Event-ID": str(live[3][0])}) == live[4:]


async def test_a_stream_resumes_after_the_last_event_seen(client: httpx.AsyncClient) -> None:
    run = await start(client)
    events = await followed(client, run)
    for index, (seq, _, _) in enumerate(events[:-1]):
        assert await followed(client, run, **{"Last-Event-ID": str(seq)}) == events[index + 1 :]
    assert await followed(client, run, **{"Last-Event-ID": "nonsense"}) == events


async def test_a_stream_resumed_after_the_end_is_answered_204(client: httpx.AsyncClient) -> None:
    run = await start(client)
    last = (await followed(client, run))[-1][0]
    answer = await client.get(f"{run}/events", headers={"Last-Event-ID": str(last)})
    assert answer.status_code == 204


async def test_a_live_stream_sends_new_events_and_keep_alive_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "QUIET_SECONDS", 0.01)
    event, wait = gate()
    archive = Archive(Store(tmp_path), model.Limits())
    finding = model.Finding("x", "note", None, 1, 0, None, "m", "w")
    runs = Runs(Settings(), archive, FakeExecutor(fit()[:5], wait, fit()[5:]), InlineFinder([finding]), 1)  # type: ignore[arg-type]
    await archive.start()
    recorded = await runs.submit(Request(model.Program(FIT, "program", [(1, 13)]), model.Options()), "anna")
    assert isinstance(recorded, LiveRun)
    data = b""
    async for piece in Feeds(archive).follow(recorded, -1, ""):
        data += piece
        if piece.startswith(b":") and not event.is_set():
            assert [name for _, name, _ in parse(data.decode())][-1] == "step"
            event.set()
    received = parse(data.decode())
    assert [name for _, name, _ in received][-2:] == ["finding", "end"]
    assert received[-2][2]["code"] == "x"
    assert feed.last_id(recorded) == received[-1][0]
    await runs.close()
    await archive.close()


LONG = 120


@asynccontextmanager
async def long_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Archive, LiveRun, asyncio.Event]]:
    """Start a run that ends when the event is set. Its first events are in the store and no longer in memory."""
    monkeypatch.setattr("tapedeck.runs.manager.FLUSH_SECONDS", 0.005)
    monkeypatch.setattr("tapedeck.runs.archive.LIVE_BYTES", 1)
    monkeypatch.setattr("tapedeck.store.block.FULL_EVENTS", 20)
    archive = Archive(Store(folder), model.Limits())
    event, wait = gate()
    events = fit(LONG)
    batches: list[Any] = []
    for index in range(0, len(events) - 2, 30):
        batches += [events[index : min(index + 30, len(events) - 2)], lambda: asyncio.sleep(0.02)]
    runs = Runs(Settings(), archive, FakeExecutor(*batches, wait, events[-2:]), InlineFinder([]), 1)  # type: ignore[arg-type]
    await archive.start()
    recorded = await runs.submit(Request(model.Program(FIT, "program", [(1, 13)]), model.Options()), "anna")
    assert isinstance(recorded, LiveRun)
    try:
        yield archive, recorded, event
    finally:
        event.set()
        await runs.close()
        await archive.close()


async def received_events(archive: Archive, recorded: RecordedRun, after: int = -1) -> list[Event]:
    return parse(b"".join([piece async for piece in Feeds(archive).follow(recorded, after, "")]).decode())


async def test_a_long_run_keeps_only_its_end_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with long_run(tmp_path, monkeypatch) as (_, recorded, event):
        whole = Recording(MemoryLog(fit(LONG)), FIT)
        await until(
            lambda: recorded.forgotten > 200 and recorded.written == recorded.count
        )  # events that arrive during a write are written by the next one
        assert len(recorded.events) < 20  # no full block
        assert recorded.size < 25_000
        assert recorded.counts[2] >= 60
        for index in (0, 30, recorded.counts[2] - 1):
            assert recorded.recording.step(index) == whole.step(index)
        with pytest.raises(NotFound, match="There is no step 5000: the last is"):
            recorded.recording.step(5000)
        assert recorded.recording.parameters() == whole.parameters()
        event.set()
        await recorded.until_ended()
        assert recorded.recording.log.counts() == (1, LONG, LONG)
        assert recorded.recording.lines() == whole.lines()
        assert recorded.recording.stdout() == "done\n"
        losses = recorded.recording.series(["loss"]).values["loss"]
        assert losses.tolist() == whole.series(["loss"]).values["loss"].tolist()


async def test_the_stream_of_a_long_run_can_be_resumed_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with long_run(tmp_path, monkeypatch) as (archive, recorded, event):
        listeners = [asyncio.create_task(received_events(archive, recorded)) for _ in range(2)]
        stopped = Feeds(archive).follow(recorded, -1, "")
        await anext(stopped)  # this listener now stops reading
        await until(lambda: recorded.forgotten > 200)
        late = [asyncio.create_task(received_events(archive, recorded, after)) for after in range(-1, 300, 37)]
        await asyncio.sleep(0.02)
        event.set()
        first, second = await asyncio.gather(*listeners)
        assert first == second
        assert [name for _, name, _ in first].count("step") == LONG
        assert first[-1][1:] == ("end", {"status": "done"})
        for after, found in zip(range(-1, 300, 37), await asyncio.gather(*late), strict=True):
            assert found == [each for each in first if each[0] > after]
        await stopped.aclose()
    again = Archive(Store(tmp_path), model.Limits())
    stored = await again.find(recorded.id)
    assert stored is not None
    for after in range(-1, len(fit(LONG)), 29):
        assert await received_events(again, stored, after) == [each for each in first if each[0] > after]
    await again.close()
