"""Follow one process from its job to its end: give it the job, yield what it tells, stop it when it must be.

What it tells is validated as it arrives. Time is kept here: the process is not trusted with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec

from .. import wire
from ..errors import ProtocolError
from ..model import Limits, Status

_CHUNK: Final = 1 << 20
_HEAVY_BYTES: Final = 1 << 17
"""Decoding more than this at once is done beside the event loop."""


class Source(Protocol):
    """A process that is told a job and tells events."""

    @property
    def job(self) -> int: ...
    @property
    def events(self) -> int: ...
    def kill(self) -> None: ...
    def close_job(self) -> None: ...
    async def last_word(self) -> tuple[Status, str]:
        """How it ended, and a sentence that says so."""


async def follow(
    source: Source, job: wire.Job, limits: Limits, wall_seconds: float | None, cancelled: asyncio.Event
) -> AsyncIterator[list[wire.AnyEvent]]:
    """Give a process its job and yield what it tells, until it ends or has to be ended."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    stopped: list[tuple[Status, str]] = []

    def stop(status: Status, message: str) -> None:
        if not stopped:
            stopped.append((status, message))
        source.kill()

    def elapsed() -> float:
        return (time.perf_counter() - began) * 1000.0

    timer = None
    if wall_seconds is not None:
        message = f"The program was stopped after {wall_seconds:g} s, the most that one run may take."
        timer = loop.call_later(wall_seconds, stop, "timed_out", message)
    watcher = loop.create_task(_on(cancelled, lambda: stop("cancelled", "The run was cancelled.")))
    reader = wire.Reader(limits, replay=job.replay is not None)
    undecoded = 0
    try:
        with contextlib.suppress(BrokenPipeError):  # it is dead already: reading says how
            await _send(source, wire.encode_job(job))
        while data := await _receive(source.events):
            undecoded += len(data)
            if undecoded > _HEAVY_BYTES:
                events, error = await asyncio.to_thread(_decode, reader, data)
            else:
                events, error = _decode(reader, data)
            if events:
                undecoded = 0
                for place, event in enumerate(events):
                    if isinstance(event, wire.EndEvent):
                        yield [*events[:place], _judged(event)]
                        return
                yield events
            if isinstance(error, wire.Overflow):
                stop("output_limit", f"{error} The program was stopped.")
                break
            if error is not None:
                stop("killed", f"The program's process sent something that is no recording, and was ended: {error}.")
                break
        # What it was stopped for counts, not the signal that stopped it.
        status, message = stopped[0] if stopped else await source.last_word()
        yield [ended(status, message, elapsed())]
    finally:
        if timer is not None:
            timer.cancel()
        watcher.cancel()


def _decode(reader: wire.Reader, data: bytes) -> tuple[list[wire.AnyEvent], ProtocolError | None]:
    """Decode what came, keeping what was sound before an error."""
    events: list[wire.AnyEvent] = []
    try:
        for event in reader.feed(data):
            events.append(event)  # noqa: PERF402 (keeps what came before an error)
    except ProtocolError as error:
        return events, error
    return events, None


def _judged(end: wire.EndEvent) -> wire.EndEvent:
    """Give a failure its own name where its exception says what ran out."""
    failure = end.failure
    if failure is None or end.status != "failed":
        return end
    if failure.type == "OutputLimit":
        return msgspec.structs.replace(end, status="output_limit")
    if failure.type.endswith("MemoryError") or any(sign in failure.message for sign in _OUT_OF_MEMORY):
        told = failure if failure.message else msgspec.structs.replace(failure, message=TOO_MUCH_MEMORY)
        return msgspec.structs.replace(end, status="out_of_memory", failure=told)
    return end


TOO_MUCH_MEMORY: Final = "The program asked for more memory than one run may use."
_OUT_OF_MEMORY: Final = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
)
"""What torch's RuntimeError says when an allocation fails (c10/core/impl/alloc_cpu.cpp)."""


def explain(status: int, peak_bytes: int, memory_bytes: int) -> tuple[Status, str]:
    """Tell how a process ended that did not say so itself.

    >>> explain(3 << 8, 0, 1 << 30)
    ('killed', 'The program ended its own process with exit status 3.')
    """
    if not os.WIFSIGNALED(status):
        return "killed", f"The program ended its own process with exit status {os.waitstatus_to_exitcode(status)}."
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return "timed_out", "The program used all the processor time that one run may have."
    if number == signal.SIGKILL and peak_bytes > memory_bytes // 2:
        return "out_of_memory", "The machine ran out of memory, and the program was ended."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    return "killed", f"The program's process was ended by the signal {name}."


def ended(status: Status, message: str, duration_ms: float) -> wire.EndEvent:
    return wire.EndEvent(status, wire.ProgramFailure(status, message, None, -1, ""), duration_ms)


async def _send(source: Source, request: bytes) -> None:
    """Write a whole job to its pipe and close it."""
    view = memoryview(request)
    while view:
        try:
            view = view[os.write(source.job, view) :]
        except BlockingIOError:
            await _when(source.job, writable=True)
    source.close_job()


async def _receive(descriptor: int) -> bytes:
    """Read what there is, waiting for something; nothing at all is the end."""
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            await _when(descriptor)


async def _when(descriptor: int, *, writable: bool = False) -> None:
    """Wait until a descriptor can be read or written."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    (loop.add_writer if writable else loop.add_reader)(descriptor, wake)
    try:
        await future
    finally:
        (loop.remove_writer if writable else loop.remove_reader)(descriptor)


async def _on(event: asyncio.Event, act: Callable[[], None]) -> None:
    await event.wait()
    act()
