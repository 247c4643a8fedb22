"""Provide a bench on which programs of lessons run in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tapedeck.lessons.bench import Bench
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
    limits = Limits()
    archive = Archive(Store(None), limits, 64 << 20)
    executor = InProcess()
    runs = Runs(Settings(data=":memory:"), archive, executor, InlineFinder(), 1)
    replays = Replays(limits, archive, executor, runs.slots)
    await archive.start()
    yield Bench(runs, replays, limits)
    await runs.close()
    await replays.close()
    await archive.close()
