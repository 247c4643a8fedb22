"""Stand in for an executor: tells what it was given to tell, and runs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tapedeck import model, wire

from .torch_optimizers import TORCH_2_13


class FakeExecutor:
    """Yields given batches; a callable among them is awaited first; a class of error is raised."""

    ready = True
    failure: str | None = None
    mode = "full"
    optimizers = TORCH_2_13
    report: list[str] = []  # noqa: RUF012 (a protocol's attribute)

    def __init__(self, *batches: Any) -> None:
        self.batches = batches
        self.jobs: list[wire.Job] = []
        self.together = 0
        self.most_together = 0

    async def start(self) -> None: ...
    async def settled(self) -> None: ...
    async def close(self) -> None: ...

    async def run(self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event) -> AsyncIterator[list[wire.AnyEvent]]:
        self.jobs.append(job)
        self.together += 1
        self.most_together = max(self.most_together, self.together)
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
            self.together -= 1


async def forever() -> None:
    """Marks where a program goes on until it is stopped."""


def gate() -> tuple[asyncio.Event, Callable[[], Awaitable[object]]]:
    event = asyncio.Event()
    return event, event.wait
