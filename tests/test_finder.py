"""Test that findings are made in a worker process within a budget, and that those made in time are kept."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tapedeck import finder, model, wire
from tapedeck.explain.findings import RuleFindings, arranged, of_rules
from tapedeck.explain.registry import RULES
from tapedeck.finder import Evidence, WorkerFinder
from tapedeck.inputs.request import Request
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.run import LiveRun
from tapedeck.settings import Settings
from tapedeck.store import Store
from tapedeck.workers import Budget

from .fake_executor import FakeExecutor, InlineFinder
from .handmade_events import FIT, fit
from .until import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerFinder]:
    """A finder with one process, which can import functions of this module."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    one = WorkerFinder(1)
    await one.start()
    yield one
    await one.close()


@asynccontextmanager
async def ended_run(folder: Path, events: list[wire.AnyEvent]) -> AsyncIterator[LiveRun]:
    """Record a run whose events arrive slowly, so that the first events may be moved from memory to the store."""
    archive = Archive(Store(folder), model.Limits())
    batches = [
        each for start in range(0, len(events), 30) for each in (events[start : start + 30], lambda: asyncio.sleep(0.02))
    ]
    runs = Runs(Settings(), archive, FakeExecutor(*batches), InlineFinder([]), 1)  # type: ignore[arg-type]
    await archive.start()
    try:
        recorded = await runs.submit(Request(model.Program(FIT, "program", [(1, 13)]), model.Options()), "anna")
        assert isinstance(recorded, LiveRun)
        await recorded.until_ended()
        yield recorded
    finally:
        await runs.close()
        await archive.close()


def with_signals(steps: int) -> list[wire.AnyEvent]:
    *events, end = fit(steps)
    return [*events, wire.GraphTooLarge(line=5, limit=100_000), end]


async def test_a_process_makes_the_findings_that_this_one_makes(made: WorkerFinder, tmp_path: Path) -> None:
    async with ended_run(tmp_path, with_signals(3)) as recorded:
        here = arranged(of_rules(recorded.recording, recorded.new.program))
        assert "graph-too-large" in {finding.code for finding in here.findings}
        assert await made.find(recorded) == here
        assert here.omitted == []


async def test_a_process_reads_the_events_that_have_left_memory(
    made: WorkerFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapedeck.runs.manager.FLUSH_SECONDS", 0.005)
    monkeypatch.setattr("tapedeck.runs.archive.LIVE_BYTES", 1)
    monkeypatch.setattr("tapedeck.store.block.FULL_EVENTS", 20)
    async with ended_run(tmp_path, with_signals(120)) as recorded:
        assert recorded.forgotten > 0
        here = arranged(of_rules(recorded.recording, recorded.new.program))
        assert here.findings
        assert await made.find(recorded) == here


async def test_a_small_run_beyond_the_quick_budget_gets_the_same_findings(
    made: WorkerFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ended_run(tmp_path, with_signals(3)) as recorded:
        at_once = await made.find(recorded)
        assert made._workers.killed == 0
        forget(made)
        monkeypatch.setattr(finder, "QUICK", Budget(answer_bytes=1))
        assert await made.find(recorded) == at_once
        assert made._workers.killed == 1


async def test_runs_that_recorded_the_same_are_searched_once(
    made: WorkerFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *events, end = with_signals(3)
    assert isinstance(end, wire.EndEvent)
    later = msgspec.structs.replace(end, duration_ms=end.duration_ms + 1)
    async with (
        ended_run(tmp_path / "first", [*events, end]) as first,
        ended_run(tmp_path / "again", [*events, later]) as again,
        ended_run(tmp_path / "other", [*events, wire.GraphTooLarge(line=6, limit=100_000), end]) as other,
    ):
        at_first = await made.find(first)
        monkeypatch.setattr(finder, "findings_of", fails)
        assert await made.find(again) == at_first
        assert (await made.find(other)).findings == []  # made by ``fails``


def forget(made: WorkerFinder) -> None:
    """Have the next findings made anew."""
    made._remembered.drop(lambda key: True)


def never_ends(evidence: Evidence) -> Iterator[RuleFindings]:
    yield RuleFindings("diverging", [finding(str(os.getpid()))], True)
    yield RuleFindings("vanishing", [], True)
    while True:
        time.sleep(0.01)


def finding(message: str) -> model.Finding:
    return model.Finding("diverging", "warning", None, 1, None, None, message, "")


async def test_findings_made_within_the_budget_are_kept_and_the_others_are_named(
    made: WorkerFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ended_run(tmp_path, fit()) as recorded:
        await made.find(recorded)
        forget(made)
        monkeypatch.setattr(finder, "BUDGET", Budget(wall_seconds=1))
        monkeypatch.setattr(finder, "findings_of", never_ends)
        found = await made.find(recorded)
        assert [each.code for each in found.findings] == ["diverging"]
        assert found.omitted == [code for code in RULES if code not in ("diverging", "vanishing")]
        await until(lambda: not is_running(int(found.findings[0].message)))


async def test_a_cancelled_search_ends_its_process_at_once(
    made: WorkerFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ended_run(tmp_path, fit()) as recorded:
        await made.find(recorded)
        forget(made)
        [process] = made._workers.processes
        monkeypatch.setattr(finder, "BUDGET", Budget(wall_seconds=3600))
        monkeypatch.setattr(finder, "findings_of", never_ends)
        search = asyncio.create_task(made.find(recorded))
        await until(lambda: not made._workers.processes)
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search
        await until(lambda: not is_running(process))


def fails(evidence: Evidence) -> Iterator[RuleFindings]:
    yield RuleFindings("diverging", [], True)
    raise ZeroDivisionError("in the process")


async def test_an_error_of_our_own_leaves_the_run_without_its_findings(
    made: WorkerFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(finder, "findings_of", fails)
    async with ended_run(tmp_path, fit()) as recorded:
        found = await made.find(recorded)
        assert found.findings == []
        assert "nan-origin" in found.omitted
        assert "could not be made" in caplog.text


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
