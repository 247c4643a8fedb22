"""The pool starts, replaces and refuses children, tested with a stub of the tracer that starts quickly."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.errors import SandboxError
from tapedeck.executor import LocalExecutor
from tapedeck.model import Limits
from tapedeck.sandbox import demand, kernel, pool, selftest, zygote_client
from tapedeck.settings import Settings
from tapedeck.wire.catalogue import OptimizerOption

pytestmark = [pytest.mark.anyio, pytest.mark.sandbox, pytest.mark.slow]

HERE = str(Path(__file__).parent)
LIMITS = Limits(wall_seconds=30.0)
LOOP = "print('before')\nwhile True: pass"
SETTINGS = Settings(children=2, limits=LIMITS)


@asynccontextmanager
async def started(settings: Settings = SETTINGS, **kw: Any) -> AsyncIterator[LocalExecutor]:
    executor = LocalExecutor(settings, **{"entry": "light_entry", "path": (HERE,), **kw})
    await executor.start()
    try:
        await executor.settled()
        yield executor
    finally:
        await executor.close()


async def run(
    executor: Any,
    program: str,
    limits: Limits = LIMITS,
    cancelled: asyncio.Event | None = None,
    printed: asyncio.Event | None = None,
) -> tuple[wire.EndEvent, str]:
    """Run a program to its end, and set ``printed`` when it first prints."""
    events: list[wire.AnyEvent] = []
    job = wire.Job(program, [(1, program.count("\n") + 1)])
    async for batch in executor.run(job, limits=limits, cancelled=cancelled or asyncio.Event()):
        events += batch
        if printed and any(isinstance(event, wire.OutputEvent) for event in batch):
            printed.set()
    assert isinstance(events[-1], wire.EndEvent)
    assert not any(isinstance(event, wire.EndEvent) for event in events[:-1])
    return events[-1], "".join(event.text for event in events if isinstance(event, wire.OutputEvent))


async def test_the_zygote_reports_the_optimizers_of_its_torch() -> None:
    executor = LocalExecutor(SETTINGS, entry="light_entry", path=(HERE,))
    assert executor.optimizers is None
    await executor.start()
    try:
        await executor.settled()
        assert executor.optimizers == {"SGD": {"lr": OptimizerOption("number", 0.001)}}
    finally:
        await executor.close()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_program_runs_and_its_end_is_the_last_event() -> None:
    async with started() as executor:
        assert executor.ready
        assert executor.mode == "full"
        end, text = await run(executor, "print(6 * 7)")
        assert (end.status, end.failure, text) == ("done", None, "42\n")


async def test_each_program_gets_a_new_child_and_children_are_replaced() -> None:
    async with started() as executor:
        pids = {(await run(executor, "import os; print(os.getpid())"))[1] for _ in range(8)}
        assert len(pids) == 8
        assert executor.zygote
        await until(lambda: len(children_of(executor.zygote or 0)) == 2)


async def test_many_programs_run_at_once() -> None:
    async with started() as executor:
        ended = await asyncio.gather(*(run(executor, f"import time; time.sleep(0.1); print({n})") for n in range(12)))
        assert [text for _, text in ended] == [f"{n}\n" for n in range(12)]


async def test_a_long_program_can_print_much_text() -> None:
    async with started() as executor:
        end, text = await run(executor, "#" * 3_000_000 + "\nfor _ in range(30): print('x' * 100_000)")
        assert (end.status, len(text)) == ("done", 30 * 100_001)


async def test_the_output_before_a_time_limit_is_kept() -> None:
    async with started() as executor:
        end, text = await run(executor, LOOP, Limits(wall_seconds=1.5))
        assert (end.status, text) == ("timed_out", "before\n")
        assert end.failure
        assert "1.5 s" in end.failure.message
        assert "check that every loop ends" in end.failure.message


async def test_a_cancelled_run_keeps_its_output() -> None:
    async with started() as executor:
        cancelled, printed = asyncio.Event(), asyncio.Event()
        running = asyncio.ensure_future(run(executor, LOOP, cancelled=cancelled, printed=printed))
        await printed.wait()
        cancelled.set()
        end, text = await running
        assert (end.status, text) == ("cancelled", "before\n")


@pytest.fixture
def warmed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each child that is started warms up."""
    warmed: list[bool] = []
    spawn = zygote_client.ZygoteClient.spawn

    def observed(self: zygote_client.ZygoteClient, *, probe: bool = False, warm: bool = True) -> zygote_client.Child:
        warmed.append(warm)
        return spawn(self, probe=probe, warm=warm)

    monkeypatch.setattr(zygote_client.ZygoteClient, "spawn", observed)
    return warmed


