"""Run jobs in other processes, and yield their validated events as they arrive.

The last event of a run is always a :class:`~tapedeck.wire.EndEvent`: the tracer's, or one that the executor creates if
the process was killed or exited early.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from typing import IO, Final, Protocol

import msgspec

from . import wire
from .errors import SandboxError
from .model import Limits, Options, Program, Status, Stream
from .sandbox import kernel
from .sandbox.cgroup import ControlGroup, GroupLimits, NotDelegated, create
from .sandbox.control import Mode, ZygoteConfig
from .sandbox.demand import Demand
from .sandbox.follow import describe_exit, end_event, follow
from .sandbox.memory import MemoryWatch, default_budget
from .sandbox.pool import SELFTEST_SECONDS, Pool
from .sandbox.selftest import Check
from .sandbox.zygote_client import Child
from .settings import Settings, cores
from .wire.catalogue import OptimizerCatalogue

_CHILD_SECONDS: Final = 60.0
"""Maximum time in seconds that a job waits for a child. A zygote takes about ten seconds to start."""
OVERDUE_SECONDS: Final = 3 * SELFTEST_SECONDS
"""Maximum age of the last self-test, in seconds. If it is older, the sandbox counts as untested."""
_LATE_BYTES: Final = 1 << 17
"""Maximum number of bytes that are read from each stream of text that the tracer does not record."""
_EXIT_SECONDS: Final = 1.0
"""Maximum time in seconds that a child may take to exit after it has closed its pipe."""
ENTRY: Final = "tapedeck.tracer.main"
"""The module that records and runs programs in the children."""


WHOLE_SIZE: Final = 0.25
"""Fraction of the limit on a recording's bytes up to which steps are recorded whole."""
WHOLE_TIME: Final = 0.5
"""Fraction of the limit on a run's time up to which all steps are recorded whole."""
WHOLE_BYTES: Final = 256 * 1024 * 1024
"""Size in bytes up to which steps are recorded whole, even if a recording may be much larger."""
WHOLE_EVENTS: Final = 0.125
"""Fraction of the limit on a recording's events up to which steps are recorded whole."""


def job_for(program: Program, options: Options, limits: Limits, *, timed: bool = True) -> wire.Job:
    """Return the job for a program: its text, how to record it, and the limits that the tracer itself enforces.

    ``timed`` is false if the program may run for any time.
    """
    return wire.Job(
        program=program.text,
        cells=list(program.cells),
        seed=options.seed,
        capture=options.capture,
        values=options.values,
        nodes=limits.nodes,
        stdout_bytes=limits.stdout_bytes,
        notebook=program.kind == "notebook",
        budget=wire.DetailBudget(
            bytes=min(int(limits.recording_bytes * WHOLE_SIZE), WHOLE_BYTES),
            events=int(limits.events * WHOLE_EVENTS),
            seconds=limits.wall_seconds * WHOLE_TIME if timed else 0.0,
            most_bytes=limits.recording_bytes,
            most_events=limits.events,
        ),
    )


def cancelled_before_start() -> wire.EndEvent:
    """Return the end of a run that was cancelled before it started."""
    return end_event("cancelled", "The run was cancelled before it started.", 0.0)


