"""Keep confined children ready, and hand each out once.

The pool has a zygote fork children ahead of need, and starts another zygote when one dies. It runs nothing before a child
has tried to get out and failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from typing import Final

import msgspec

from ..errors import SandboxError
from ..wire.catalogue import OptimizerCatalogue
from . import selftest
from .confine import best_mode
from .control import Mode, Plan
from .nursery import Child, Nursery

log = logging.getLogger(__name__)

_REFILL_SECONDS: Final = 0.02
"""How long after an answer the next child is forked: by then the answer has been drawn and sent."""
_RETRY_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 20.0
_PAUSES: Final = (0.0, 0.5, 2.0, 10.0, 30.0)
"""Seconds before a zygote that failed to start is started again."""
_TRIES: Final = 3
"""Failures in a row after which waiting callers are told."""
_FROM: Final[dict[Mode, tuple[Mode, ...]]] = {"full": ("full", "nofiles"), "nofiles": ("nofiles",), "none": ()}
"""Modes to try, from the best that the machine has. *none* is never chosen: it must be asked for."""
REMEDY: Final = (
    "Nothing on this machine can confine a program: run Tapedeck in a container on Linux, or, for your own code only and on a "
    "loopback address, set TAPEDECK_UNCONFINED=1."
)


class Unconfinable(SandboxError):
    """No mode passed its self-test: no program is run."""


class Pool:
    """Children that wait for a job. Made and used on one event loop."""

    def __init__(self, plan: Plan, idle: int) -> None:
        self.mode: Mode = "none"
        """How children are confined, once :attr:`ready`."""
        self.checks: list[selftest.Check] = []
        """What the last self-test saw."""
        self.notes: list[str] = []
        """Sentences of the zygote's about how it is confined."""
        self.optimizers: OptimizerCatalogue | None = None
        """The optimizers of the installed PyTorch, once a zygote has reported them."""
        self.failure: str | None = None
        """Why programs cannot be run here, if that is known."""
        self._modes: tuple[Mode, ...] = (plan.mode,) if plan.mode else _FROM[best_mode()]
        self._plan = plan
        self._wanted = idle
        self._idle: deque[Child] = deque()
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._nursery: Nursery | None = None
        self._up = False
        self._settled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether a zygote is up, tested, and able to fork."""
        return self._up

    @property
    def zygote(self) -> int | None:
        """Process id of the zygote."""
        return self._nursery.pid if self._nursery else None

    def start(self) -> None:
        """Begin to start the zygote; returns at once."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def settled(self) -> None:
        """Wait until it is known whether programs can be run here."""
        await self._settled.wait()

    def take_idle(self) -> Child | None:
        """Hand out a child as :meth:`take` does, if one is ready."""
        return self._idle.popleft() if self._idle else None

    async def take(self) -> Child:
        """Hand out a child that waits for its job. It must be given to :meth:`release`, whatever happens.

        Waits while the zygote starts. Raises :class:`SandboxError` when it cannot be started.
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
        """End a child that was handed out; another takes its place a little later."""
        child.close()
        asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._refill)

    async def close(self) -> None:
        """End the zygote and every child."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end_nursery()
        self._fail("The server is shutting down.")

    async def _keep(self) -> None:
        """Start a zygote whenever there is none."""
        failures = 0
        while True:
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            try:
                nursery = await self._bring_up()
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
                await nursery.lost.wait()
                log.warning("The sandbox's zygote ended; another is started.")
            await self._end_nursery()

    async def _bring_up(self) -> Nursery:
        """Start a zygote and have a child try to get out; where it can, start over with the next mode.

        Raises :class:`Unconfinable` after the last.
        """
        for mode in self._modes:
            nursery = self._nursery = Nursery(self._born, self._gone)
            ready = await nursery.start(msgspec.structs.replace(self._plan, mode=mode))
            self.mode, self.notes, self.optimizers = mode, ready.notes, ready.optimizers
            if mode == "none":
                log.warning("Programs are NOT confined.")
                return nursery
            self.checks = await self._probe(nursery)
            if selftest.passed(self.checks):
                log.info("Programs are confined, mode %s. %s", mode, " ".join(ready.notes))
                return nursery
            for check in self.checks:
                if not check.ok:
                    log.error("Self-test, mode %s: not so: %s. %s", mode, check.name, check.detail)
            await self._end_nursery()
        raise Unconfinable(REMEDY)

    async def _probe(self, nursery: Nursery) -> list[selftest.Check]:
        child = nursery.spawn(probe=True)
        child.close_job()
        try:
            await asyncio.wait_for(asyncio.shield(child.gone), _PROBE_SECONDS)
            return selftest.read(os.read(child.events, selftest.REPORT_BYTES))
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            return [selftest.Check("the self-test ran", False, repr(error))]
        finally:
            child.close()

    async def _end_nursery(self) -> None:
        self._up = False
        while self._idle:
            self._idle.popleft().close()
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            await nursery.close()

    def _refill(self) -> None:
        """Have as many forked as are wanted and waited for."""
        if not self._up or self._nursery is None:
            return
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.done())
        missing = self._wanted + len(self._waiting) - len(self._idle) - len(self._nursery.unborn)
        try:
            for _ in range(missing):
                self._nursery.spawn()
        except OSError as error:  # out of descriptors, or the socket is full: what was asked for comes
            log.error("No child could be asked for: %s", error)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._refill)

    def _born(self, child: Child) -> None:
        if child.job < 0:  # the self-test's
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(child)
                return
        self._idle.append(child)

    def _gone(self, child: Child) -> None:
        """Replace a child that died before it was given anything to do."""
        if child in self._idle:
            self._idle.remove(child)
            child.close()
            log.warning("An idle child ended.")
        elif child.pid >= 0:
            return
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._refill)

    def _fail(self, reason: str) -> None:
        """Tell everybody who waits that there will be nothing."""
        self.failure = reason
        self._settled.set()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(SandboxError(reason))
