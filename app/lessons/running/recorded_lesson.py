"""Record a lesson once, for all of its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from ..cells import programs
from ..document import Lesson
from ..values import stated
from ..values.observed import Observed
from .bench import Bench, Reads, reads
from .shared_work import SharedWork


class RecordedLesson:
    """A lesson with its recordings, each made on first use. Create and use an instance on one event loop."""

    def __init__(self, lesson: Lesson, bench: Bench) -> None:
        self.lesson = lesson
        self.bench = bench
        self.cells = programs.recordings(lesson)
        """The code of the cells of each recording, by its name."""
        self._reads = reads(stated.read_in_recordings(lesson), {name: len(cells) for name, cells in self.cells.items()})
        self._recorded = SharedWork[str, Observed]()

    async def recordings(self, names: frozenset[str] | None = None) -> Mapping[str, Observed]:
        """Return recordings of the lesson by name; by default all. Those that are not recorded yet are recorded now."""
        chosen = [name for name in self.cells if names is None or name in names]
        found = await asyncio.gather(*(self._recorded.get(name, partial(self.again, name)) for name in chosen))
        return dict(zip(chosen, found, strict=True))

    async def again(self, name: str) -> Observed:
        """Run the cells of one recording and return the result, even if they were recorded before."""
        return await self.bench.observe(self.cells[name], self._reads.get(name, Reads()), seed=self.lesson.seed)

    def close(self) -> None:
        """Stop recording."""
        self._recorded.close()
