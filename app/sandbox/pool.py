"""Keep confined children ready, and use each for one job.

The pool requests children from a zygote in advance, and replaces a zygote that exits or no longer answers. Before any child is
used, a self-test must pass: a child tries to escape and must fail. The self-test is repeated while the pool runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import SandboxError
from ..wire.catalogue import OptimizerCatalogue
from . import kernel, selftest
from .confine import best_mode
from .control import Mode, ZygoteConfig
from .demand import Demand
from .zygote_client import Child, ZygoteClient

log = logging.getLogger(__name__)

_REFILL_SECONDS: Final = 0.02
"""Delay between the end of a run and the fork of the next child, so that the response is sent first."""
_RETRY_SECONDS: Final = 1.0
"""Delay before a child is requested again after a failure."""
_PROBE_SECONDS: Final = 20.0
"""Maximum time for the self-test."""
_PAUSES: Final = (0.0, 0.5, 2.0, 10.0, 30.0)
"""Delay before starting a zygote, by the number of failures in a row."""
_TRIES: Final = 3
"""Number of failures in a row after which waiting callers get an error. When the pool starts, one failure is enough."""
PING_SECONDS: Final = 1.0
"""Interval at which the zygote must give a sign of life."""
SILENT_PINGS: Final = 3
"""Number of unanswered pings after which the pool is not ready."""
LOST_PINGS: Final = 8
"""Number of unanswered pings after which the zygote is replaced."""
SELFTEST_SECONDS: Final = 300.0
"""Interval at which the self-test is repeated."""
_FALLBACKS: Final[dict[Mode, tuple[Mode, ...]]] = {"full": ("full", "nofiles"), "nofiles": ("nofiles",), "none": ()}
"""Modes to try, by the strictest mode of the machine. The pool never falls back to ``none``; the user must request it."""
REMEDY: Final = (
    "Nothing on this machine can confine a program. Run Tapedeck in a container on Linux. To run only your own code, on a "
    "loopback address, set TAPEDECK_UNCONFINED=1."
)


class Unconfinable(SandboxError):
    """No mode passed the self-test, so no program may run."""


class Pool:
    """Children that wait for a job. ``idle`` is the number to keep ready. A pool belongs to one event loop.

    A child warms up before its job, unless a caller waits for it, ``idle`` children are at work, or ``demand`` is high.
    ``on_zygote`` is called with the process id of each zygote before it forks any child.
    """

    def __init__(self, config: ZygoteConfig, idle: int, demand: Demand, on_zygote: Callable[[int], None] | None = None) -> None:
        self.mode: Mode = "none"
        """How children are confined. Valid once :attr:`ready`."""
        self.checks: list[selftest.Check] = []
        """The results of the last self-test."""
        self._tested: float | None = None
        self.notes: list[str] = []
        """The zygote's sentences about the confinement."""
        self.optimizers: OptimizerCatalogue | None = None
        """The optimizers of the installed PyTorch, once a zygote has reported them."""
        self.failure: str | None = None
        """The reason why no program can run, or ``None``."""
        self._modes: tuple[Mode, ...] = (config.mode,) if config.mode else _FALLBACKS[best_mode()]
        self._config = config
        self._target = idle
        self._demand = demand
        self._on_zygote = on_zygote
        self._idle: deque[Child] = deque()
        self._at_work: set[Child] = set()
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._zygote: ZygoteClient | None = None
        self._up = False
        self._settled = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """True if a zygote is running, has passed the self-test and gives signs of life."""
        return self._up and self._zygote is not None and self._zygote.unanswered < SILENT_PINGS

    @property
    def selftest_age(self) -> float | None:
        """Seconds since the self-test last passed, or ``None`` if it has not."""
        return None if self._tested is None else time.monotonic() - self._tested

    @property
    def zygote(self) -> int | None:
        """The process id of the zygote."""
        return self._zygote.pid if self._zygote else None

    def start(self) -> None:
        """Start the zygote in the background."""
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def settled(self) -> None:
        """Wait until :attr:`ready` or :attr:`failure` is set."""
        await self._settled.wait()

    def take_idle(self) -> Child | None:
        """Return an idle child, or ``None`` if there is none. The caller must :meth:`release` it."""
        while self._idle:
            child = self._idle.popleft()
            if self._is_stopped(child):
                self.release(child)
                continue
            self._demand.add()
            self._at_work.add(child)
            return child
        return None

    async def take(self) -> Child:
        """Wait for an idle child and return it. The caller must :meth:`release` it.

        Raises :class:`SandboxError` if the zygote cannot be started.
        """
        if (child := self.take_idle()) is not None:
            return child
        if self.failure is not None:
            raise SandboxError(self.failure)
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
        """Kill a child that was taken, and replace it after a short delay."""
        child.close()
        self._at_work.discard(child)
        asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._refill)

    async def close(self) -> None:
        """Kill the zygote and every child."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        await self._end_zygote()
        self._fail("The server is shutting down.")

    async def _supervise(self) -> None:
        """Start a zygote, and start another one whenever it exits."""
        failures = 0
        while True:
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            try:
                zygote = await self._start_zygote()
            except Unconfinable as error:
                log.error("%s", error)
                self._fail(str(error))
                return
            except (OSError, SandboxError, TimeoutError) as error:
                failures += 1
                log.error("The sandbox could not be started: %s", error)
                if failures >= _TRIES or not self._settled.is_set():
                    self._fail(f"The sandbox could not be started: {error}")
            else:
                failures, self.failure = 0, None
                self._up = True
                self._settled.set()
                self._refill()
                log.warning("%s Starting another zygote.", await self._watch(zygote))
            await self._end_zygote()

    async def _start_zygote(self) -> ZygoteClient:
        """Start a zygote in the first mode that passes the self-test. Raises :class:`Unconfinable` if none does."""
        for mode in self._modes:
            zygote = self._zygote = ZygoteClient(self._on_zygote, self._on_spawned, self._on_exited)
            ready = await zygote.start(msgspec.structs.replace(self._config, mode=mode))
            self.mode, self.notes, self.optimizers = mode, ready.notes, ready.optimizers
            if mode == "none":
                log.warning("Programs are NOT confined.")
                return zygote
            if await self._passes_selftest(zygote):
                log.info("Programs are confined, mode %s. %s", mode, " ".join(ready.notes))
                return zygote
            await self._end_zygote()
        raise Unconfinable(REMEDY)

    async def _watch(self, zygote: ZygoteClient) -> str:
        """Monitor a zygote until it must be replaced, and return the reason."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(zygote.exited.wait(), PING_SECONDS)
                return "The zygote has exited."
            if zygote.unanswered >= LOST_PINGS:
                return "The zygote does not answer."
            age = self.selftest_age
            # a timeout on a busy machine does not prove an escape, so a failure counts only if it repeats
            if age is not None and age > SELFTEST_SECONDS and not zygote.unanswered and not await self._passes_again(zygote):
                return "A repeated self-test failed."
            self._drop_stopped()
            zygote.ping()

    async def _passes_again(self, zygote: ZygoteClient) -> bool:
        """Repeat the self-test, a second time if it fails. Return whether it passed or could not be run."""
        try:
            return await self._passes_selftest(zygote) or await self._passes_selftest(zygote) or zygote.exited.is_set()
        except (OSError, SandboxError) as error:
            log.error("The self-test could not be repeated: %s", error)
            return True

    async def _passes_selftest(self, zygote: ZygoteClient) -> bool:
        """Run the self-test. Return whether it passed, and log what failed."""
        self.checks = await self._run_selftest(zygote)
        if selftest.passed(self.checks):
            self._tested = time.monotonic()
            return True
        for check in self.checks:
            if not check.ok:
                log.error("The self-test failed in mode %s. Expected: %s. Observed: %s.", self.mode, check.name, check.detail)
        return False

    async def _run_selftest(self, zygote: ZygoteClient) -> list[selftest.Check]:
        child = zygote.spawn(probe=True)
        child.close_job()
        try:
            await asyncio.wait_for(asyncio.shield(child.exited), _PROBE_SECONDS)
            return selftest.read(os.read(child.events, selftest.REPORT_BYTES))
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            return [selftest.Check("the self-test ran", False, repr(error))]
        finally:
            child.close()

    async def _end_zygote(self) -> None:
        self._up = False
        while self._idle:
            self._idle.popleft().close()
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            await zygote.close()

    def _drop_stopped(self) -> None:
        """Replace the idle children that a signal has stopped."""
        for child in [child for child in self._idle if self._is_stopped(child)]:
            self._idle.remove(child)
            self.release(child)

    def _is_stopped(self, child: Child) -> bool:
        """Return whether a signal has stopped an idle child, in which a job would not begin."""
        if kernel.is_stopped(child.pid):
            log.warning("An idle child was stopped by a signal. It is replaced.")
            return True
        return False

    def _refill(self) -> None:
        """Request as many children as are missing for the waiting callers and the target number of idle children.

        A child for a waiting caller does not warm up, nor does any child while the target number of children is at work or
        the demand is high. Warming up takes 1.5 times as long as it saves in the next run.
        """
        if not self._up or self._zygote is None:
            return
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.done())
        missing = self._target + len(self._waiting) - len(self._idle) - len(self._zygote.pending)
        urgent = len(self._waiting) - len(self._zygote.pending)
        busy = len(self._at_work) >= self._target or self._demand.is_high
        try:
            for index in range(missing):
                self._zygote.spawn(warm=index >= urgent and not busy)
        except OSError as error:  # out of descriptors, or the socket is full; earlier requests are still served
            log.error("A child could not be requested: %s", error)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._refill)

    def _on_spawned(self, child: Child) -> None:
        """Give a new child to the first waiting caller, or keep it idle."""
        if child.job < 0:  # the child runs the self-test
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                self._demand.add()
                self._at_work.add(child)
                waiting.set_result(child)
                return
        self._idle.append(child)

    def _on_exited(self, child: Child) -> None:
        """Replace an idle child that exited, or a child that could not be forked."""
        if child in self._idle:
            self._idle.remove(child)
            child.close()
            log.warning("An idle child has exited.")
        elif child.pid >= 0:
            return
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._refill)

    def _fail(self, reason: str) -> None:
        """Set :attr:`failure`, and raise it in all waiting callers."""
        self.failure = reason
        self._settled.set()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(SandboxError(reason))
