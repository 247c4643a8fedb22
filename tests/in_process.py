"""An executor for tests that runs programs in the test's own process, unconfined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tapedeck import model, wire
from tapedeck.tracer.main import execute

from .fake_executor import FakeExecutor


class InProcess(FakeExecutor):
    """Runs programs in the test's own process, unconfined."""

    def __init__(self) -> None:
        super().__init__()

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        self.jobs.append(job)
        reader = wire.Reader(limits, replay=job.replay is not None)
        events: list[wire.AnyEvent] = []
        execute(job, lambda data: events.extend(reader.feed(data)))
        yield events
