"""Callers share work by its key, and a caller that leaves does not stop it."""

from __future__ import annotations

import asyncio

import pytest
from tapedeck.lessons.running.shared_work import SharedWork

pytestmark = pytest.mark.anyio


async def test_callers_share_work_and_a_failure_is_not_kept() -> None:
    started, go = 0, asyncio.Event()

    async def work() -> int:
        nonlocal started
        started += 1
        await go.wait()
        if started == 1:
            raise ValueError("not yet")
        return started

    shared = SharedWork[str, int]()
    first, second = (asyncio.ensure_future(shared.get("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    with pytest.raises(ValueError, match="not yet"):
        await second
    assert (await shared.get("a", work), await shared.get("a", work)) == (2, 2)


async def test_only_the_results_that_were_used_last_are_kept() -> None:
    async def work() -> str:
        return "done"

    shared = SharedWork[int, str](most=10)
    for key in range(50):
        await shared.get(key, work)
        await shared.get(0, work)
    assert len(shared) <= 11
    again: list[int] = []

    async def noted() -> str:
        again.append(0)
        return "again"

    assert await shared.get(0, noted) == "done"
    assert not again