async def test_children_warm_up_unless_the_target_number_is_at_work(warmed: list[bool]) -> None:
    async with started(Settings(children=1, limits=LIMITS)) as executor:
        await until(lambda: executor._pool._idle)
        assert warmed == [True, True]  # the self-test and the idle child
        cancelled, printed = asyncio.Event(), asyncio.Event()
        running = asyncio.ensure_future(run(executor, LOOP, cancelled=cancelled, printed=printed))
        await printed.wait()
        await run(executor, "print(1)")
        assert warmed[2:] == [False, False]  # one for the second program, and one to keep idle
        cancelled.set()
        await running
        assert not executor._pool._at_work


async def test_no_child_warms_up_while_the_demand_is_high(warmed: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(Settings(children=1, limits=LIMITS)) as executor:
        await until(lambda: executor._pool._idle)
        for high in (True, False):
            monkeypatch.setattr(demand.Demand, "is_high", high)
            await run(executor, "print(1)")
            await until(lambda: executor._pool._idle)
            assert warmed[-1] is not high


async def test_a_run_can_be_cancelled_while_it_waits_for_a_child() -> None:
    executor = LocalExecutor(Settings(limits=LIMITS), entry="light_entry", path=(HERE,))
    cancelled = asyncio.Event()
    await executor.start()
    running = asyncio.ensure_future(run(executor, "print(1)", cancelled=cancelled))
    await asyncio.sleep(0)
    cancelled.set()
    assert (await running)[0].status == "cancelled"
    await executor.settled()
    assert (await run(executor, "print(1)"))[1] == "1\n"
    await executor.close()


async def test_closing_the_events_of_a_run_kills_its_child() -> None:
    async with started() as executor:
        running = executor.run(wire.Job("print(1)\nwhile True: pass", [(1, 2)]), limits=LIMITS, cancelled=asyncio.Event())
        async for _ in running:
            break
        await running.aclose()  # type: ignore[attr-defined]
        await until(lambda: len(children_of(executor.zygote or 0)) == 2)


async def test_a_zygote_that_is_killed_is_replaced_and_programs_run_again() -> None:
    async with started() as executor:
        first = executor.zygote
        assert first
        forked = children_of(first)
        printed = asyncio.Event()
        running = asyncio.ensure_future(run(executor, LOOP, printed=printed))
        await printed.wait()
        os.kill(first, signal.SIGKILL)
        end, text = await running
        assert (end.status, text) == ("interrupted", "before\n")
        assert (await run(executor, "print(6 * 7)"))[1] == "42\n"
        assert executor.zygote != first
        await until(lambda: not [pid for pid in forked if Path(f"/proc/{pid}").exists()])  # the init process reaps the children


async def test_a_program_whose_child_died_before_it_started_runs_in_another_child() -> None:
    async with started() as executor:
        assert executor.zygote
        os.kill(executor.zygote, signal.SIGKILL)  # the idle children die with the zygote, before the pool detects their death
        time.sleep(0.1)
        assert (await run(executor, "print(6 * 7)"))[1] == "42\n"


async def test_a_zygote_that_no_longer_answers_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PING_SECONDS", 0.3)
    async with started() as executor:
        first = executor.zygote
        assert first
        os.kill(first, signal.SIGSTOP)
        await until(lambda: not executor.ready)
        for _ in range(3):  # more than there are idle children
            assert (await run(executor, "print(6 * 7)"))[1] == "42\n"
        assert executor.zygote != first
        assert executor.ready


async def test_the_self_test_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PING_SECONDS", 0.05)
    monkeypatch.setattr(pool, "SELFTEST_SECONDS", 0.1)
    reports = []
    monkeypatch.setattr(selftest, "read", lambda report, read=selftest.read: reports.append(report) or read(report))
    async with started() as executor:
        zygote = executor.zygote
        await until(lambda: len(reports) >= 3)
        assert executor.zygote == zygote
        assert executor.selftest_age is not None


async def test_nothing_runs_any_more_once_a_repeated_self_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PING_SECONDS", 0.05)
    monkeypatch.setattr(pool, "SELFTEST_SECONDS", 0.1)
    async with started(mode="full") as executor:
        printed = asyncio.Event()
        running = asyncio.ensure_future(run(executor, LOOP, printed=printed))
        await printed.wait()
        monkeypatch.setattr(selftest, "passed", lambda checks: False)
        assert (await running)[0].status == "interrupted"
        await until(lambda: executor.failure)
        with pytest.raises(SandboxError, match="container"):
            await run(executor, "print(1)")


async def test_a_job_does_not_wait_for_a_child_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.executor._CHILD_SECONDS", 0.05)
    executor = LocalExecutor(SETTINGS, entry="light_entry", path=(HERE,))  # never started
    with pytest.raises(SandboxError, match="try again"):
        await run(executor, "print(1)")
    await executor.close()


async def test_an_idle_child_that_dies_is_replaced() -> None:
    async with started() as executor:
        zygote = executor.zygote or 0
        await until(lambda: len(children_of(zygote)) == 2)
        before = children_of(zygote)
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(set(children_of(zygote)) - set(before)) == 1)
        assert (await run(executor, "print(1)"))[1] == "1\n"


