"""Test that calls in worker processes return, stream and raise, and that a call above its budget is killed and forgotten."""

from __future__ import annotations

import asyncio
import itertools
import operator
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tapedeck.errors import Busy, InvalidInput, OverBudget
from tapedeck.workers import Budget, Workers
from tapedeck.workers.channel import Limitation, Work, frame
from tapedeck.workers.pool import start_worker

pytestmark = pytest.mark.anyio


@pytest.fixture
async def workers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    """A pool of one process: every call uses the same process, or the process that replaced it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # the processes import functions of this module
    pool = Workers(1, queue=1)
    await pool.start()
    yield pool
    await pool.close()


async def test_a_call_returns_its_value_and_leaves_the_process_for_the_next(workers: Workers) -> None:
    first = await workers.run(os.getpid)
    assert first != os.getpid()
    assert await workers.run(os.getpid) == first
    assert await workers.run(sorted, [3, 1, 2]) == [1, 2, 3]
    assert workers.killed == 0


async def test_an_exception_of_a_call_is_raised_in_the_caller(workers: Workers) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await workers.run(int, "x")
    assert workers.killed == 0


async def test_an_error_keeps_its_message_and_its_field(workers: Workers) -> None:
    with pytest.raises(InvalidInput) as caught:
        await workers.run(raise_error, "inputs.x")
    assert (str(caught.value), caught.value.where) == ("It is wrong.", "inputs.x")


async def test_a_stream_yields_each_value(workers: Workers) -> None:
    assert [value async for value in workers.stream(range, 3)] == [0, 1, 2]
    with pytest.raises(TypeError):
        [value async for value in workers.stream(map, operator.neg, [1, "x"])]
    assert workers.killed == 0


ENDLESS: list[tuple[str, Callable[..., Any], list[Any], Budget, str]] = [
    ("processor time", sum, [range(10**12)], Budget(cpu_seconds=0.1, wall_seconds=60), "too long"),
    ("wall-clock time", time.sleep, [600], Budget(wall_seconds=0.2), "too long"),
    ("memory", bytearray, [1 << 40], Budget(), "too much memory"),
    ("memory of many objects", list, [range(10**9)], Budget(cpu_seconds=60, wall_seconds=60), "too much memory"),
    ("an answer", bytes, [2_000_000], Budget(answer_bytes=1_000_000), "too large"),
    ("a crash", os.abort, [], Budget(), "could not be processed"),
    ("an exit", os._exit, [3], Budget(), "could not be processed"),
]


@pytest.mark.parametrize(
    ("work", "arguments", "budget", "reason"), [case[1:] for case in ENDLESS], ids=[case[0] for case in ENDLESS]
)
async def test_a_call_above_its_budget_ends_and_its_process_is_replaced(
    workers: Workers, work: Callable[..., Any], arguments: list[Any], budget: Budget, reason: str
) -> None:
    before = await workers.run(os.getpid)
    with pytest.raises(OverBudget, match=reason):
        await workers.run(work, *arguments, budget=budget)
    assert workers.killed == 1
    assert await workers.run(os.getpid) != before
    assert_gone(before)


async def test_a_stream_above_its_budget_yields_what_was_made_in_time(workers: Workers) -> None:
    values: list[int] = []

    async def read() -> None:
        async for value in workers.stream(numbers_then_nothing, budget=Budget(cpu_seconds=0.1, wall_seconds=60)):
            values.append(value)  # noqa: PERF401 (the exception must not lose them)

    with pytest.raises(OverBudget, match="too long"):
        await read()
    assert values == [0, 1, 2]


async def test_a_stream_whose_values_are_too_large_together_ends(workers: Workers) -> None:
    with pytest.raises(OverBudget, match="too large"):
        [value async for value in workers.stream(itertools.count, budget=Budget(answer_bytes=100_000))]


async def test_the_event_loop_is_free_while_a_call_computes(workers: Workers) -> None:
    call = asyncio.ensure_future(workers.run(sum, range(10**12), budget=Budget(cpu_seconds=0.2, wall_seconds=60)))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert isinstance(call.exception(), OverBudget)
    assert turns > 5


async def test_cancelling_a_caller_kills_the_process(workers: Workers) -> None:
    before = await workers.run(os.getpid)
    call = asyncio.ensure_future(workers.run(time.sleep, 600, budget=Budget(wall_seconds=600)))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await workers.run(os.getpid) != before
    assert_gone(before)


async def test_a_caller_that_stops_reading_a_stream_kills_the_process(workers: Workers) -> None:
    before = await workers.run(os.getpid)
    stream = workers.stream(itertools.count)
    assert await anext(stream) == 0
    await stream.aclose()
    assert await workers.run(os.getpid) != before


async def test_more_waiting_calls_than_the_queue_holds_are_rejected(workers: Workers) -> None:
    calls = [asyncio.ensure_future(workers.run(time.sleep, 0.2)) for _ in range(2)]  # one call runs, the other waits
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="try again"):
        await workers.run(os.getpid)
    assert await asyncio.gather(*calls) == [None, None]


async def test_a_process_that_was_killed_while_idle_is_replaced(workers: Workers) -> None:
    before = await workers.run(os.getpid)
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(30):
        while any(worker.pid == before and worker.alive for worker in workers._idle):  # the pool learns of it a moment later
            await asyncio.sleep(0.01)
    assert await workers.run(os.getpid) != before


async def test_a_process_that_has_gained_memory_is_replaced_after_it_has_answered() -> None:
    pool = Workers(1, kept_bytes=1)
    try:
        before = await pool.run(os.getpid)
        assert await pool.run(len, list(range(100_000))) == 100_000
        assert await pool.run(os.getpid) != before
    finally:
        await pool.close()


async def test_a_pool_that_cannot_start_its_processes_raises_an_error() -> None:
    pool = Workers(1, modules=("tapedeck.no_such_module",))
    with pytest.raises(Busy, match="cannot start"):
        await pool.run(os.getpid)
    await pool.close()


async def test_closing_ends_every_process_including_one_in_a_call(workers: Workers) -> None:
    pool = Workers(2)
    await pool.start()
    process = await pool.run(os.getpid)
    call = asyncio.ensure_future(pool.run(time.sleep, 600, budget=Budget(wall_seconds=600)))
    await asyncio.sleep(0.05)
    call.cancel()
    await pool.close()
    assert_gone(process)
    with pytest.raises(Busy):
        await pool.run(os.getpid)


async def test_a_process_is_ended_while_it_sends_an_answer_that_nobody_reads() -> None:
    worker = await start_worker(Limitation(memory_bytes=1 << 30, kept_bytes=1 << 26, modules=()))
    await worker.send(frame(Work(bytes, (10_000_000,), False, 60.0, 100_000_000)))
    await asyncio.sleep(0.5)  # until the pipe and its buffer are full
    async with asyncio.timeout(30):
        await worker.end()
    assert_gone(worker.pid)


def raise_error(where: str) -> None:
    raise InvalidInput("It is wrong.", where=where)


def numbers_then_nothing() -> Any:
    yield from range(3)
    sum(range(10**12))


def assert_gone(process: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


async def until_gone(process: int) -> None:
    async with asyncio.timeout(30):
        while os.path.exists(f"/proc/{process}"):
            await asyncio.sleep(0.01)
