"""Share work between callers: the first one starts it, and those that come later get the same result."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedWork(Generic[K, V]):
    """Results by key, each computed once. Create and use an instance on one event loop.

    A caller that leaves does not stop the work. A failure is not kept: the next caller starts again. At most ``most``
    results are kept: those that were used last.
    """

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._tasks: OrderedDict[K, asyncio.Task[V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tasks)

    async def get(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the result with a key. ``work`` computes it if nobody has started to."""
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks[key] = asyncio.get_running_loop().create_task(work())
        self._tasks.move_to_end(key)
        self._forget()
        return await asyncio.shield(task)

    def close(self) -> None:
        """Stop all work."""
        for task in self._tasks.values():
            task.cancel()

    def _forget(self) -> None:
        done = [key for key, task in self._tasks.items() if task.done()] if len(self._tasks) > self._most else []
        for key in done[: len(self._tasks) - self._most]:
            del self._tasks[key]
