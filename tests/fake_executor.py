"""An executor for tests that yields given events and runs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tapedeck import model, wire
from tapedeck.explain.findings import Findings, arranged, of_rules
from tapedeck.runs.run import LiveRun

from .torch_optimizers import TORCH_2_13


class FakeExecutor:
    """Yields the given batches of events. It awaits callables among them, raises exceptions, and stops at :func:`forever`."""

    ready = True
    failure: str | None = None
    mode = "full"
    selftest_age: float | None = 1.0
    optimizers = TORCH_2_13
    report: list[str] = []  # noqa: RUF012 (a protocol's attribute)

    def __init__(self, *batches: Any) -> None:
        self.batches = batches
        self.jobs: list[wire.Job] = []
        self.clients: list[str] = []
        self.running = 0
        self.most_running = 0

    async def start(self) -> None: ...
    async def settled(self) -> None: ...
    async def close(self) -> None: ...

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        self.jobs.append(job)
        self.clients.append(client)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for batch in self.batches:
                if isinstance(batch, list):
                    yield batch
                elif isinstance(batch, Exception):
                    raise batch
                elif batch is forever:
                    await cancelled.wait()
                    yield [wire.EndEvent("cancelled", wire.ProgramFailure("cancelled", "Stopped.", None, -1, ""), 3.0)]
                    return
                else:
                    await batch()
        finally:
            self.running -= 1


async def forever() -> None:
    """Mark the point at which the program runs until it is cancelled."""


def gate() -> tuple[asyncio.Event, Callable[[], Awaitable[object]]]:
    """Return an event, and a callable for a :class:`FakeExecutor` that waits for it."""
    event = asyncio.Event()
    return event, event.wait


class InlineFinder:
    """Makes findings in this process, or returns the given ones."""

    def __init__(self, findings: list[model.Finding] | None = None, omitted: list[str] | None = None) -> None:
        self.findings = findings
        self.omitted = omitted or []

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def find(self, recorded: LiveRun) -> Findings:
        if self.findings is not None:
            return Findings(self.findings, self.omitted)
        return arranged(of_rules(recorded.recording, recorded.new.program))
