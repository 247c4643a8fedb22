"""A process that sends a flood of events must wait. It neither delays the event loop nor fills the memory of the server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from tapedeck import wire
from tapedeck.model import Limits, Status
from tapedeck.sandbox import follow as following
from tapedeck.sandbox.follow import SLICE, follow

from ..wire.every_kind import PROGRAM, REFUSED

pytestmark = pytest.mark.anyio

LIMITS = Limits()


class Flood:
    """A process whose events come from a thread. ``sent`` counts the bytes that went into the pipe."""

    def __init__(self, data: bytes) -> None:
        job, self.job = os.pipe()
        self.events, events = os.pipe()
        os.set_blocking(self.job, False)
        os.set_blocking(self.events, False)
        self.sent = 0
        self.killed = False
        self.signals: list[int] = []
        self._ends = [job, events]
        self._thread = threading.Thread(target=self._send, args=(events, data))
        self._thread.start()

    def _send(self, descriptor: int, data: bytes) -> None:
        os.set_blocking(descriptor, True)
        view = memoryview(data)
        try:
            while self.sent < len(view):
                self.sent += os.write(descriptor, view[self.sent : self.sent + 4096])
        except BrokenPipeError:
            pass
        finally:
            os.close(descriptor)

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.killed = True

    def close_job(self) -> None:
        if self.job >= 0:
            os.close(self.job)
            self.job = -1

    async def exit_reason(self) -> tuple[Status, str]:
        return "killed", "It ended."

    def close(self) -> None:
        self.close_job()
        os.close(self.events)
        os.close(self._ends[0])
        self._thread.join()


@pytest.fixture
def flood() -> Iterator[type[Flood]]:
    made: list[Flood] = []

    class Made(Flood):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            made.append(self)

    yield Made
    for each in made:
        each.close()


TINY = [wire.ProgressEvent(1)] * 4_096
JOB = wire.Job(PROGRAM, [])


async def test_a_flood_is_read_in_slices_between_which_the_loop_does_other_work(flood: type[Flood]) -> None:
    process = flood(wire.frames(wire.pack(TINY)) * 4)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    sizes, turns_seen = [], []
    async for events in follow(process, JOB, LIMITS, None, asyncio.Event()):
        sizes.append(len(events))
        turns_seen.append(turns)
    task.cancel()
    assert sum(sizes) == 4 * len(TINY) + 1
    assert max(sizes) <= SLICE
    assert len(set(turns_seen)) >= len(sizes) - 2


async def test_endless_events_make_their_process_wait(flood: type[Flood], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVENTS_PER_SECOND", 1_000)
    monkeypatch.setattr(following, "BURST", 2_000)
    data = wire.frames(wire.pack(TINY)) * 40
    process = flood(data)
    cancelled = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, cancelled.set)
    read = 0
    async for events in follow(process, JOB, LIMITS, None, cancelled):
        read += len(events)
        if cancelled.is_set():
            break
    assert process.signals == [wire.STOP_SIGNAL]
    assert read < 2_000 + 1_000 * 5 + SLICE  # a loaded machine may take longer than half a second
    assert process.sent < len(data) // 2


async def test_the_user_s_own_program_never_waits(flood: type[Flood], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVENTS_PER_SECOND", 1)
    monkeypatch.setattr(following, "BURST", 1)
    process = flood(wire.frames(wire.pack(TINY)))
    job = wire.Job(PROGRAM, [], confined=False)
    assert sum([len(events) async for events in follow(process, job, LIMITS, None, asyncio.Event())]) == len(TINY) + 1


@pytest.mark.parametrize("name", ["a line beyond the program", "a cycle"])
async def test_a_forged_event_ends_the_run_as_a_violation(flood: type[Flood], name: str) -> None:
    process = flood(wire.frames(wire.pack([TINY[0], *REFUSED[name]])))
    batches = [events async for events in follow(process, JOB, LIMITS, None, asyncio.Event())]
    end = batches[-1][-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert (end.status, batches[0]) == ("killed", [TINY[0]])
    assert "invalid recording" in end.failure.message
    assert process.killed
