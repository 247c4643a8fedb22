"""Check whether programs can be run and their recordings be stored, for ``/readyz``."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from msgspec import Struct

from ..executor import OVERDUE_SECONDS, Executor

FRESH_SECONDS: Final = 5.0
"""Seconds for which a check of the store is valid, so that frequent requests cost no writes."""
PROBE_SECONDS: Final = 5.0
"""Longest time in seconds that the store may take to answer."""


class ReadinessCheck(Struct, frozen=True):
    """One condition for running programs. ``detail`` says what is wrong, or what was observed."""

    name: str
    ok: bool
    detail: str


class Readiness(Struct, frozen=True):
    """Whether programs can be run, how they are confined, the sandbox's report in sentences, and every condition.

    ``ready`` is true if every check is ``ok``.
    """

    ready: bool
    mode: str
    report: list[str]
    checks: list[ReadinessCheck] = []


class _Probed(Protocol):
    async def probe(self) -> str | None:
        """Return why a run cannot be stored at the moment, or ``None``."""


class ReadinessChecks:
    """The conditions for running programs. Create and use an instance on one event loop."""

    def __init__(self, executor: Executor, archive: _Probed) -> None:
        self._executor = executor
        self._archive = archive
        self._probing: asyncio.Task[str | None] | None = None
        self._begun = 0.0

    async def all(self) -> list[ReadinessCheck]:
        """Return the result of every check."""
        return [self._sandbox(), self._selftest(), await self._store()]

    def _sandbox(self) -> ReadinessCheck:
        if self._executor.ready:
            return ReadinessCheck("sandbox", True, "Programs can be started.")
        return ReadinessCheck("sandbox", False, self._executor.failure or "The sandbox is starting, or it does not answer.")

    def _selftest(self) -> ReadinessCheck:
        age = self._executor.selftest_age
        if age is None:
            ok = self._executor.mode == "none"  # programs run unconfined, or the sandbox is not ready
            return ReadinessCheck("self-test", ok, "The sandbox has not been tested.")
        return ReadinessCheck("self-test", age < OVERDUE_SECONDS, f"The sandbox passed its self-test {age:.0f} s ago.")

    async def _store(self) -> ReadinessCheck:
        """Check the store, or return the result of a check that is fresh or in progress."""
        if self._probing is None or (self._probing.done() and time.monotonic() > self._begun + FRESH_SECONDS):
            self._begun = time.monotonic()
            self._probing = asyncio.get_running_loop().create_task(self._archive.probe())
        await asyncio.wait([self._probing], timeout=PROBE_SECONDS)
        if not self._probing.done():
            return ReadinessCheck("store", False, f"The store did not answer within {PROBE_SECONDS:g} s.")
        if self._probing.exception() is not None:
            return ReadinessCheck("store", False, f"The store failed: {self._probing.exception()}")
        problem = self._probing.result()
        return ReadinessCheck("store", problem is None, problem or "Recordings can be stored.")
