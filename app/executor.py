"""Run a job somewhere else, and hand on what it tells, validated, as it arrives.

An executor's ``run`` yields batches of events and always ends with a :class:`~tapedeck.wire.End`: the program's own, or
one made here when the program could not say it. Time is kept here: the program's process is not trusted with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec

from . import wire
from .errors import ProtocolError, SandboxError
from .model import Limits, Status
from .sandbox import kernel
from .sandbox.control import Gone, Mode, Plan
from .sandbox.pool import Child, Pool
from .sandbox.selftest import Check
from .settings import Settings

_CHUNK: Final = 1 << 20
_HEAVY_BYTES: Final = 1 << 17
"""Decoding more than this at once is done beside the event loop."""
_LAST_WORD_SECONDS: Final = 5.0
"""How long to wait to hear how a process ended whose pipe has closed."""
ENTRY: Final = "tapedeck.tracer.main"


class Executor(Protocol):
    """Where runs execute. Made and used on one event loop."""

    async def start(self) -> None:
        """Begin to get ready; returns at once."""

    async def close(self) -> None:
        """End everything that still runs."""

    @property
    def ready(self) -> bool:
        """Whether a job would start at once."""

    @property
    def mode(self) -> Mode:
        """How programs are confined."""

    @property
    def report(self) -> list[str]:
        """Sentences about it, for ``tapedeck doctor``."""

    def run(self, job: wire.Job, *, limits: Limits, cancelled: asyncio.Event) -> AsyncIterator[list[wire.AnyEvent]]:
        """Run a job; the last event of the last batch is its end. Setting ``cancelled`` stops it, keeping what it told.

        Raises :class:`SandboxError` when it cannot be run at all.
        """


class LocalExecutor:
    """This machine's pool of confined children.

    ``entry`` names the module that runs in the children, ``path`` where else to import it from; tests give their own.
    """

    def __init__(self, settings: Settings, *, entry: str = ENTRY, path: tuple[str, ...] = (), mode: Mode | None = None) -> None:
        plan = Plan(
            entry=entry,
            mode="none" if settings.unconfined else mode,
            memory_bytes=settings.limits.memory_bytes,
            cpu_seconds=math.ceil(settings.limits.wall_seconds) + 2,
            path=path,
        )
        self._pool = Pool(plan, settings.children or 2 * (os.cpu_count() or 1))
        self._memory = settings.limits.memory_bytes
        # Forking a loaded interpreter is for Linux: elsewhere one's own code gets a process of its own.
        self._plain = OwnProcess() if settings.unconfined and not kernel.LINUX else None

    async def start(self) -> None:
        if self._plain is None:
            self._pool.start()

    async def settled(self) -> None:
        """Wait until it is known whether programs can be run here, and how."""
        if self._plain is None:
            await self._pool.settled()

    async def close(self) -> None:
        await self._pool.close()

    @property
    def ready(self) -> bool:
        return self._plain is not None or self._pool.ready

    @property
    def mode(self) -> Mode:
        return self._pool.mode if self._pool.ready else "none"

    @property
    def zygote(self) -> int | None:
        """Process id of the pool's zygote."""
        return self._pool.zygote

    @property
    def checks(self) -> list[Check]:
        """What the self-test tried, and how it went."""
        return list(self._pool.checks)

    @property
    def report(self) -> list[str]:
        if self._plain is not None:
            return ["Programs are not confined: each runs in a plain process of yours."]
        if not self._pool.ready:
            return [self._pool.failure or "The sandbox is starting."]
        how = {
            "full": "Programs are confined by seccomp and Landlock (mode full).",
            "nofiles": "Programs are confined by seccomp, and can open no file at all (mode nofiles).",
            "none": "Programs are NOT confined (TAPEDECK_UNCONFINED is set).",
        }
        return [how[self._pool.mode], *self._pool.notes]

    async def run(self, job: wire.Job, *, limits: Limits, cancelled: asyncio.Event) -> AsyncIterator[list[wire.AnyEvent]]:
        if self._plain is not None:
            async for events in OwnProcess(limits.wall_seconds).run(job, limits=limits, cancelled=cancelled):
                yield events
            return
        request = wire.encode_job(job)
        for last in (False, True):
            child = await self._take(cancelled)
            if child is None:
                yield [_end("cancelled", "The run was cancelled before it began.", 0.0)]
                return
            told = False
            try:
                async for events in _follow(_Confined(child, self._memory), request, limits, limits.wall_seconds, cancelled):
                    # A zygote that died took the child along before it began: nothing was seen, so another may begin.
                    if not last and not told and isinstance(events[0], wire.End) and events[0].status == "interrupted":
                        break
                    told = True
                    yield events
            finally:
                self._pool.release(child)
            if told:
                return

    async def _take(self, cancelled: asyncio.Event) -> Child | None:
        """Take a child, or none if the run is cancelled before there is one."""
        if (child := self._pool.take_idle()) is not None:
            return child
        taking = asyncio.ensure_future(self._pool.take())
        watching = asyncio.ensure_future(cancelled.wait())
        try:
            await asyncio.wait((taking, watching), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if taking.done() and taking.exception() is None:
                self._pool.release(taking.result())
            raise
        else:
            return taking.result() if taking.done() else None
        finally:
            taking.cancel()
            watching.cancel()


class OwnProcess:
    """A plain process of the person's own: their interpreter, environment and folder, no sandbox, no limit of its own.

    ``wall_seconds`` is the only limit on its time, if given.
    """

    ready = True
    mode: Mode = "none"

    def __init__(self, wall_seconds: float | None = None, module: str = "tapedeck.tracer") -> None:
        self._wall_seconds = wall_seconds
        self._module = module

    async def start(self) -> None:
        """Nothing is needed beforehand."""

    async def close(self) -> None:
        """Nothing outlives a run."""

    @property
    def report(self) -> list[str]:
        return ["Programs run as your own, in a plain process."]

    def command(self, job: int, events: int) -> list[str]:
        """Build the command: the interpreter, with as large a stack as is allowed, and the descriptors of its two pipes."""
        raise_stack = 'ulimit -S -s 262144 2>/dev/null || ulimit -S -s "$(ulimit -H -s)" 2>/dev/null; exec "$@"'
        return ["/bin/sh", "-c", raise_stack, "sh", sys.executable, "-m", self._module, str(job), str(events)]

    async def run(self, job: wire.Job, *, limits: Limits, cancelled: asyncio.Event) -> AsyncIterator[list[wire.AnyEvent]]:
        job_read, job_write = os.pipe()
        events_read, events_write = os.pipe()
        try:
            command = self.command(job_read, events_write)
            process = await asyncio.create_subprocess_exec(*command, pass_fds=(job_read, events_write))
        except OSError as error:
            os.close(job_write)
            os.close(events_read)
            raise SandboxError(f"The interpreter could not be started: {error}") from error
        finally:
            os.close(job_read)
            os.close(events_write)
        os.set_blocking(job_write, False)
        os.set_blocking(events_read, False)
        source = _Plain(process, job_write, events_read)
        try:
            async for events in _follow(source, wire.encode_job(job), limits, self._wall_seconds, cancelled):
                yield events
        finally:
            source.kill()
            source.close_job()
            os.close(events_read)
            await process.wait()


class _Source(Protocol):
    """A process that is told a job and tells events."""

    @property
    def job(self) -> int: ...
    @property
    def events(self) -> int: ...
    def kill(self) -> None: ...
    def close_job(self) -> None: ...
    async def last_word(self) -> tuple[Status, str]:
        """How it ended, and a sentence that says so."""


class _Confined:
    """A child of the pool."""

    def __init__(self, child: Child, memory_bytes: int) -> None:
        self._child = child
        self._memory = memory_bytes
        self.kill = child.kill
        self.close_job = child.close_job

    @property
    def job(self) -> int:
        return self._child.job

    @property
    def events(self) -> int:
        return self._child.events

    async def last_word(self) -> tuple[Status, str]:
        self._child.kill()  # its pipe is closed: whatever it may still be doing, nobody will hear of it
        try:
            gone = await asyncio.wait_for(asyncio.shield(self._child.gone), _LAST_WORD_SECONDS)
        except TimeoutError:
            gone = None
        if gone is None:
            return "interrupted", "The sandbox was restarted while the program ran. Run it again."
        return _explain(gone, self._memory)


class _Plain:
    """A person's own process."""

    def __init__(self, process: asyncio.subprocess.Process, job: int, events: int) -> None:
        self._process = process
        self.job = job
        self.events = events

    def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def close_job(self) -> None:
        if self.job >= 0:
            os.close(self.job)
            self.job = -1

    async def last_word(self) -> tuple[Status, str]:
        code = await self._process.wait()
        status = -code if code < 0 else code << 8
        return _explain(Gone(0, status, 0), sys.maxsize)


async def _follow(
    source: _Source, request: bytes, limits: Limits, wall_seconds: float | None, cancelled: asyncio.Event
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
    reader = wire.Reader(limits)
    undecoded = 0
    try:
        with contextlib.suppress(BrokenPipeError):  # it is dead already: reading says how
            await _send(source, request)
        while data := await _receive(source.events):
            undecoded += len(data)
            if undecoded > _HEAVY_BYTES:
                events, error = await asyncio.to_thread(_decode, reader, data)
            else:
                events, error = _decode(reader, data)
            if events:
                undecoded = 0
                for place, event in enumerate(events):
                    if isinstance(event, wire.End):
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
        yield [_end(status, message, elapsed())]
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


def _judged(end: wire.End) -> wire.End:
    """Give a failure its own name where its exception says what ran out."""
    failure = end.failure
    if failure is None or end.status != "failed":
        return end
    if failure.type == "OutputLimit":
        return msgspec.structs.replace(end, status="output_limit")
    if failure.type.endswith("MemoryError") or any(sign in failure.message for sign in _OUT_OF_MEMORY):
        return msgspec.structs.replace(end, status="out_of_memory")
    return end


_OUT_OF_MEMORY: Final = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
)
"""What torch's RuntimeError says when an allocation fails (c10/core/impl/alloc_cpu.cpp)."""


def _explain(gone: Gone, memory_bytes: int) -> tuple[Status, str]:
    """Tell how a process ended that did not say so itself.

    >>> _explain(Gone(0, 3 << 8, 0), 1 << 30)
    ('killed', 'The program ended its own process with exit status 3.')
    """
    if not os.WIFSIGNALED(gone.status):
        return "killed", f"The program ended its own process with exit status {os.waitstatus_to_exitcode(gone.status)}."
    number = os.WTERMSIG(gone.status)
    if number == signal.SIGXCPU:
        return "timed_out", "The program used all the processor time that one run may have."
    if number == signal.SIGKILL and gone.peak_bytes > memory_bytes // 2:
        return "out_of_memory", "The machine ran out of memory, and the program was ended."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    return "killed", f"The program's process was ended by the signal {name}."


def _end(status: Status, message: str, duration_ms: float) -> wire.End:
    return wire.End(status, wire.Failure(status, message, None, -1, ""), duration_ms)


async def _send(source: _Source, request: bytes) -> None:
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
