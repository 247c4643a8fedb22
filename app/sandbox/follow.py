"""Run one job in a process: send the job, yield its events, and kill the process at a limit.

Events are validated as they arrive. The server measures the time itself, because it does not trust the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Final, Protocol

from .. import wire
from ..errors import ProtocolError
from ..model import Limits, Status
from .exhaustion import with_limit_status

_CHUNK: Final = 1 << 20
_HEAVY_BYTES: Final = 1 << 17
"""Bytes of undecoded data above which decoding moves to a thread, to keep the event loop responsive."""
SLICE: Final = 256
"""Number of events that are decoded and recorded before the event loop turns to other work."""
EVENTS_PER_SECOND: Final = 10_000
"""Rate at which the events of a confined process are read. A training emits about three events a step."""
BURST: Final = 20_000
"""Number of events that are read at once before the rate applies."""


GRACE: Final = 0.5
"""Seconds that a process has to report its line before it is killed."""


class JobProcess(Protocol):
    """A process that reads one job and writes events."""

    @property
    def job(self) -> int:
        """The descriptor to write the job to."""

    @property
    def events(self) -> int:
        """The descriptor to read events from."""

    def send_signal(self, number: int) -> None:
        """Send a signal to the process unless it has exited."""

    def kill(self) -> None:
        """Kill the process unless it has exited."""

    def close_job(self) -> None:
        """Close the job's descriptor."""

    async def exit_reason(self) -> tuple[Status, str]:
        """Wait for the exit, and return the run's status with a sentence that explains it."""


async def follow(
    process: JobProcess, job: wire.Job, limits: Limits, wall_seconds: float | None, cancelled: asyncio.Event
) -> AsyncIterator[list[wire.AnyEvent]]:
    """Send a job to a process, and yield batches of its events. The last event of the last batch is an ``EndEvent``.

    The process is killed when ``cancelled`` is set, after ``wall_seconds``, or when it sends invalid data or too much data. In
    the first two cases, it is first asked to report the line that runs.
    """
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    stopped: list[tuple[Status, str]] = []

    def stop(status: Status, message: str) -> None:
        if not stopped:
            stopped.append((status, message))
        process.kill()

    def ask_and_stop(status: Status, message: str) -> None:
        if not stopped:
            stopped.append((status, message))
            timers.append(loop.call_later(GRACE, process.kill))
        process.send_signal(wire.STOP_SIGNAL)

    def elapsed() -> float:
        return (time.perf_counter() - began) * 1000.0

    timers: list[asyncio.TimerHandle] = []
    if wall_seconds is not None:
        message = (
            f"The program was stopped after {wall_seconds:g} s, the time limit of a run. Use fewer steps or smaller tensors, "
            "and check that every loop ends."
        )
        timers.append(loop.call_later(wall_seconds, ask_and_stop, "timed_out", message))
    watcher = loop.create_task(_call_when_set(cancelled, lambda: ask_and_stop("cancelled", "The run was cancelled.")))
    reader = wire.Reader(limits, program=job.program, replay=job.replay is not None, confined=job.confined)
    rate = EventRate()
    undecoded = 0
    line = -1
    error: ProtocolError | None = None
    try:
        with contextlib.suppress(BrokenPipeError):  # the process has exited; exit_reason() explains why
            await _send(process, wire.encode_job(job))
        while error is None and (data := await _receive(process.events)):
            undecoded += len(data)
            heavy = undecoded > _HEAVY_BYTES
            stream = reader.feed(data)
            full = True
            while full and error is None:
                events, error = await asyncio.to_thread(_decode, stream) if heavy else _decode(stream)
                full = len(events) == SLICE
                if not events:
                    continue
                undecoded = 0
                for index, event in enumerate(events):
                    if isinstance(event, wire.EndEvent):
                        yield [*events[:index], with_limit_status(event, limits.memory_bytes if job.confined else None)]
                        return
                    if isinstance(event, wire.StoppedAt) and stopped:
                        line = event.line
                        process.kill()
                recorded: list[wire.AnyEvent] = [event for event in events if not isinstance(event, wire.StoppedAt)]
                if recorded:
                    yield recorded
                # During this delay, nobody reads the pipe, and the process blocks as soon as the pipe is full.
                await asyncio.sleep(rate.delay(len(events)) if job.confined and not stopped else 0.0)
        if isinstance(error, wire.Overflow):
            stop("output_limit", f"{error} The program was stopped.")
        elif error is not None:
            stop("killed", f"The program was stopped because its process sent an invalid recording: {error}.")
        # If we killed the process, report the reason instead of the signal.
        status, message = stopped[0] if stopped else await process.exit_reason()
        yield [end_event(status, message, elapsed(), line)]
    finally:
        for timer in timers:
            timer.cancel()
        watcher.cancel()


