"""A server that has served many runs and reads keeps no more objects than one that has served few."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from tapedeck import model, wire
from tapedeck.main import create_app
from tapedeck.settings import Settings
from tapedeck.store import log

from ..fake_executor import FakeExecutor, InlineFinder
from ..handmade_events import FIT, GRAPH, fit
from .conftest import client_of

pytestmark = pytest.mark.anyio

RUNS = 120
"""Runs in total, each read several times."""


class MixedExecutor(FakeExecutor):
    """Yields recordings of several lengths, and now and then one that has many graphs or fails."""

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        number = len(self.jobs)
        self.jobs.append(job)
        events = fit(2 + 15 * (number % 4))
        if number % 7 == 0:
            events[3:3] = [msgspec.structs.replace(GRAPH, index=index) for index in range(1, 20)]
        if number % 11 == 0:
            yield events[:5]
            raise OSError("the child is gone")
        for start in range(0, len(events), 30):
            yield events[start : start + 30]
            await asyncio.sleep(0)


async def _turn(client: httpx.AsyncClient, chance: random.Random, known: list[str]) -> None:
    """Start four runs at once, and read from some of all runs at once, as several visitors would."""
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/runs", content=FIT, headers={"Content-Type": "text/x-python", "Prefer": "wait=5"})
            for _ in range(4)
        )
    )
    known += [answer.json()["id"] for answer in answers if answer.status_code in (200, 201, 202)]
    paths = []
    for id in chance.sample(known, min(len(known), 4)):
        url = f"/api/v1/runs/{id}"
        paths += [url, f"{url}/steps", f"{url}/passes/0", url]
    found = await asyncio.gather(*(client.get(path) for path in paths))
    assert all(answer.status_code < 500 for answer in found)
    if len(known) > 30:
        await client.delete(f"/api/v1/runs/{known.pop(chance.randrange(len(known)))}")


async def test_the_objects_in_a_server_do_not_grow_with_the_runs_that_it_has_served(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "CACHE_BYTES", 60_000)
    app = create_app(Settings(data=str(tmp_path)), executor=MixedExecutor(), finder=InlineFinder())
    chance = random.Random(0)
    known: list[str] = []
    sizes: list[int] = []
    objects: list[int] = []
    gc.collect()
    gc.freeze()  # only the objects of this test are counted
    async with app.router.lifespan_context(app), client_of(app) as client:
        service = app.state.service
        archive, cache = service.archive, service.archive._store._blocks
        monkeypatch.setattr("tapedeck.runs.archive.RECENT_RUNS", 8)
        for turn in range(RUNS // 4):
            await _turn(client, chance, known)
            assert cache.cached_bytes == sum(block.size for block in cache._blocks.values()) <= log.CACHE_BYTES
            assert archive._recent_bytes == sum(recorded.size for recorded in archive._recent.values())
            if turn % 5 == 4:
                gc.collect()
                sizes.append(cache.cached_bytes)
                objects.append(len(gc.get_objects()))
        assert not service.runs._live
        assert not service.runs._by_key
        assert not cache._loading
    assert max(sizes[len(sizes) // 2 :]) > 0  # the cache is still in use
    assert objects[-1] < 1.25 * objects[len(objects) // 2]
