"""``OwnProcess`` runs a job in a plain process, and reports how it ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.executor import OwnProcess
from tapedeck.model import Limits
from tapedeck.sandbox.exhaustion import with_limit_status
from tapedeck.sandbox.follow import describe_exit

pytestmark = pytest.mark.anyio

ENTRY = """
import os, sys
from tapedeck import wire
job_fd, events_fd = int(sys.argv[1]), int(sys.argv[2])
job = wire.decode_job(b"".join(iter(lambda: os.read(job_fd, 65536), b"")))
def emit(*events):
    os.write(events_fd, wire.frames(wire.pack(events)))
exec(job.program)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnProcess:
    """An executor whose processes execute the text of the job."""
    (tmp_path / "own_entry.py").write_text(ENTRY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return OwnProcess(60.0, module="own_entry")


async def run(own: OwnProcess, program: str, **limits: Any) -> tuple[wire.EndEvent, str]:
    events: list[wire.AnyEvent] = []
    async for batch in own.run(wire.Job(program, []), limits=Limits(**limits), cancelled=asyncio.Event()):
        events += batch
    assert isinstance(events[-1], wire.EndEvent)
    return events[-1], "".join(event.text for event in events if isinstance(event, wire.OutputEvent))


async def test_a_program_runs_in_the_user_s_environment_and_folder(own: OwnProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "mine")
    end, text = await run(
        own, "emit(wire.OutputEvent(os.environ['OWN'] + ' ' + os.getcwd())); emit(wire.EndEvent('done', None, 1.0))"
    )
    assert (end.status, text) == ("done", f"mine {Path.cwd()}")


async def test_the_stack_is_at_least_as_large_as_usual(own: OwnProcess) -> None:
    limit = "__import__('resource').getrlimit(3)[0]"
    _, text = await run(own, f"emit(wire.OutputEvent(str({limit}))); emit(wire.EndEvent('done', None, 1.0))")
    assert int(text) == -1 or int(text) >= 8 << 20


async def test_text_that_the_tracer_does_not_record_comes_before_the_end(own: OwnProcess, capfd: Any) -> None:
    late = "print('as Python ends'); print('why', file=sys.stderr)"
    assert (await run(own, f"emit(wire.OutputEvent('first ')); emit(wire.EndEvent('done', None, 1.0)); {late}"))[1] == (
        "first as Python ends\nwhy\n"
    )
    assert (await run(own, f"emit(wire.StdoutTruncated(limit=5)); emit(wire.EndEvent('done', None, 1.0)); {late}"))[1] == ""
    assert "".join(capfd.readouterr()) == ""
    _, text = await run(own, "raise OSError('no torch')")
    assert text.endswith("OSError: no torch\n")
    assert capfd.readouterr() == ("", text)  # an interpreter that cannot run the tracer says why


@pytest.mark.parametrize(
    ("program", "status", "message"),
    [
        ("os._exit(3)", "killed", "exit status 3"),
        ("os.kill(os.getpid(), 11)", "killed", "SIGSEGV"),
        ("1 / 0", "killed", "exit status 1"),
        ("os.write(events_fd, b'\\xff\\xff\\xff\\x7f')", "killed", "invalid recording"),
        ("while True: emit(wire.OutputEvent('x' * 100_000))", "output_limit", "larger than"),
    ],
)
async def test_the_reason_for_the_end_is_reported(own: OwnProcess, capfd: Any, program: str, status: str, message: str) -> None:
    end, _ = await run(own, program, recording_bytes=2 << 20)
    assert end.status == status
    assert end.failure
    assert message in end.failure.message


async def test_a_time_limit_stops_the_program(own: OwnProcess) -> None:
    own._wall_seconds = 0.3
    end, _ = await run(own, "while True: pass")
    assert end.status == "timed_out"


def test_an_allocation_that_fails_is_explained_with_its_size_and_a_remedy() -> None:
    raw = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 100000000000 bytes."
    failed = wire.EndEvent("failed", wire.ProgramFailure("RuntimeError", raw, None, 2, raw), 1.0)
    end = with_limit_status(failed, 1536 << 20)
    assert end.failure
    assert (end.status, end.failure.traceback) == ("out_of_memory", raw)
    requested = "The program requested another 93.1 GiB of memory: a run may use 1.5 GiB in total. Use smaller tensors"
    assert end.failure.message.startswith(requested)
    unlimited = with_limit_status(failed, None)
    assert (unlimited.status, unlimited.failure) == ("out_of_memory", failed.failure)


@pytest.mark.parametrize(
    ("kind", "message", "status"),
    [
        ("MemoryError", "", "out_of_memory"),
        ("_ArrayMemoryError", "Unable to allocate 8 TiB", "out_of_memory"),
        (
            "RuntimeError",
            "DefaultCPUAllocator: can't allocate memory: you tried",
            "out_of_memory",
        ),
        ("RuntimeError", "shape '[2]' is invalid for input of size 3", "failed"),
    ],
)
async def test_an_exception_at_a_limit_has_its_own_status(own: OwnProcess, kind: str, message: str, status: str) -> None:
    failure = f"wire.ProgramFailure({kind!r}, {message!r}, None, 1, '')"
    end, _ = await run(own, f"emit(wire.EndEvent('failed', {failure}, 1.0))")
    assert end.status == status
    assert end.failure
    assert end.failure.line == 1
    assert end.failure.message


def test_an_exit_is_described_by_its_signal_and_its_memory() -> None:
    assert describe_exit(9, 900, 1000)[0] == "out_of_memory"
    assert describe_exit(9, 10, 1000) == ("killed", "Signal SIGKILL ended the program's process.")
    assert describe_exit(24, 10, 1000)[0] == "timed_out"
    assert describe_exit(63, 10, 1000) == ("killed", "Signal 63 ended the program's process.")
