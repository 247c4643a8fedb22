"""Provide a bench on which programs of lessons run in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tapedeck.lessons.running.bench import Bench
from tapedeck.model import Limits
from tapedeck.replays import Replays
from tapedeck.runs.archive import Archive
from tapedeck.runs.manager import Runs
from tapedeck.settings import Settings
from tapedeck.store import Store

from ..fake_executor import InlineFinder
from ..in_process import InProcess


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A bench without a sandbox and without a store on disk."""
    async with bench_on(InProcess()) as made:
        yield made


@asynccontextmanager
async def bench_on(executor: InProcess) -> AsyncIterator[Bench]:
    """Yield a bench on which an executor runs the programs."""
    limits = Limits()
    archive = Archive(Store(None), limits, 64 << 20)
    runs = Runs(Settings(data=":memory:"), archive, executor, InlineFinder(), 1)
    replays = Replays(limits, archive, executor, runs.slots)
    await archive.start()
    yield Bench(runs, replays, limits)
    await runs.close()
    await replays.close()
    await archive.close()
