"""Test that first visitors share one recording of the example, and that nobody waits for it long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tapedeck import model
from tapedeck.examples import gallery
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.slots import Client
from tapedeck.settings import Settings
from tapedeck.store import Store
from tapedeck.web import example_runs
from tapedeck.web.example_runs import ExampleRuns

from ..fake_executor import FakeExecutor, InlineFinder, gate
from ..handmade_events import fit

pytestmark = pytest.mark.anyio
EXAMPLE = gallery()[0]


@asynccontextmanager
async def examples(folder: Path, *batches: Any) -> AsyncIterator[tuple[ExampleRuns, FakeExecutor]]:
    archive = Archive(Store(folder), model.Limits())
    executor = FakeExecutor(*batches)
    runs = Runs(Settings(), archive, executor, InlineFinder([]), 1)  # type: ignore[arg-type]
    await archive.start()
    made = ExampleRuns(runs, executor, "2.13.0")  # type: ignore[arg-type]
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
