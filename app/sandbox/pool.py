"""Keep confined children ready, and hand each out once.

The pool starts a zygote, has it fork children ahead of need, and starts another when it dies. It owns every child's
pipes and pidfd; killing goes through the pidfd, so that it can never hit a stranger. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from typing import Final

import msgspec

from ..errors import SandboxError
from . import selftest
from .confine import best_mode
from .control import PACKET, Broken, Gone, Mode, Plan, Ready, Spawn, Spawned, decode_news, encode

log = logging.getLogger(__name__)

_PIPE_BYTES: Final = 1 << 20
_START_SECONDS: Final = 120.0
_REFILL_SECONDS: Final = 0.02
"""How long after an answer the next child is forked: by then the answer has been drawn and sent."""
_PAUSES: Final = (0.0, 0.5, 2.0, 10.0, 30.0)
"""Seconds before a zygote that failed to start is started again."""
_FROM: Final[dict[Mode, tuple[Mode, ...]]] = {"full": ("full", "nofiles"), "nofiles": ("nofiles",), "none": ()}
"""Modes to try, from the best that the machine has. *none* is never chosen: it must be asked for."""
_TRIES: Final = 3
"""Failures in a row after which waiting callers are told."""

ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "USER": "tapedeck", "LOGNAME": "tapedeck", "LANG": "C.UTF-8", "TZ": "UTC0",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip
"""All that a zygote knows of its surroundings. The hash seed is fixed: a replay walks a set of names in the same order."""


def command(descriptor: int, plan: Plan) -> list[str]:
    """Build the command that starts a zygote: neither the user's nor the current folder in the path, no bytecode written."""
    module = f"{__package__}.zygote"
    return [sys.executable, "-P", "-s", "-B", "-m", module, str(descriptor), msgspec.json.encode(plan).decode()]


REMEDY: Final = (
    "Nothing on this machine can confine a program: run Tapedeck in a container on Linux, or, for your own code only and on a "
    "loopback address, set TAPEDECK_UNCONFINED=1."
)


class Unconfinable(SandboxError):
    """No mode passed its self-test: no program is run."""