async def test_a_job_is_not_given_to_an_idle_child_that_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PING_SECONDS", 1_000.0)  # stopped children are detected only when a job takes one
    async with started() as executor:
        assert executor.zygote
        await until(lambda: len(executor._pool._idle) == 2)
        stopped = [child.pid for child in executor._pool._idle]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        await until(lambda: all(kernel.is_stopped(pid) for pid in stopped))
        end, text = await run(executor, "print(1)", LIMITS)
        assert (end.status, text) == ("done", "1\n")
        await until(lambda: not set(stopped) & set(children_of(executor.zygote or 0)))  # the stopped children are killed


async def test_idle_children_that_were_stopped_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PING_SECONDS", 0.05)
    async with started() as executor:
        await until(lambda: len(executor._pool._idle) == 2)
        stopped = executor._pool._idle[0]
        os.kill(stopped.pid, signal.SIGSTOP)
        await until(lambda: stopped not in executor._pool._idle and len(executor._pool._idle) == 2)


async def test_closing_ends_all_processes_and_closes_all_descriptors() -> None:
    async with started() as executor:
        zygote = executor.zygote or 0
        await until(lambda: len(children_of(zygote)) == 2)
        pids = [zygote, *children_of(zygote)]
        descriptors = len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) < descriptors
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def test_many_runs_leak_no_descriptor() -> None:
    async with started() as executor:
        for _ in range(3):
            await run(executor, "import os; os._exit(1)")
        await asyncio.sleep(0.1)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            await run(executor, "print(1)")
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) < before + 10  # idle children may be more than before; 20 runs would leak 20


async def test_waiting_callers_get_an_error_if_the_zygote_cannot_start() -> None:
    async with started(entry="no_such_entry") as executor:
        assert not executor.ready
        assert "no_such_entry" in " ".join(executor.report)
        with pytest.raises(SandboxError, match="no_such_entry"):
            await run(executor, "print(1)")


