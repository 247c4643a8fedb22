"""A run is admitted, executed and recorded, and can be followed, stopped, found again and deleted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tapedeck import model, wire
from tapedeck.errors import Busy, NotAllowed, NotFound, SandboxError, StoreFull
from tapedeck.explain.findings import Findings
from tapedeck.inputs.request import Request
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.runs.run import LiveRun, RecordedRun
from tapedeck.settings import Settings
from tapedeck.store import Store, log

from ..fake_executor import FakeExecutor, InlineFinder, forever, gate
from ..handmade_events import FIT, fit, pass_, step

pytestmark = pytest.mark.anyio

FINDING = model.Finding("loss-falls", "good", None, 1, None, None, "The loss falls.", "It does.")


@asynccontextmanager
async def running(
    folder: Path | None, *batches: Any, limits: model.Limits | None = None, concurrent: int = 2, **settings: Any
) -> AsyncIterator[tuple[Runs, FakeExecutor]]:
    archive = Archive(Store(folder), limits or model.Limits())
    executor = FakeExecutor(*(batches or (fit(),)))
    chosen = Settings(limits=limits or model.Limits(), **settings)
    runs = Runs(chosen, archive, executor, InlineFinder([FINDING]), concurrent)  # type: ignore[arg-type]
    await archive.start()
    try:
        yield runs, executor
    finally:
        await runs.close()
        await archive.close()


def request(store: bool = True, **options: Any) -> Request:
    return Request(model.Program(FIT, "program", [(1, 13)]), model.Options(**options), store)


async def ended(recorded: RecordedRun) -> LiveRun:
    assert isinstance(recorded, LiveRun)
    async with asyncio.timeout(5):
        await recorded.until_ended()
    return recorded


async def test_events_are_packed_once_while_the_findings_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[int] = []
    done = threading.Event()
    pack_block = log.pack_block

    def counted(events: Any) -> bytes:
        packed.append(len(events))
        done.set()
        return pack_block(events)

    class WaitingFinder(InlineFinder):
        async def find(self, recorded: LiveRun) -> Findings:
            assert await asyncio.to_thread(done.wait, 30)
            return await super().find(recorded)

    monkeypatch.setattr(log, "pack_block", counted)
    async with running(tmp_path) as (runs, _):
        runs._finder = WaitingFinder([FINDING])  # type: ignore[assignment]
        recorded = await ended(await runs.submit(request(), "anna"))
        assert recorded.status == "done"
        runs._archive.forget(recorded.id)
        stored = await runs.find(recorded.id)
        assert [finding.code for finding in stored.findings] == ["loss-falls"]
        assert stored.counts == recorded.counts
        assert stored.recording.step(0) == recorded.recording.step(0)
    assert packed == [len(fit())]


async def test_a_run_is_executed_recorded_and_stored(tmp_path: Path) -> None:
    async with running(tmp_path) as (runs, executor):
        recorded = await ended(await runs.submit(request(seed=7, capture="norms", values=3), "anna"))
        run = recorded.run({"self": "/x"})
    assert (run.status, run.steps, run.passes, run.torch, run.stdout) == ("done", 2, 2, "2.13.0", "done\n")
    assert run.findings == [FINDING]
    assert run.parameters[0].names == ["m"]
    assert run.graphs == [model.GraphSize("g0", 5, 4)]
    assert run.links == {"self": "/x"}
    job = executor.jobs[0]
    assert (job.program, job.cells, job.seed, job.capture, job.values, job.notebook) == (FIT, [(1, 13)], 7, "norms", 3, False)
    async with running(tmp_path) as (again, _):
        found = await again.find(recorded.id)
        assert found is not recorded
        assert found.run({"self": "/x"}) == run
        assert found.recording.step(1) == recorded.recording.step(1)


async def test_events_can_be_read_while_the_run_is_live() -> None:
    event, wait = gate()
    events = fit()
    async with running(None, events[:5], wait, events[5:]) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        assert isinstance(recorded, LiveRun)
        while not recorded.events:
            await recorded.changes.next.wait()
        assert recorded.status == "running"
        assert (await runs.find(recorded.id)).recording.step(0).index == 0
        with pytest.raises(NotFound):
            recorded.recording.step(1)
        event.set()
        assert (await ended(recorded)).recording.step(1).index == 1


async def test_a_live_run_is_stored_as_its_events_arrive_and_survives_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapedeck.runs.manager.FLUSH_SECONDS", 0.01)
    event, wait = gate()
    events = fit(4)
    async with running(tmp_path, events[:5], wait, events[5:7], forever) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        assert isinstance(recorded, LiveRun)
        crashed = Store(tmp_path)
        async with asyncio.timeout(5):
            while (stored := crashed.get(recorded.id)) is None or stored.events != 5:
                await asyncio.sleep(0.01)
            event.set()
            while (stored := crashed.get(recorded.id)) is None or stored.events != 7:
                await asyncio.sleep(0.01)
        assert (stored.status, stored.steps) == ("running", 1)
        assert crashed.log(stored).step(0).index == 0
        crashed.close()


async def test_a_stopping_server_stores_its_live_runs_as_interrupted(tmp_path: Path) -> None:
    async with running(tmp_path, fit()[:5], forever) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        assert isinstance(recorded, LiveRun)
        while not recorded.events:
            await asyncio.sleep(0)
    async with running(tmp_path) as (again, _):
        found = await again.find(recorded.id)
        assert found.status == "interrupted"
        assert found.recording.step(0).index == 0


async def test_a_cancelled_run_keeps_its_recording() -> None:
    async with running(None, fit()[:5], forever) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        with pytest.raises(NotAllowed):
            await runs.cancel(recorded.id, "ben")
        with pytest.raises(NotAllowed):
            await runs.cancel(recorded.id, None)
        stopped = await runs.cancel(recorded.id, "anna")
        assert (stopped.status, stopped.counts) == ("cancelled", (1, 1, 1))
        assert (await runs.cancel(recorded.id, "anna")).status == "cancelled"


async def test_runs_wait_for_a_slot_and_are_rejected_when_the_queue_is_full() -> None:
    async with running(None, forever, concurrent=1, queue=2) as (runs, executor):
        first = await runs.submit(request(), "anna")
        await asyncio.sleep(0)
        waiting = [await runs.submit(request(), "anna") for _ in range(2)]
        await asyncio.sleep(0)
        assert (runs.running, runs.waiting) == (1, 2)
        with pytest.raises(Busy) as refused:
            await runs.submit(request(), "anna")
        assert refused.value.retry_after
        assert (await runs.cancel(waiting[0].id, "anna")).status == "cancelled"
        assert len(executor.jobs) == 1
        await runs.cancel(first.id, "anna")
        while waiting[1].status == "queued":
            await asyncio.sleep(0)
        await runs.cancel(waiting[1].id, "anna")
        assert executor.most_running == 1
        assert (await ended(await submit_and_cancel(runs))).status == "cancelled"


async def submit_and_cancel(runs: Runs) -> RecordedRun:
    recorded = await runs.submit(request(), "anna")
    return await runs.cancel(recorded.id, "anna")


async def test_a_store_without_room_rejects_only_runs_that_are_stored() -> None:
    async with running(None, limits=model.Limits(store_bytes=0)) as (runs, _):
        with pytest.raises(StoreFull):
            await runs.submit(request(), "anna")
        assert (await ended(await runs.submit(request(store=False), "anna"))).status == "done"


async def test_nobody_is_rejected_because_someone_else_has_filled_the_store(tmp_path: Path) -> None:
    async with running(tmp_path) as (runs, _):
        size = (await ended(await runs.submit(request(), "probe"))).size
    async with running(tmp_path, limits=model.Limits(store_bytes=40_000)) as (runs, _):
        friends = [await ended(await runs.submit(request(), name)) for name in ("ben", "carla")]
        ours = await ended(await runs.submit(request(), "tapedeck"))
        greedy = [await ended(await runs.submit(request(), f"new {index}", address="a")) for index in range(40)]
        assert runs._archive.bytes < 40_000 + size
        for recorded in (*friends, ours, greedy[-1]):
            assert (await runs.find(recorded.id)).id == recorded.id
        with pytest.raises(NotFound):
            await runs.find(greedy[0].id)


async def test_a_run_with_store_false_is_not_stored(tmp_path: Path) -> None:
    async with running(tmp_path) as (runs, _):
        recorded = await ended(await runs.submit(request(store=False), "anna"))
        assert recorded.run({}).steps == 2
        with pytest.raises(NotFound):
            await runs.find(recorded.id)
        assert await runs.of_owner("anna", 10) == []


async def test_a_broken_sandbox_raises_an_error_and_leaves_no_run() -> None:
    async with running(None, SandboxError("Nothing can confine.")) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        assert isinstance(recorded, LiveRun)
        with pytest.raises(SandboxError):
            await recorded.until_ended()
        with pytest.raises(NotFound):
            await runs.find(recorded.id)
        assert runs.running == runs.waiting == 0


async def test_findings_that_are_missing_are_stored_with_the_run(tmp_path: Path) -> None:
    async with running(tmp_path) as (runs, _):
        runs._finder = InlineFinder([FINDING], omitted=["nan-origin"])
        recorded = await ended(await runs.submit(request(), "anna"))
        runs._archive.forget(recorded.id)
        stored = await runs.find(recorded.id)
        assert stored is not recorded
        assert stored.findings == [FINDING]
        assert stored.run({}).findings_omitted == ["nan-origin"]


async def test_a_run_keeps_its_slot_until_its_findings_are_made() -> None:
    class SlowFinder(InlineFinder):
        running: list[int] = []  # noqa: RUF012 (one instance)

        async def find(self, recorded: LiveRun) -> Findings:
            self.running.append(recorded.ticket is not None and runs.running)
            await asyncio.sleep(0)
            return await super().find(recorded)

    async with running(None, concurrent=1) as (runs, _):
        runs._finder = SlowFinder([])
        first, second = [await runs.submit(request(), "anna") for _ in range(2)]
        await ended(first)
        await ended(second)
        assert SlowFinder.running == [1, 1]


async def test_printed_text_is_cut_at_its_limit() -> None:
    output = [wire.OutputEvent("é" * 40), wire.OutputEvent("b" * 40), wire.OutputEvent("c" * 40)]
    end = wire.EndEvent("done", None, 1.0)
    async with running(None, output, [end], limits=model.Limits(stdout_bytes=101)) as (runs, _):
        recorded = await ended(await runs.submit(request(), "anna"))
        assert recorded.recording.stdout() == "é" * 40 + "b" * 21
        assert recorded.truncated
        assert (await runs.find(recorded.id)).run({}).truncated


async def test_an_error_of_the_program_is_recorded_with_its_line() -> None:
    failure = wire.ProgramFailure("ValueError", "no", None, 3, "Traceback", (0, 4))
    async with running(None, fit()[:5], [wire.EndEvent("failed", failure, 1.0)]) as (runs, _):
        recorded = await ended(await runs.submit(request(), "anna"))
        assert recorded.status == "failed"
        assert recorded.error == model.ProgramError("ValueError", "no", None, 3, "Traceback", (0, 4))
        assert recorded.counts == (1, 1, 1)


async def test_the_same_key_returns_the_same_run_during_the_run_and_after(tmp_path: Path) -> None:
    event, wait = gate()
    async with running(tmp_path, wait, fit()) as (runs, executor):
        first, second = await asyncio.gather(*(runs.submit(request(), "anna", key="k", fingerprint="f") for _ in range(2)))
        assert first is second
        other = await runs.submit(request(), "anna", key="other")
        assert other is not first
        event.set()
        await ended(first)
        assert (await runs.submit(request(), "anna", key="k")).id == first.id
        await ended(other)
        assert len(executor.jobs) == 2
    async with running(tmp_path) as (again, executor):
        found = await again.submit(request(), "anna", key="k")
        assert (found.id, found.new.fingerprint) == (first.id, "f")
        assert not executor.jobs


async def test_an_owner_lists_their_own_runs_with_the_live_ones(tmp_path: Path) -> None:
    async with running(tmp_path, fit()[:5], forever) as (runs, _):
        live = await runs.submit(request(), "anna")
        await runs.submit(request(), "ben")
        while live.counts[2] == 0:
            await asyncio.sleep(0)
        listed = await runs.of_owner("anna", 10)
        assert [recorded.heading({}).title for recorded in listed] == ["loss = ((y_pred - y) ** 2).mean()"]
        assert [(recorded.id, recorded.status) for recorded in listed] == [(live.id, "running")]
        await runs.cancel(live.id, "anna")


async def test_a_live_run_can_be_deleted(tmp_path: Path) -> None:
    async with running(tmp_path, fit()[:5], forever) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        with pytest.raises(NotAllowed):
            await runs.delete(recorded.id, "ben")
        await runs.delete(recorded.id, "anna")
        with pytest.raises(NotFound):
            await runs.find(recorded.id)
        with pytest.raises(NotFound):
            await runs.delete(recorded.id, "anna")


async def test_the_cache_drops_old_recordings_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.runs.archive.RECENT_RUNS", 2)
    async with running(tmp_path) as (runs, _):
        recorded = [await ended(await runs.submit(request(), "anna")) for _ in range(3)]
        assert await runs.find(recorded[2].id) is recorded[2]
        assert await runs.find(recorded[0].id) is not recorded[0]
        assert (await runs.find(recorded[0].id)).run({}) == recorded[0].run({})


async def test_a_long_run_in_the_store_equals_the_one_in_memory(tmp_path: Path) -> None:
    events = fit()[:3]
    for index in range(300):
        events += [pass_(index, 1.0), step(index, 1.0, -9.0)]
    batches = [events[at : at + 50] for at in range(0, len(events), 50)]
    async with running(tmp_path, *batches, [wire.EndEvent("done", None, 5.0)]) as (runs, _):
        recorded = await ended(await runs.submit(request(), "anna"))
        runs._archive.forget(recorded.id)
        found = await runs.find(recorded.id)
        assert found.counts == (1, 300, 300)
        assert msgspec.json.encode(found.recording.step(299)) == msgspec.json.encode(recorded.recording.step(299))
