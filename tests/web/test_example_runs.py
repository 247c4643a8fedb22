"""Test that first visitors share one recording of the example, and that nobody waits for it long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tapedeck import model
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.errors import NotFound
from tapedeck.examples import gallery
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.slots import Client
from tapedeck.settings import Settings
from tapedeck.store import Store
from tapedeck.web import example_runs
from tapedeck.web.example_runs import ExampleRuns, SharedProgram

from ..fake_executor import FakeExecutor, InlineFinder, forever, gate
from ..handmade_events import fit
from ..until import until
from .conftest import Serve

pytestmark = pytest.mark.anyio
EXAMPLE = gallery()[0]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for queued recordings too, however busy the machine is."""
    monkeypatch.setattr(example_runs, "QUEUE_SECONDS", 60.0)


@asynccontextmanager
async def examples(
    folder: Path, *batches: Any, limits: model.Limits | None = None, torch: str = "2.13.0"
) -> AsyncIterator[tuple[ExampleRuns, FakeExecutor]]:
    archive = Archive(Store(folder), limits or model.Limits())
    executor = FakeExecutor(*batches)
    runs = Runs(Settings(), archive, executor, InlineFinder([]), 1)  # type: ignore[arg-type]
    await archive.start()
    made = ExampleRuns(runs, executor, torch)  # type: ignore[arg-type]
    try:
        yield made, executor
    finally:
        await made.close()
        await runs.close()
        await archive.close()


async def test_visitors_share_one_recording(tmp_path: Path) -> None:
    async with examples(tmp_path, fit()) as (made, executor):
        found = await asyncio.gather(*(made.find(EXAMPLE, seconds=60) for _ in range(20)))
        assert found[0] is not None
        assert all(each is found[0] for each in found)
        assert len(executor.jobs) == 1


async def test_visitors_do_not_wait_for_a_recording_one_after_another(tmp_path: Path) -> None:
    event, wait = gate()
    async with examples(tmp_path, wait, fit()) as (made, executor):
        assert await made.find(EXAMPLE, seconds=0) is None
        visits = [asyncio.create_task(made.find(EXAMPLE, seconds=0.01)) for _ in range(20)]
        done, waiting = await asyncio.wait(visits, timeout=10)
        assert not waiting
        assert {each.result() for each in done} == {None}
        event.set()
        assert await made.find(EXAMPLE, seconds=60) is not None
        assert len(executor.jobs) == 1


async def test_a_page_waits_longer_for_an_example_that_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_runs, "QUEUE_SECONDS", 0.01)
    event, wait = gate()
    async with examples(tmp_path, wait, fit()) as (made, executor):
        tickets = [made._runs.slots.admit(Client(f"other {number}", f"192.0.2.{number}")) for number in range(3)]
        for ticket in tickets:
            assert await made._runs.slots.acquire(ticket, asyncio.Event())  # all slots are in use
        async with asyncio.timeout(60):
            assert await made.find(EXAMPLE, seconds=3600) is None
        made._runs.slots.release(tickets[0])
        while not executor.running:
            await asyncio.sleep(0)
        visit = asyncio.create_task(made.find(EXAMPLE, seconds=3600))
        await asyncio.sleep(0.05)
        assert not visit.done()
        event.set()
        assert await visit is not None


async def test_a_visitor_who_leaves_does_not_stop_the_recording(tmp_path: Path) -> None:
    event, wait = gate()
    async with examples(tmp_path, wait, fit()) as (made, executor):
        visit = asyncio.create_task(made.find(EXAMPLE, seconds=60))
        await asyncio.sleep(0.01)
        visit.cancel()
        event.set()
        assert await made.find(EXAMPLE, seconds=60) is not None
        assert len(executor.jobs) == 1


async def test_all_examples_are_recorded_once_before_the_first_visit(tmp_path: Path) -> None:
    async with examples(tmp_path, fit()) as (made, executor):
        await made.prepare([EXAMPLE, *gallery()[:4]])
        assert len(executor.jobs) == 4
        assert all([await made.find(each, seconds=0) is not None for each in gallery()[:4]])
    async with examples(tmp_path, fit()) as (made, executor):
        await made.prepare(gallery()[:4])
        assert executor.jobs == []


async def test_a_recording_that_failed_is_made_again(tmp_path: Path) -> None:
    async with examples(tmp_path, fit()) as (made, executor):
        executor.ready = False
        assert await made.find(EXAMPLE) is None
        executor.ready = True
        assert await made.find(EXAMPLE, seconds=60) is not None


