"""Record a lesson once, for all of its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ..runs.turns import Client
from . import programs, stated
from .bench import Bench, Reads, reads
from .document import Lesson
from .observed import Observed


class RecordedLesson:
    """A lesson with its recordings, each made on first use. Create and use an instance on one event loop."""

    def __init__(self, lesson: Lesson, bench: Bench) -> None:
        self.lesson = lesson
        self.bench = bench
        self.cells = programs.recordings(lesson)
        """The code of the cells of each recording, by its name."""
        self._reads = reads(stated.read_in_recordings(lesson), {name: len(cells) for name, cells in self.cells.items()})
        self._recorded: dict[str, asyncio.Task[Observed]] = {}

    async def recordings(self, names: frozenset[str] | None = None, client: Client | None = None) -> Mapping[str, Observed]:
        """Return recordings of the lesson by name; by default all. Those that are not recorded yet are recorded now."""
        chosen = [name for name in self.cells if names is None or name in names]
        return dict(zip(chosen, await asyncio.gather(*(self._recording(name, client) for name in chosen)), strict=True))

    async def again(self, name: str) -> Observed:
        """Record one recording of the lesson once more, to compare it with the first."""
        return await self.bench.observe(self.cells[name], self._reads.get(name, Reads()), seed=self.lesson.seed)

    async def _recording(self, name: str, client: Client | None) -> Observed:
        """Return one recording. All callers share it, and one that leaves does not stop it."""
        task = self._recorded.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            work = self.bench.observe(self.cells[name], self._reads.get(name, Reads()), seed=self.lesson.seed, client=client)
            task = self._recorded[name] = asyncio.get_running_loop().create_task(work)
        return await asyncio.shield(task)

    def close(self) -> None:
        """Stop recording."""
        for task in self._recorded.values():
            task.cancel()
