"""A run can be cancelled at any moment, and its recording can be read, followed and found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tapedeck import model, wire
from tapedeck.executor import OwnProcess
from tapedeck.inputs.request import Request
from tapedeck.recording import Recording
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.run import LiveRun, RecordedRun
from tapedeck.settings import Settings
from tapedeck.store import Store
from tapedeck.web.streams.feed import Feeds

from ..fake_executor import FakeExecutor, InlineFinder, forever
from ..tracer.run_twice import record

pytestmark = pytest.mark.anyio

TRAINING = """\
import time
import torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
for step in range(STEPS):
    optimizer.zero_grad()
    loss = (model(torch.ones(2)) ** 2).sum()
    loss.backward()
    optimizer.step()
    print(step)
    time.sleep(PAUSE)
"""


def request(program: str) -> Request:
    return Request(model.Program(program, "program", [(1, program.count("\n"))]), model.Options())


def read(recording: Recording) -> None:
    """Read everything in a recording, as pages do."""
    graphs, passes, steps = recording.log.counts()
    for index in range(graphs):
        recording.graph(index)
    for index in range(passes):
        assert recording.pass_(index, numbers=True).index == index
    for index in range(steps):
        assert [each.step for each in recording.step(index).passes] == [index]
    series = recording.series()
    assert len(series.index) == steps
    assert all(len(column) == steps for column in series.values.values())
    recording.lines()
    recording.stdout()
    recording.parameters()


@asynccontextmanager
async def archived(folder: Path) -> AsyncIterator[Archive]:
    archive = Archive(Store(folder), model.Limits())
    await archive.start()
    yield archive
    await archive.close()


async def stopped_with(executor: object, archive: Archive, program: str, steps: int) -> tuple[LiveRun, list[bytes]]:
    """Start a run, cancel it once it has ``steps`` steps, and return it with the events of its stream."""
    runs = Runs(Settings(), archive, executor, InlineFinder(), 1)  # type: ignore[arg-type]
    try:
        recorded = await runs.submit(request(program), "anna")
        assert isinstance(recorded, LiveRun)
        pieces = asyncio.create_task(_streamed(archive, recorded))
        async with asyncio.timeout(60):
            while recorded.counts[2] < steps:
                await recorded.changes.next.wait()
            await runs.cancel(recorded.id, "anna")
        return recorded, await pieces
    finally:
        await runs.close()


async def _streamed(archive: Archive, recorded: RecordedRun) -> list[bytes]:
    return [piece async for piece in Feeds(archive).follow(recorded, -1, "")]


async def test_all_events_before_a_cancellation_can_be_read(tmp_path: Path) -> None:
    program = TRAINING.replace("STEPS", "4").replace("PAUSE", "0")
    events, _ = record(program)
    cancelled = []
    async with archived(tmp_path) as archive:
        for count in range(len(events)):
            recorded, pieces = await stopped_with(FakeExecutor(events[:count], forever), archive, program, 0)
            assert recorded.status == "cancelled"
            assert b"event: end" in pieces[-1]
            read(recorded.recording)
            cancelled.append(recorded)
    store = Store(tmp_path)
    for recorded in cancelled:
        stored = store.get(recorded.id)
        assert stored is not None
        assert stored.status == "cancelled"
        reread = Recording(store.log(stored), program)
        read(reread)
        assert reread.log.counts() == recorded.recording.log.counts()
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 1, 7])
async def test_a_cancelled_training_keeps_its_steps(tmp_path: Path, steps: int) -> None:
    program = TRAINING.replace("STEPS", "100000").replace("PAUSE", "0.001")
    async with archived(tmp_path) as archive:
        recorded, pieces = await stopped_with(OwnProcess(), archive, program, steps)
    assert (recorded.status, recorded.counts[2] >= steps) == ("cancelled", True)
    read(recorded.recording)
    assert b'"status":"cancelled"' in pieces[-1]
    progress = [event for event in recorded.events if isinstance(event, wire.ProgressEvent)]
    assert all(event.of == 100_000 for event in progress)
