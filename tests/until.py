"""Wait for a condition in an asynchronous test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until a condition is met. Fail the test if it is never met."""
    for _ in range(5_000):  # counted, not timed, because a busy machine may pause for long
        if true():
            return
        await asyncio.sleep(0.005)
    pytest.fail("The condition was never met.")