async def test_a_recording_keeps_its_id_and_never_expires(tmp_path: Path) -> None:
    async with examples(tmp_path, fit()) as (made, executor):
        first = await made.find(EXAMPLE, seconds=60)
        assert first is not None
        assert first.new.expires is None
    async with examples(tmp_path, fit()) as (made, executor):
        later = await made.find(EXAMPLE, seconds=60)
        assert later is not None
        assert (later.id, executor.jobs) == (first.id, [])
    async with examples(tmp_path, fit(), torch="2.14.0") as (made, executor):
        updated = await made.find(EXAMPLE, seconds=60)
        assert updated is not None
        assert (updated.id, len(executor.jobs)) == (first.id, 1)
        assert await made._runs.find(first.id) is updated


async def test_a_lost_recording_is_made_again_under_its_id(tmp_path: Path) -> None:
    async with examples(tmp_path / "first", fit()) as (made, _):
        first = await made.find(EXAMPLE, seconds=60)
        assert first is not None
    async with examples(tmp_path / "second", fit()) as (made, executor):
        assert await made.again(first.id) is None  # nobody knows yet which program has this id
        made.know([EXAMPLE])
        lost = await made.again(first.id)
        assert lost is not None
        assert (lost.id, len(executor.jobs)) == (first.id, 1)
        assert await made.again("0" * 32) is None


async def test_a_recording_that_the_server_interrupted_is_made_again(tmp_path: Path) -> None:
    async with examples(tmp_path, forever) as (made, executor):
        assert await made.find(EXAMPLE, seconds=0) is None
        await until(lambda: executor.running == 1)
    async with examples(tmp_path, fit()) as (made, executor):
        found = await made.find(EXAMPLE, seconds=60)
        assert found is not None
        assert (found.status, len(executor.jobs)) == ("done", 1)


async def test_a_full_store_deletes_dragged_recordings_before_those_of_examples(tmp_path: Path) -> None:
    async with examples(tmp_path, fit()) as (made, _):
        example = await made.find(EXAMPLE, seconds=60)
        dragged = await made.find(SharedProgram("dragged", model.Program("m = 2"), lasting=False), seconds=60)
        assert example is not None
        assert dragged is not None
        assert dragged.new.expires is not None
        size = made._runs._archive.bytes
    async with examples(tmp_path, fit(), limits=model.Limits(store_bytes=size - 1)) as (made, _):
        assert await made._runs._archive.make_room()
        assert (await made._runs.find(example.id)).id == example.id
        with pytest.raises(NotFound):
            await made._runs.find(dragged.id)


async def test_a_link_to_an_example_works_on_a_server_with_an_empty_store(serve: Serve, tmp_path: Path) -> None:
    async with serve(folder=tmp_path / "first") as client:
        found = await client.get(f"/embed/{EXAMPLE.slug}?panes=graph")
        (id,) = set(re.findall(r"/r/([0-9a-f]{32})", found.text))
    async with serve(folder=tmp_path / "second") as client:
        for address in (f"/embed/{id}", f"/r/{id}", f"/api/v1/runs/{id}/steps"):
            assert (await client.get(address)).status_code == 200, address


async def test_browsers_ask_again_for_a_recording_that_a_newer_server_replaces(serve: Serve) -> None:
    async with serve() as client:
        found = await client.get(f"/embed/{EXAMPLE.slug}?panes=graph")
        (id,) = set(re.findall(r"/r/([0-9a-f]{32})", found.text))
        own = (await client.post("/api/v1/runs", json={"program": "m = 1"})).json()["id"]
        for path in ("steps", "passes/0/graph.svg", "program.py"):
            shared = await client.get(f"/api/v1/runs/{id}/{path}")
            assert shared.headers["cache-control"] == "private, no-cache", path
            unchanged = await client.get(f"/api/v1/runs/{id}/{path}", headers={"If-None-Match": shared.headers["etag"]})
            assert unchanged.status_code == 304, path
            assert "immutable" in (await client.get(f"/api/v1/runs/{own}/{path}")).headers["cache-control"], path


async def test_strangers_take_turns_in_drawing_the_pictures_of_an_example(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[str] = []
    layout = LayoutEngine.layout

    async def watched(self: LayoutEngine, plan: Any, client: str = "") -> Any:
        clients.append(client)
        return await layout(self, plan, client)

    async with serve() as client:
        found = await client.get(f"/embed/{EXAMPLE.slug}?panes=graph")
        (id,) = set(re.findall(r"/r/([0-9a-f]{32})", found.text))
        monkeypatch.setattr(LayoutEngine, "layout", watched)
        for address in (f"/api/v1/runs/{id}/passes/0/graph.svg?direction=LR", f"/r/{id}"):
            assert (await client.get(address)).status_code == 200
    assert clients
    assert set(clients) == {"127.0.0.1"}