def _decode(stream: Iterator[wire.AnyEvent]) -> tuple[list[wire.AnyEvent], ProtocolError | None]:
    """Decode up to :data:`SLICE` events. Return them, and the error that stopped the decoding, if any."""
    events: list[wire.AnyEvent] = []
    try:
        for event in islice(stream, SLICE):
            events.append(event)  # noqa: PERF402 (keeps the events before an error)
    except ProtocolError as error:
        return events, error
    return events, None


class EventRate:
    """Limits how fast events are read, so that endless tiny events slow down their process, not the server.

    A burst is free; after it, each event takes 1 / :data:`EVENTS_PER_SECOND` seconds. ``clock`` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_until = clock() - BURST / EVENTS_PER_SECOND

    def delay(self, events: int) -> float:
        """Return the seconds to wait after having read some events.

        >>> rate = EventRate(clock=lambda: 0.0)
        >>> rate.delay(BURST), rate.delay(EVENTS_PER_SECOND // 2)
        (0.0, 0.5)
        """
        now = self._clock()
        earliest = now - BURST / EVENTS_PER_SECOND
        self._paid_until = max(self._paid_until, earliest) + events / EVENTS_PER_SECOND
        return max(0.0, self._paid_until - now)


def describe_exit(status: int, peak_bytes: int, memory_bytes: int) -> tuple[Status, str]:
    """Explain the exit of a process that sent no ``EndEvent``, from its wait status and its peak memory.

    Returns the run's status and a sentence.

    >>> describe_exit(3 << 8, 0, 1 << 30)
    ('killed', 'The program ended its own process with exit status 3.')
    """
    if not os.WIFSIGNALED(status):
        return "killed", f"The program ended its own process with exit status {os.waitstatus_to_exitcode(status)}."
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return "timed_out", "The program was stopped at the limit of processor time for a run."
    if number == signal.SIGKILL and peak_bytes > memory_bytes // 2:
        return "out_of_memory", "The program was stopped because the machine ran out of memory."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    return "killed", f"Signal {name} ended the program's process."


def end_event(status: Status, message: str, duration_ms: float, line: int = -1) -> wire.EndEvent:
    """Return the end event of a run that the server ended itself. ``line`` is the line that ran, or −1 if it is unknown."""
    return wire.EndEvent(status, wire.ProgramFailure(status, message, None, line, ""), duration_ms)


async def _send(process: JobProcess, request: bytes) -> None:
    """Write a job to its pipe, and close the pipe."""
    view = memoryview(request)
    while view:
        try:
            view = view[os.write(process.job, view) :]
        except BlockingIOError:
            await _ready(process.job, writable=True)
    process.close_job()


async def _receive(descriptor: int) -> bytes:
    """Wait for data and return it. The result is empty at the end of the pipe."""
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            await _ready(descriptor)


async def _ready(descriptor: int, *, writable: bool = False) -> None:
    """Wait until a descriptor is readable, or writable."""
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


async def _call_when_set(event: asyncio.Event, callback: Callable[[], None]) -> None:
    await event.wait()
    callback()