class Child:
    """A confined process that waits for its job: the server's ends of its pipes, and its pidfd."""

    def __init__(self, token: int, job: int, events: int, gone: asyncio.Future[Gone | None]) -> None:
        self.token = token
        self.job = job
        self.events = events
        self.gone = gone
        """Resolves when it is dead: with how it ended, or ``None`` when its zygote died with it."""
        self.pid = -1
        self._pidfd = -1

    def born(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd

    def kill(self) -> None:
        """End it, if it is not dead already."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close_job(self) -> None:
        """Close the pipe to it: the job is complete."""
        if self.job >= 0:
            os.close(self.job)
            self.job = -1

    def close(self) -> None:
        """Kill it and close everything that it had."""
        self.kill()
        self.close_job()
        for descriptor in (self.events, self._pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.events = self._pidfd = -1


class Pool:
    """A zygote and the children that it forked. Made and used on one event loop."""

    def __init__(self, plan: Plan, idle: int) -> None:
        self.mode: Mode = "none"
        """How children are confined, once :attr:`ready`."""
        self._modes: tuple[Mode, ...] = (plan.mode,) if plan.mode else _FROM[best_mode()]
        self.checks: list[selftest.Check] = []
        """What the last self-test saw."""
        self.notes: list[str] = []
        self._plan = plan
        self._wanted = idle
        self._tokens = itertools.count()
        self._idle: deque[Child] = deque()
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._unborn: dict[int, Child] = {}
        self._living: dict[int, Child] = {}
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[Ready] | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self._settled = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether a zygote is up, tested, and able to fork."""
        return self._up.is_set()

    @property
    def failure(self) -> str | None:
        """Why programs cannot be run here, if that is known."""
        return self._failure

    @property
    def zygote(self) -> int | None:
        """Process id of the zygote."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to start the zygote; returns at once."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def settled(self) -> None:
        """Wait until it is known whether programs can be run here."""
        await self._settled.wait()

    def take_idle(self) -> Child | None:
        """Hand out a child as :meth:`take` does, if one is ready."""
        while self._idle:
            child = self._idle.popleft()
            if not child.gone.done():
                return child
            child.close()
        return None

    async def take(self) -> Child:
        """Hand out a child that waits for its job. It must be given to :meth:`release`, whatever happens.

        Waits while the zygote starts. Raises :class:`SandboxError` when it cannot be started.
        """
        if (child := self.take_idle()) is not None:
            return child
        if self._failure is not None and not self.ready:
            raise SandboxError(self._failure)
        future: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._refill()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def release(self, child: Child) -> None:
        """End a child that was handed out; another takes its place a little later."""
        child.close()
        with contextlib.suppress(RuntimeError):  # no loop any more
            asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._refill)

    async def close(self) -> None:
        """End the zygote and every child."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end_zygote()
        self._fail_waiting("The server is shutting down.")

    # The zygote

    async def _keep(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            try:
                await self._bring_up()
            except Unconfinable as error:
                log.error("%s", error)
                self._failure = str(error)
                self._fail_waiting(self._failure)
                self._settled.set()
                return
            except (OSError, SandboxError, TimeoutError) as error:
                failures += 1
                log.error("The sandbox could not be started: %s", error)
                if failures >= _TRIES or not self._settled.is_set():
                    self._failure = f"The sandbox could not be started: {error}"
                    self._fail_waiting(self._failure)
                    self._settled.set()
            else:
                failures, self._failure = 0, None
                self._up.set()
                self._settled.set()
                self._refill()
                await self._lost.wait()
                log.warning("The sandbox's zygote ended; another is started.")
            self._up.clear()
            await self._end_zygote()

    async def _bring_up(self) -> None:
        """Start a zygote and have a child try to get out; where it can, start over with the next mode.

        Raises :class:`Unconfinable` after the last.
        """
        for mode in self._modes:
            ready = await self._start_zygote(msgspec.structs.replace(self._plan, mode=mode))
            self.mode, self.notes = mode, ready.notes
            if mode == "none":
                log.warning("Programs are NOT confined.")
                return
            self.checks = await self._probe()
            if selftest.passed(self.checks):
                log.info("Programs are confined, mode %s. %s", mode, " ".join(ready.notes))
                return
            for check in self.checks:
                log.log(
                    logging.INFO if check.ok else logging.ERROR, "Self-test, mode %s: %s. %s", mode, check.name, check.detail
                )
            await self._end_zygote()
        raise Unconfinable(REMEDY)

    async def _start_zygote(self, plan: Plan) -> Ready:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                command(theirs.fileno(), plan),
                env=ENVIRONMENT, cwd="/", pass_fds=(theirs.fileno(),), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        ours.setblocking(False)
        self._control = ours
        self._lost.clear()
        self._ready = loop.create_future()
        loop.add_reader(ours, self._hear)
        return await asyncio.wait_for(self._ready, _START_SECONDS)

    async def _end_zygote(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control)
            control.close()
        for child in self._living.values():
            child.kill()
        self._all_gone()
        for idle in (*self._idle, *self._unborn.values()):
            idle.close()
        self._living.clear()
        self._unborn.clear()
        self._idle.clear()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _probe(self) -> list[selftest.Check]:
        child = self._spawn(probe=True)
        try:
            child.close_job()
            await asyncio.wait_for(asyncio.shield(child.gone), 20)
            return selftest.read(os.read(child.events, selftest.REPORT_BYTES))
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            return [selftest.Check("the self-test ran", False, repr(error))]
        finally:
            child.close()

    # Children

    def _refill(self) -> None:
        """Have as many forked as are wanted and waited for."""
        if not self.ready or self._control is None:
            return
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.done())
        missing = self._wanted + len(self._waiting) - len(self._idle) - len(self._unborn)
        for _ in range(missing):
            try:
                self._spawn()
            except OSError as error:
                log.error("No child could be asked for: %s", error)
                asyncio.get_running_loop().call_later(1.0, self._refill)
                return

    def _spawn(self, probe: bool = False) -> Child:
        if self._control is None:
            raise SandboxError("The sandbox is not up.")
        token = next(self._tokens)
        job_read, job_write = os.pipe2(os.O_CLOEXEC)
        events_read, events_write = os.pipe2(os.O_CLOEXEC)
        child = Child(token, job_write, events_read, asyncio.get_running_loop().create_future())
        try:
            os.set_blocking(job_write, False)
            os.set_blocking(events_read, False)
            with contextlib.suppress(OSError):  # over the user's share of pipes: the usual 64 KB do as well
                fcntl.fcntl(events_read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            socket.send_fds(self._control, [encode(Spawn(token, probe))], [job_read, events_write])
        except OSError:
            child.close()
            raise
        finally:
            os.close(job_read)
            os.close(events_write)
        self._unborn[token] = child
        return child

    def _hear(self) -> None:
        """Take in what the zygote says, one packet at a time."""
        assert self._control is not None
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET, 1)
            news = decode_news(packet) if packet else None
        except BlockingIOError:
            return
        except (OSError, msgspec.DecodeError) as error:
            log.error("The zygote could not be understood: %s", error)
            news = None
        match news:
            case Spawned():
                self._born(news, descriptors[0])
            case Gone():
                self._gone(news)
            case Ready():
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(news)
            case Broken(token=-1) | None:
                asyncio.get_running_loop().remove_reader(self._control)
                self._all_gone()
                self._lost.set()
                if self._ready is not None and not self._ready.done():
                    self._ready.set_exception(SandboxError(news.reason if news else "the zygote ended while it was starting"))
            case Broken():
                log.error("%s", news.reason)
                if (child := self._unborn.pop(news.token, None)) is not None:
                    child.close()
                    child.gone.set_result(None)
                asyncio.get_running_loop().call_later(1.0, self._refill)

    def _born(self, news: Spawned, pidfd: int) -> None:
        child = self._unborn.pop(news.token, None)
        if child is None:
            os.close(pidfd)
            return
        child.born(news.pid, pidfd)
        self._living[news.token] = child
        if child.job < 0:  # the self-test's
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(child)
                return
        self._idle.append(child)

    def _gone(self, news: Gone) -> None:
        child = self._living.pop(news.token, None)
        if child is None:
            return
        if not child.gone.done():
            child.gone.set_result(news)
        if child in self._idle:  # nobody gave it anything to do
            self._idle.remove(child)
            child.close()
            log.warning("An idle child ended (status %d).", news.status)
            asyncio.get_running_loop().call_later(1.0, self._refill)

    def _all_gone(self) -> None:
        for child in (*self._living.values(), *self._unborn.values()):
            if not child.gone.done():
                child.gone.set_result(None)

    def _fail_waiting(self, reason: str) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(SandboxError(reason))
