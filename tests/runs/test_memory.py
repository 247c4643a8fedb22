"""The memory that recordings take is counted, and recordings are dropped before the server runs out of memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tapedeck import wire
from tapedeck.recording import Overview, graph_reader
from tapedeck.runs.footprint import Footprint
from tapedeck.runs.manager import Runs
from tapedeck.runs.run import LiveRun

from ..fake_executor import forever
from ..handmade_events import fit, pass_, step
from ..wire.every_kind import bare_step, chain, parameter_row
from .test_manager import ended, request, running

pytestmark = pytest.mark.anyio


def parameters(count: int) -> list[wire.AnyEvent]:
    return [wire.ParameterEvent(index, None, [], "f", 1) for index in range(count)]


def forged(index: int, rows: int = 2_000) -> wire.AnyEvent:
    """Return a step of many rows, which takes 100 times the memory that its numbers take."""
    return bare_step(index=index, parameters=[parameter_row(row) for row in range(rows)])


async def started(runs: Runs, count: int, **options: bool) -> list[LiveRun]:
    """Start runs one after the other. Each run starts when the previous run has received its events."""
    found: list[LiveRun] = []
    for _ in range(count):
        recorded = await runs.submit(request(**options), f"owner {len(found)}")
        assert isinstance(recorded, LiveRun)
        while not recorded.events and not recorded.ended:
            await recorded.changes.next.wait()
        found.append(recorded)
    return found


def test_a_run_is_counted_by_what_its_events_take() -> None:
    footprint, overview = Footprint(), Overview()
    events = [*fit(3), forged(3)]
    for event in events:
        footprint.add(event)
        overview.add(event)
    assert footprint.bytes(overview) > wire.memory_of(events[-1]) > 500_000
    footprint.drop(events)
    assert 0 < footprint.bytes(overview) < 20_000


def test_an_event_that_is_in_memory_and_in_the_overview_is_counted_once() -> None:
    footprint, overview = Footprint(), Overview()
    events = [
        wire.CellEvent(0, "x" * 100_000),
        *(wire.LinesEvent([wire.LineRow(1, None, "y" * 1_000)], wire.TensorTable()) for _ in range(40)),
    ]
    for event in events:
        footprint.add(event)
        overview.add(event)
    sizes = [wire.memory_of(event) for event in events]
    rest = footprint.bytes(overview) - sum(sizes)
    assert 0 <= rest < 1_000
    footprint.drop(events[:30])
    assert footprint.bytes(overview) - rest == sizes[0] + sum(sizes[25:])
    footprint.drop(events[30:])
    assert footprint.bytes(overview) - rest == sizes[0] + sum(sizes[25:])


async def test_a_run_is_also_counted_by_its_program(tmp_path: Path) -> None:
    small, large = request(), request()
    text = "x = 1\n" * 40_000
    large = msgspec.structs.replace(large, program=msgspec.structs.replace(large.program, text=text))
    async with running(tmp_path) as (runs, _):
        sizes = [(await ended(await runs.submit(each, "anna"))).size for each in (small, large)]
    assert sizes[1] - sizes[0] >= len(text) - len(small.program.text)


async def test_events_that_leave_memory_are_no_longer_counted_but_rare_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapedeck.runs.archive.LIVE_BYTES", 100_000)
    monkeypatch.setattr("tapedeck.runs.manager.HEAVY_BYTES", 3 << 20)
    steps = [[pass_(index, 1.0), step(index, 1.0, -9.0)] for index in range(600)]
    batches = [[event for pair in steps[first : first + 100] for event in pair] for first in range(0, 600, 100)]
    texts = [wire.CellEvent(0, "x" * 10_000) for _ in range(30)]
    async with running(tmp_path, fit()[:3], texts, *batches, forever) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        assert isinstance(recorded, LiveRun)
        while recorded.counts[2] < 600:
            await recorded.changes.next.wait()
        assert recorded.forgotten > 0
        total = sum(wire.memory_of(event) for batch in [fit()[:3], texts, *batches] for event in batch)
        assert sum(map(wire.memory_of, texts)) < recorded.size < total
        await runs.cancel(recorded.id, "anna")


async def test_a_large_batch_is_written_before_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.runs.archive.LIVE_BYTES", 3 << 20)
    monkeypatch.setattr("tapedeck.runs.manager.HEAVY_BYTES", 1 << 20)
    monkeypatch.setattr("tapedeck.runs.manager.FLUSH_SECONDS", 3_600.0)
    monkeypatch.setattr("tapedeck.store.block.FULL_MEMORY", 1 << 20)
    batches = [parameters(2_000), *([forged(index)] for index in range(20))]
    async with running(tmp_path, fit()[:1], *batches, forever) as (runs, _):
        recorded = await runs.submit(request(), "anna")
        assert isinstance(recorded, LiveRun)
        while recorded.counts[2] < 20:
            await recorded.changes.next.wait()
            assert recorded.events_bytes < 4 << 20
        await runs.cancel(recorded.id, "anna")


async def test_the_largest_live_run_is_stopped_when_live_runs_take_too_much_memory() -> None:
    large = [*parameters(2_000), *(forged(index) for index in range(5))]
    async with running(None, fit()[:3], large, forever, concurrent=4, queue_per_session=4) as (runs, executor):
        runs._archive.memory_bytes = 8 << 20
        first, second = await started(runs, 2, store=False)
        executor.batches = (fit()[:5], forever)
        (small,) = await started(runs, 1, store=False)
        executor.batches = (fit()[:3], large, forever)
        third, *_ = await started(runs, 1, store=False)
        stopped = [recorded for recorded in (first, second, third) if recorded.displaced]
        assert len(stopped) >= 1
        for recorded in stopped:
            assert (await ended(recorded)).status == "output_limit"
            assert recorded.error is not None
            assert "memory" in recorded.error.message
            assert "values" in recorded.error.message
        assert not small.displaced


async def test_ended_runs_leave_memory_before_a_live_one_is_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, fit()) as (runs, executor):
        archive = runs._archive
        archive.memory_bytes = 8 << 20
        past = [await ended(await runs.submit(request(), "anna")) for _ in range(3)]
        assert archive.recent_bytes > 0
        archive.memory_bytes = 6 << 20
        executor.batches = (fit()[:3], parameters(2_000), [forged(index) for index in range(4)], forever)
        (live,) = await started(runs, 1, store=False)
        while live.counts[2] < 4:
            await live.changes.next.wait()
        await asyncio.sleep(0)
        assert not live.displaced
        assert archive.recent_bytes <= archive.memory_bytes - live.size
        assert (await runs.find(past[0].id)).run({}) == past[0].run({})
        live.cancelled.set()


async def test_ended_runs_take_a_sixteenth_of_the_memory_for_recordings(tmp_path: Path) -> None:
    async with running(tmp_path, fit(20)) as (runs, _):
        size = (await ended(await runs.submit(request(), "anna"))).size
        runs._archive.memory_bytes = 16 * 5 * size
        runs_after = [await ended(await runs.submit(request(), "anna")) for _ in range(8)]
        assert runs._archive.recent_bytes == 5 * size
        assert [await runs.find(run.id) is run for run in reversed(runs_after)] == [True] * 5 + [False] * 3


def test_graphs_of_all_recordings_share_one_bounded_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    read = {0: 0, 1: 0}

    def event(index: int) -> wire.GraphEvent:
        read[index] += 1
        return chain(100, index)

    monkeypatch.setattr(
        graph_reader, "_structures", graph_reader.ByteCache(150 * (graph_reader.NODE_BYTES + graph_reader.EDGE_BYTES))
    )
    first, second = graph_reader.GraphReader(event, lambda row: None), graph_reader.GraphReader(event, lambda row: None)
    assert first.graph(0) is first.graph(0)
    assert read[0] == 1
    assert len(second.graph(1).nodes) == 100
    assert first.graph(0).id == "g0"
    assert read == {0: 2, 1: 1}


def test_graphs_that_formulas_refer_to_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_reader, "_structures", graph_reader.ByteCache(1))  # nothing fits into the cache
    read = [0, 0]
    none = chain(50)
    second = msgspec.structs.replace(
        chain(50, 1), formula_graph=bytes(200), formula_node=b"".join(index.to_bytes(4, "little") for index in range(50))
    )

    def event(index: int) -> wire.GraphEvent:
        read[index] += 1
        return (none, second)[index]

    graph = graph_reader.GraphReader(event, lambda row: None).graph(1)
    formula = graph.nodes[3].backward_of
    assert formula is not None
    assert (formula.graph, formula.node.id) == ("g0", "n3")
    assert read == [1, 1]
