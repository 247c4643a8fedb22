"""Running programs share a budget of memory. Above it, the largest program of the client that uses the most is ended."""

from __future__ import annotations

import asyncio
import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tapedeck import wire
from tapedeck.executor import LocalExecutor
from tapedeck.model import Limits
from tapedeck.sandbox import memory
from tapedeck.settings import Settings

from .test_cgroup import group

pytestmark = pytest.mark.anyio

MB = 1 << 20
ENTRIES = str(Path(__file__).parent)


@dataclass(eq=False)
class Process:
    """A process whose memory is the entry of its id in ``sizes``."""

    pid: int
    client: str
    reasons: list[str] = field(default_factory=list)

    def end(self, message: str) -> None:
        self.reasons.append(message)


async def test_the_largest_program_of_the_client_that_uses_the_most_is_ended() -> None:
    sizes = dict.fromkeys(range(4), 50 * MB)  # shared with the zygote: not counted
    watch = memory.MemoryWatch(100 * MB, read=sizes.__getitem__)
    alone, first, second, third = (Process(pid, client) for pid, client in enumerate(["one", "many", "many", "many"]))
    with watch.watching(alone), watch.watching(first), watch.watching(second), watch.watching(third):
        sizes.update({0: 100 * MB, 1: 70 * MB, 2: 75 * MB, 3: 55 * MB})
        watch.check()
        assert not any(process.reasons for process in (alone, first, second, third))  # 50 + 20 + 25 + 5 is the budget
        sizes[3] = 56 * MB
        watch.check()
        assert [len(process.reasons) for process in (alone, first, second, third)] == [0, 0, 1, 0]
        sizes[1] = 180 * MB
        watch.check()
        watch.check()
        assert [len(process.reasons) for process in (alone, first, second, third)] == [0, 1, 1, 0]
    assert "100 MB" in second.reasons[0]
    assert "25 MB" in second.reasons[0]


async def test_programs_that_have_ended_are_not_counted() -> None:
    sizes = {1: 0, 2: 0}
    watch = memory.MemoryWatch(100 * MB, read=sizes.__getitem__)
    first, second = Process(1, "a"), Process(2, "b")
    with watch.watching(second):
        with watch.watching(first):
            sizes[1] = 90 * MB
        sizes[2] = 90 * MB
        watch.check()
        assert not second.reasons


def test_memory_in_a_shared_mapping_counts_and_that_of_a_file_does_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 32 * MB)
    before = memory.process_memory(os.getpid())
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped.find(b"y") == -1  # every page was read
        assert memory.process_memory(os.getpid()) - before < 16 * MB
    with mmap.mmap(-1, 64 * MB) as shared:
        shared.write(b"x" * 64 * MB)
        assert memory.process_memory(os.getpid()) - before > 48 * MB


def test_a_process_that_has_exited_uses_no_memory() -> None:
    assert memory.process_memory(2**22 + 1) == 0


@pytest.mark.parametrize(
    ("limit", "above", "legacy", "total"),
    [
        ("1000000", "max", "", 1_000_000),
        ("max", "2000000", "9000000", 2_000_000),
        ("max", "max", "3000000", 3_000_000),
        ("max", "?", "", None),
    ],
)
def test_the_memory_of_a_container_is_that_of_its_control_groups(
    tmp_path: Path, limit: str, above: str, legacy: str, total: int | None
) -> None:
    own = group(tmp_path, pids=[])
    processes, old = tmp_path / "proc", tmp_path / "legacy"
    (own / "memory.max").write_text(limit + "\n")
    (own.parent / "memory.max").write_text(above + "\n")
    old.write_text(legacy)
    machine = memory.machine_memory(tmp_path / "nothing", old.with_name("nothing"))
    assert machine > 100 * MB
    assert memory.machine_memory(processes, old) == (total or machine)


async def run(executor: LocalExecutor, program: str, client: str) -> tuple[wire.EndEvent, str]:
    events: list[wire.AnyEvent] = []
    job = wire.Job(program, [(1, program.count("\n") + 1)])
    async for batch in executor.run(job, limits=Limits(wall_seconds=30.0), cancelled=asyncio.Event(), client=client):
        events += batch
    assert isinstance(events[-1], wire.EndEvent)
    return events[-1], "".join(event.text for event in events if isinstance(event, wire.OutputEvent))


@pytest.mark.sandbox
@pytest.mark.slow
@pytest.mark.parametrize("allocate", ["bytearray(16 << 20)", "mmap.mmap(-1, 16 << 20)"])
async def test_a_program_is_ended_with_the_reason_when_memory_for_all_is_used_up(allocate: str) -> None:
    settings = Settings(children=2, programs_memory_mb=96, limits=Limits(wall_seconds=30.0))
    executor = LocalExecutor(settings, entry="light_entry", path=(ENTRIES,))
    await executor.start()
    try:
        await executor.settled()
        assert "96 MB" in " ".join(executor.report)
        grow = f"""
import mmap, time
held = []
for _ in range(20):
    held.append({allocate})
    held[-1][:] = bytes(16 << 20)
    print(len(held))
    time.sleep(0.3)
"""
        modest = "held = b'x' * (10 << 20)\nimport time\ntime.sleep(1.5)\nprint('over')"
        (end, text), (other, printed) = await asyncio.gather(run(executor, grow, "a"), run(executor, modest, "b"))
        assert (end.status, text[:2]) == ("out_of_memory", "1\n")
        assert end.failure is not None
        assert "memory for all running programs is used up (96 MB)" in end.failure.message
        assert (other.status, printed) == ("done", "over\n")
    finally:
        await executor.close()