class Executor(Protocol):
    """A way to run jobs. An executor belongs to one event loop."""

    async def start(self) -> None:
        """Start in the background."""

    async def settled(self) -> None:
        """Wait until it is known whether programs can run here, and in which mode."""

    async def close(self) -> None:
        """End all processes."""

    @property
    def ready(self) -> bool:
        """True if a job would start immediately."""

    @property
    def failure(self) -> str | None:
        """The reason why no program can run here; ``None`` if the executor is ready or still starting."""

    @property
    def mode(self) -> Mode:
        """How programs are confined."""

    @property
    def selftest_age(self) -> float | None:
        """Seconds since the sandbox last proved that it confines programs; ``None`` if it never did, or confines no program."""

    @property
    def optimizers(self) -> OptimizerCatalogue | None:
        """The optimizers of the PyTorch that programs run with; ``None`` while they are unknown."""

    @property
    def report(self) -> list[str]:
        """Sentences about the state, for ``tapedeck doctor``."""

    def run(
        self, job: wire.Job, *, limits: Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        """Run a job and yield batches of its events. The last event of the last batch is an ``EndEvent``.

        ``client`` identifies who sent the program: if memory runs out, a program of the client that uses the most is ended.
        Setting ``cancelled`` stops the run and keeps the events so far. Raises :class:`SandboxError` if the job cannot run.
        """


class LocalExecutor:
    """Runs jobs in this machine's pool of confined children.

    ``entry`` is the module that runs in the children, ``path`` lists additional folders to import it from, ``mode`` is the only
    mode to try, and ``namespaces`` says whether children run in namespaces. These four are for tests. Only the setting
    ``unconfined`` can select the mode ``none``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        entry: str = ENTRY,
        path: tuple[str, ...] = (),
        mode: Mode | None = None,
        namespaces: bool = True,
    ) -> None:
        config = ZygoteConfig(
            entry=entry,
            mode="none" if settings.unconfined else None if mode == "none" else mode,
            memory_bytes=settings.limits.memory_bytes,
            cpu_seconds=math.ceil(settings.limits.wall_seconds) + 2,
            namespaces=namespaces,
            path=path,
        )
        idle = settings.children or 2 * cores()
        self._pool = Pool(config, idle, Demand(cores()), None if settings.unconfined else self._limit_together)
        self._memory = settings.limits.memory_bytes
        self._watch = MemoryWatch(settings.programs_memory_mb << 20 or default_budget())
        self._group_limits = GroupLimits(self._watch.budget, 64 + 4 * idle, settings.programs_cpus)
        self._group: ControlGroup | None = None
        self._group_report = ""
        # The zygote works on Linux only. Elsewhere, unconfined programs run in a plain process each.
        self._plain = OwnProcess() if settings.unconfined and not kernel.LINUX else None

    async def start(self) -> None:
        if self._plain is None:
            self._pool.start()
        else:
            await self._plain.start()

    async def settled(self) -> None:
        await (self._pool if self._plain is None else self._plain).settled()

    async def close(self) -> None:
        if self._plain is not None:
            await self._plain.close()
        await self._pool.close()

    @property
    def ready(self) -> bool:
        return self._plain is not None or self._pool.ready

    @property
    def failure(self) -> str | None:
        return None if self._plain is not None else self._pool.failure

    @property
    def mode(self) -> Mode:
        return self._pool.mode if self._pool.ready else "none"

    @property
    def selftest_age(self) -> float | None:
        return self._pool.selftest_age

    @property
    def optimizers(self) -> OptimizerCatalogue | None:
        return (self._pool if self._plain is None else self._plain).optimizers

    @property
    def zygote(self) -> int | None:
        """The process id of the pool's zygote."""
        return self._pool.zygote

    @property
    def checks(self) -> list[Check]:
        """The results of the self-test."""
        return list(self._pool.checks)

    @property
    def report(self) -> list[str]:
        if self._plain is not None:
            return ["Programs are not confined: each runs in a plain process with your own permissions."]
        if not self._pool.ready:
            return [self._pool.failure or "The sandbox is starting."]
        how = {
            "full": "Programs are confined by seccomp and Landlock (mode full).",
            "nofiles": "Programs are confined by seccomp and cannot open any file (mode nofiles).",
            "none": "Programs are NOT confined (TAPEDECK_UNCONFINED is set).",
        }
        if self._pool.mode == "none":
            return [how["none"], *self._pool.notes]
        memory = f"All programs together may use {self._watch.budget >> 20:,} MB of memory."
        return [how[self._pool.mode], *self._pool.notes, memory, self._group_report]

    async def run(
        self, job: wire.Job, *, limits: Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        if self._plain is not None:
            async for events in OwnProcess(limits.wall_seconds).run(job, limits=limits, cancelled=cancelled):
                yield events
            return
        for last_try in (False, True):
            child = await self._take(cancelled)
            if child is None:
                yield [cancelled_before_start()]
                return
            if self._pool.mode == "none":  # known only now that the pool is ready
                job = msgspec.structs.replace(job, confined=False)
            started = False
            began = time.monotonic()
            process = _ConfinedProcess(child, self._memory, client)
            # an unconfined program is the user's own, and has no memory limit
            watching = contextlib.nullcontext() if self._pool.mode == "none" else self._watch.watching(process)
            try:
                with watching:
                    async for events in follow(process, job, limits, limits.wall_seconds, cancelled):
                        # If the zygote exits, its children are killed. A job that had not started is tried again.
                        interrupted = isinstance(events[0], wire.EndEvent) and events[0].status == "interrupted"
                        if interrupted and not started and not last_try:
                            break
                        started = True
                        yield events
                if started and self._pool.mode == "none":
                    # The program's child processes and exit functions of libraries may still run.
                    left = limits.wall_seconds - (time.monotonic() - began)
                    await _let_exit(asyncio.shield(child.exited), cancelled, max(0.0, left))
            finally:
                self._pool.release(child)
            if started:
                return

    def _limit_together(self, zygote: int) -> None:
        """Put a new zygote into the control group for programs, and create the group first, if the machine delegates one."""
        try:
            self._group = self._group or create(self._group_limits)
            self._group.add(zygote)
            self._group_report = str(self._group)
        except (OSError, NotDelegated) as error:
            self._group_report = f"No control group limits all programs together: {error}."

    async def _take(self, cancelled: asyncio.Event) -> Child | None:
        """Return a child, or ``None`` if the run is cancelled before one is ready.

        Raises :class:`SandboxError` if no child is ready in time.
        """
        if (child := self._pool.take_idle()) is not None:
            return child
        taking = asyncio.ensure_future(self._pool.take())
        watching = asyncio.ensure_future(cancelled.wait())
        try:
            await asyncio.wait((taking, watching), timeout=_CHILD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if taking.done() and taking.exception() is None:
                self._pool.release(taking.result())
            raise
        else:
            if not taking.done() and not watching.done():
                raise SandboxError(f"No process was ready for the program within {_CHILD_SECONDS:g} s: try again in a moment.")
            return taking.result() if taking.done() else None
        finally:
            taking.cancel()
            watching.cancel()


class OwnProcess:
    """Runs jobs in plain processes: the user's interpreter, environment and current folder, without a sandbox.

    The only limit on time is ``wall_seconds``, if given. ``module`` is the module that the interpreter runs.
    """

    ready = True
    failure: str | None = None
    mode: Mode = "none"
    selftest_age: float | None = None

    def __init__(self, wall_seconds: float | None = None, module: str = "tapedeck.tracer") -> None:
        self._wall_seconds = wall_seconds
        self._module = module
        self._listing: asyncio.Task[OptimizerCatalogue | None] | None = None
        self.returncode: int | None = None
        """The return code of the last program, as :mod:`subprocess` defines it; ``None`` if it was stopped from outside."""
        self._process: asyncio.subprocess.Process | None = None
        self._signals: list[int] = []
        self._signals_sent = 0

    async def start(self) -> None:
        """Begin to list the optimizers of the interpreter's PyTorch."""
        self._listing = asyncio.get_running_loop().create_task(list_optimizers())

    async def settled(self) -> None:
        """Wait until the optimizers are listed."""
        if self._listing is not None:
            await asyncio.wait([self._listing])

    async def close(self) -> None:
        """Stop listing the optimizers. No run outlives its call of :meth:`run`."""
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.wait([self._listing])

    @property
    def optimizers(self) -> OptimizerCatalogue | None:
        """The optimizers of the interpreter's PyTorch, once :meth:`start` has listed them."""
        done = self._listing is not None and self._listing.done() and not self._listing.cancelled()
        return self._listing.result() if self._listing is not None and done else None

    @property
    def report(self) -> list[str]:
        return ["Programs run in a plain process with your own permissions."]

    def send_signal(self, number: int) -> None:
        """Send a signal to the program, once it has started. If it does not handle SIGTERM, its run is cancelled."""
        self._signals.append(number)
        self._send_signals()

    def _send_signals(self) -> None:
        if self._process is not None and self._process.returncode is None:
            for number in self._signals[self._signals_sent :]:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(number)
            self._signals_sent = len(self._signals)

    def command(self, job: int, events: int) -> list[str]:
        """Return the command that runs the interpreter with a stack of up to 256 MB. ``job`` and ``events`` are descriptors."""
        raise_stack = 'ulimit -S -s 262144 2>/dev/null || ulimit -S -s "$(ulimit -H -s)" 2>/dev/null; exec "$@"'
        return ["/bin/sh", "-c", raise_stack, "sh", sys.executable, "-m", self._module, str(job), str(events)]

    async def run(
        self, job: wire.Job, *, limits: Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        job = msgspec.structs.replace(job, confined=False)
        job_read, job_write = os.pipe()
        events_read, events_write = os.pipe()
        try:
            command = self.command(job_read, events_write)
            output = None if job.own_streams else _StrayOutput()
            process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=(job_read, events_write),
                stdout=None if output is None else output.files["stdout"],
                stderr=None if output is None else output.files["stderr"],
            )
        except OSError as error:
            os.close(job_write)
            os.close(events_read)
            raise SandboxError(f"The interpreter could not be started: {error}") from error
        finally:
            os.close(job_read)
            os.close(events_write)
        os.set_blocking(job_write, False)
        os.set_blocking(events_read, False)
        plain = _PlainProcess(process, job_write, events_read)
        try:
            began = time.monotonic()
            self._process = process
            self._send_signals()
            truncated = False
            async for events in follow(plain, job, limits, self._wall_seconds, cancelled):
                truncated = truncated or any(isinstance(event, wire.StdoutTruncated) for event in events)
                end = events[-1]
                if not isinstance(end, wire.EndEvent):
                    yield events
                    continue
                if signal.SIGTERM in self._signals and process.returncode == -signal.SIGTERM:
                    plain.killed = True
                    end = end_event("cancelled", "The run was cancelled.", end.duration_ms)
                left = None if self._wall_seconds is None else self._wall_seconds - (time.monotonic() - began)
                await _let_exit(process.wait(), cancelled, left)
                late = [] if output is None or truncated else output.read()
                if end.status == "killed" and sys.__stderr__ is not None:  # the interpreter may have printed the reason
                    sys.__stderr__.writelines(event.text for event in late)
                yield [*events[:-1], *late, end]
            self.returncode = None if plain.killed else process.returncode
        finally:
            plain.kill()
            plain.close_job()
            os.close(events_read)
            await process.wait()
            if output is not None:
                output.close()


class _StrayOutput:
    """The files for text that a process prints before its tracer starts, and after the tracer has ended.

    The finalizers of the program run last, when the tracer has ended.
    """

    def __init__(self) -> None:
        self.files: dict[Stream, IO[bytes]] = {"stdout": _unnamed_file(), "stderr": _unnamed_file()}

    def read(self) -> list[wire.OutputEvent]:
        """Return what was printed, up to a limit."""
        texts = {name: os.pread(file.fileno(), _LATE_BYTES, 0).decode(errors="replace") for name, file in self.files.items()}
        return [wire.OutputEvent(text, stream=name) for name, text in texts.items() if text]

    def close(self) -> None:
        """Close the files, which removes them."""
        for file in self.files.values():
            file.close()


def _unnamed_file() -> IO[bytes]:
    """Return an unnamed file, in memory where possible, since the disk may be full or read-only."""
    return open(os.memfd_create("output"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


async def list_optimizers() -> OptimizerCatalogue | None:
    """Return the optimizers of the interpreter's PyTorch, or ``None`` if they cannot be listed."""
    command = (sys.executable, "-m", f"{__package__}.tracer.training.catalogue")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        answer, _ = await process.communicate()
        return msgspec.json.decode(answer, type=OptimizerCatalogue)
    except msgspec.DecodeError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _let_exit(exiting: Awaitable[object], cancelled: asyncio.Event, seconds: float | None) -> None:
    """Wait until a process that has sent its last event exits by itself, unless the run is cancelled or time is up."""
    waiting = [asyncio.ensure_future(exiting), asyncio.ensure_future(cancelled.wait())]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


class _ConfinedProcess:
    """A child of the pool, as a :class:`~tapedeck.sandbox.follow.JobProcess`."""

    def __init__(self, child: Child, memory_bytes: int, client: str) -> None:
        self._child = child
        self._memory = memory_bytes
        self._ended: str | None = None
        self.client = client
        self.send_signal = child.send_signal
        self.kill = child.kill
        self.close_job = child.close_job

    @property
    def pid(self) -> int:
        return self._child.pid

    def end(self, message: str) -> None:
        """Kill the process, because memory has run out. ``message`` is the reason for the user."""
        self._ended = message
        self.kill()

    @property
    def job(self) -> int:
        return self._child.job

    @property
    def events(self) -> int:
        return self._child.events

    async def exit_reason(self) -> tuple[Status, str]:
        if self._ended is not None:
            return "out_of_memory", self._ended
        try:
            exited = await asyncio.wait_for(asyncio.shield(self._child.exited), _EXIT_SECONDS)
        except TimeoutError:
            self.kill()
            return "killed", "The program was stopped because it closed the pipe through which it is recorded."
        if exited is None:
            return "interrupted", "The sandbox was restarted while the program ran. Run the program again."
        return describe_exit(exited.status, exited.peak_bytes, self._memory)


class _PlainProcess:
    """A plain process, as a :class:`~tapedeck.sandbox.follow.JobProcess`."""

    def __init__(self, process: asyncio.subprocess.Process, job: int, events: int) -> None:
        self._process = process
        self.job = job
        self.events = events
        self.killed = False

    def send_signal(self, number: int) -> None:
        if self._process.returncode is None:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close_job(self) -> None:
        if self.job >= 0:
            os.close(self.job)
            self.job = -1

    async def exit_reason(self) -> tuple[Status, str]:
        code = await self._process.wait()
        status = -code if code < 0 else code << 8
        return describe_exit(status, 0, sys.maxsize)