async def test_nothing_runs_if_the_self_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "passed", lambda checks: False)
    async with started() as executor:
        assert not executor.ready
        with pytest.raises(SandboxError, match="container"):
            await run(executor, "print(1)")
        assert executor.zygote is None


async def test_nothing_runs_on_a_machine_that_cannot_confine_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "best_mode", lambda: "none")
    async with started() as executor:
        assert not executor.ready
        with pytest.raises(SandboxError, match="TAPEDECK_UNCONFINED"):
            await run(executor, "print(1)")


async def test_in_mode_nofiles_no_file_can_be_opened() -> None:
    async with started(mode="nofiles") as executor:
        assert executor.mode == "nofiles"
        assert all(check.ok for check in executor.checks)
        end, _ = await run(executor, "import os\nopen(os.__file__)")
        assert end.failure
        assert end.failure.type == "PermissionError"


async def test_code_runs_unconfined_if_the_setting_says_so() -> None:
    async with started(Settings(children=1, unconfined=True, limits=LIMITS)) as executor:
        assert executor.mode == "none"
        assert "NOT confined" in executor.report[0]
        assert (await run(executor, "print(open('/etc/passwd').read()[:4])"))[1] == "root\n"
        assert (await run(executor, "while True: pass", Limits(wall_seconds=0.2)))[0].status == "timed_out"


async def test_the_self_test_finds_every_attempt_denied() -> None:
    async with started() as executor:
        assert selftest.passed(executor.checks)
        names = " ".join(check.name for check in executor.checks)
        for action in ("/etc/passwd", "socket", "forking", "executing", "signalling its parent", "writing a file"):
            assert action in names


async def test_the_self_test_fails_in_a_child_that_is_not_confined() -> None:
    checks = selftest.read(selftest.attempt("full"))
    assert not selftest.passed(checks)
    assert {check.name for check in checks if not check.ok} >= {"forking is denied", "opening a network socket is denied"}
    assert not selftest.passed([])


def test_a_zygote_does_not_inherit_the_environment_of_the_server() -> None:
    assert not [name for name in zygote_client.ENVIRONMENT if name.startswith("TAPEDECK")]
    program = f"""
import asyncio, os, sys
sys.path.insert(0, {HERE!r})
os.environ["TAPEDECK_SECRET"] = "hidden"
from tapedeck import wire
from tapedeck.executor import LocalExecutor
from tapedeck.settings import Settings
async def main():
    executor = LocalExecutor(Settings(children=1), entry="stub_entry", path=({HERE!r},))
    await executor.start()
    job = wire.Job("import os, torch; print(sorted(os.environ)); print(torch.ones(1))", [(1, 1)])
    async for events in executor.run(job, limits=Settings().limits, cancelled=asyncio.Event()):
        for event in events:
            if isinstance(event, wire.OutputEvent): print(event.text)
    print(open(f"/proc/{{executor.zygote}}/environ").read() if os.geteuid() == 0 else "")
    await executor.close()
asyncio.run(main())
print("torch" in sys.modules, "numpy" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "tensor([1.])" in ran.stdout
    assert "hidden" not in ran.stdout
    assert "TAPEDECK_SECRET" not in ran.stdout
    assert ran.stdout.split()[-2:] == ["False", "True"], "the server must not import torch"


async def test_the_zygote_and_its_children_exit_with_the_server() -> None:
    program = f"""
import asyncio, sys
from tapedeck import wire
from tapedeck.executor import LocalExecutor
from tapedeck.settings import Settings
async def main():
    executor = LocalExecutor(Settings(children=2), entry="light_entry", path=({HERE!r},))
    await executor.start()
    await executor.settled()
    job = wire.Job("print(1)\\nwhile True: pass", [(1, 2)])
    async for events in executor.run(job, limits=Settings().limits, cancelled=asyncio.Event()):
        print(executor.zygote, flush=True)
asyncio.run(main())
"""
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert server.stdout
    zygote = int(await server.stdout.readline())
    pids = [zygote, *children_of(zygote)]
    assert len(pids) > 1
    server.kill()
    await server.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
