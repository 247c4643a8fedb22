"""Test that pictures share processes fairly, that a slow one delays nobody else, and that a failure is not tried again."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tapedeck.drawing import conversion, program
from tapedeck.drawing.conversion import WorkerConverter
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.failed_work import FIRST_SECONDS, FailedWork
from tapedeck.drawing.plan import plan
from tapedeck.errors import Busy, DrawingError
from tapedeck.workers import Budget, FairGate

from .handmade import chain, seed
from .test_engine import script

pytestmark = pytest.mark.anyio
PLAN = plan(seed().graph(0))
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" viewBox="0 0 10 10"></svg>'


async def test_clients_go_through_a_gate_in_turn() -> None:
    gate = FairGate(1)
    order: list[str] = []

    async def go(client: str) -> None:
        async with gate.entered(client[0]):
            order.append(client)
            await asyncio.sleep(0)

    first = asyncio.create_task(go("a0"))
    others = [asyncio.create_task(go(client)) for client in ("a1", "a2", "a3", "b1", "c1", "b2")]
    await asyncio.gather(first, *others)
    assert order == ["a0", "b1", "c1", "a1", "b2", "a2", "a3"]


async def test_a_gate_refuses_the_requests_of_one_client_only() -> None:
    gate = FairGate(1, queue=2)
    async with gate.entered("a"):
        waiting = [asyncio.create_task(_pass(gate, "a")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy) as caught:
            await _pass(gate, "a")
        assert caught.value.retry_after
        other = asyncio.create_task(_pass(gate, "b"))
        await asyncio.sleep(0)
        assert not other.done()
    await asyncio.gather(other, *waiting)


async def test_a_cancelled_request_frees_its_turn() -> None:
    gate = FairGate(1)
    async with gate.entered("a"):
        waiting = [asyncio.create_task(_pass(gate, client)) for client in "abab"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[3].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()  # the turn of this request has come, but it has not run yet
    await asyncio.gather(*waiting, return_exceptions=True)
    await _pass(gate, "c")
    assert (gate._free, gate._waiting) == (1, {})


async def _pass(gate: FairGate, client: str) -> None:
    async with gate.entered(client):
        pass


async def test_a_slow_layout_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    slow = plan(chain(7).recording().graph(0))
    stuck = f'input=$(cat); case "$input" in *n6*) sleep 60;; esac; echo "$input" | "{program.find()}" "$@"'
    shared = LayoutEngine(script(tmp_path, stuck), quick=0.2, seconds=3600, at_once=1)
    begun = asyncio.create_task(shared.layout(slow, "a"))
    while shared.attempts < 2:  # its second attempt
        await asyncio.sleep(0.01)
    shared._quick = 3600
    for length in (1, 2, 3):
        assert (await shared.layout(plan(chain(length).recording().graph(0)), "b")).boxes
    assert not begun.done()
    for task in shared._running.values():
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun


async def test_a_slow_layout_succeeds_in_its_second_attempt(tmp_path: Path) -> None:
    mark = tmp_path / "again"
    moody = LayoutEngine(
        script(tmp_path, f'[ -e {mark} ] || {{ touch {mark}; sleep 60; }}; exec "{program.find()}" "$@"'), quick=0.5, seconds=60
    )
    assert (await moody.layout(PLAN)).boxes
    assert moody.attempts == 2


async def test_a_failed_layout_is_remembered_for_a_while(tmp_path: Path) -> None:
    now, flag = 100.0, tmp_path / "well"
    failures = FailedWork(seconds=60, clock=lambda: now)
    moody = LayoutEngine(script(tmp_path, f'[ -e {flag} ] || exit 3\nexec "{program.find()}" "$@"'), failures=failures)
    for _ in range(5):
        with pytest.raises(DrawingError, match="status 3"):
            await moody.layout(PLAN)
    assert moody.attempts == 1
    flag.touch()
    now += 61
    assert (await moody.layout(PLAN)).boxes


async def test_a_layout_that_takes_too_long_is_not_tried_again(tmp_path: Path) -> None:
    endless = LayoutEngine(script(tmp_path, "exec sleep 60"), quick=0.05, seconds=0.1)
    for _ in range(5):
        with pytest.raises(DrawingError, match=r"longer than 0\.1 s"):
            await endless.layout(PLAN)
    assert endless.attempts == 2


async def test_a_map_whose_layout_takes_too_long_is_laid_out_again_soon_and_then_less_often(tmp_path: Path) -> None:
    now, flag = 100.0, tmp_path / "quiet"
    failures = FailedWork(seconds=600, clock=lambda: now, first=5)
    busy = LayoutEngine(
        script(tmp_path, f'[ -e {flag} ] || exec sleep 60\nexec "{program.find()}" "$@"'), nested=0.1, failures=failures
    )
    of_map = replace(PLAN, nested=True)

    async def tried() -> int:
        before = busy.attempts
        with pytest.raises(DrawingError, match="longer than"):
            await busy.layout(of_map)
        return busy.attempts - before

    assert [await tried(), await tried()] == [1, 0]
    now += 6
    assert [await tried(), await tried()] == [1, 0]
    now += 6
    assert await tried() == 0, "the time doubles"
    flag.touch()
    busy._nested = 60
    now += 5
    assert (await busy.layout(of_map)).boxes


async def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    later = LayoutEngine(str(tmp_path / "dot"))
    with pytest.raises(DrawingError):
        await later.layout(PLAN)
    script(tmp_path, f'exec "{program.find()}" "$@"')
    assert (await later.layout(PLAN)).boxes


def test_the_layout_program_has_limits(tmp_path: Path) -> None:
    process = program.LayoutProcess(script(tmp_path, "exec cat"))  # the program waits for its input
    try:
        assert resource.prlimit(process.pid, resource.RLIMIT_AS) == (program.MEMORY_BYTES,) * 2
        assert resource.prlimit(process.pid, resource.RLIMIT_CPU)[0] <= program.SECONDS + 2
    finally:
        process.end()


@pytest.fixture
async def converter() -> AsyncIterator[WorkerConverter]:
    made = WorkerConverter()
    yield made
    await made.close()


async def test_a_picture_is_converted_once_in_a_process_of_its_own(converter: WorkerConverter) -> None:
    first = await converter.convert(SVG, "png", "anna")
    assert first.startswith(b"\x89PNG")
    assert first == conversion.convert(SVG, "png")
    converter._workers = None  # type: ignore[assignment]  # the second answer needs none
    assert await converter.convert(SVG, "png", "anna") is first
    converter._workers = WorkerConverter()._workers


async def test_a_conversion_that_fails_or_takes_too_long_is_not_tried_again(
    converter: WorkerConverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for drawn, budget, message in (
        ('<svg width="10" height="10" viewBox="0 0 10 10"><broken', conversion.BUDGET, "could not be converted to PNG"),
        (SVG, Budget(answer_bytes=10), "took too long"),
    ):
        monkeypatch.setattr(conversion, "BUDGET", budget)
        with pytest.raises(DrawingError, match=message):
            await converter.convert(drawn, "png", "anna")
        monkeypatch.setattr(conversion, "BUDGET", None)  # a second attempt would fail in another way
        with pytest.raises(DrawingError, match=message):
            await converter.convert(drawn, "png", "anna")


async def test_a_conversion_that_took_too_long_is_tried_again_sooner_than_one_that_failed(
    converter: WorkerConverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    converter._failures = FailedWork(clock=lambda: now)
    with monkeypatch.context() as limited:
        limited.setattr(conversion, "BUDGET", Budget(answer_bytes=10))
        with pytest.raises(DrawingError, match="took too long"):
            await converter.convert(SVG, "png", "anna")
    now = FIRST_SECONDS
    assert (await converter.convert(SVG, "png", "anna")).startswith(b"\x89PNG")
