"""Write the numbers of a lesson as its readers see them, also after a number of a program was dragged."""

from __future__ import annotations

import ast
import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from ...runs.turns import Client
from ..cells import dragged
from ..document import Bound, DragTask, Scope
from ..running.bench import Reads, reads
from ..running.recorded_lesson import RecordedLesson
from ..running.shared_work import SharedWork
from ..values import language, shown, stated
from ..values.bindings import Bindings
from ..values.language import BindingError


class Pull(Struct, frozen=True):
    """A value to which a number of a program is dragged, and the cells of the program with this value."""

    value: float
    cells: list[str]


class LessonNumbers:
    """The numbers of one lesson as texts, by the ids of their bindings. Create and use an instance on one event loop."""

    def __init__(self, recorded: RecordedLesson) -> None:
        self._recorded = recorded
        self._bounds = list(stated.values(recorded.lesson))
        self._pulled = SharedWork[tuple[str, float], Mapping[int, str]]()
        """The texts of numbers after a number was dragged, by task and value."""

    async def stated(self) -> Mapping[int, str]:
        """Return the numbers that the lesson states without a text of their own, such as answers to questions."""
        bindings = Bindings(await self._recorded.recordings())
        return await asyncio.to_thread(_texts, bindings, [each for each in self._bounds if not each.shown])

    def pull(self, task: DragTask, value: float) -> Pull:
        """Return the program in which a number has the value of the task's range that is closest to ``value``."""
        near = dragged.nearest(task, value)
        return Pull(near, dragged.replaced(self._recorded.cells[task.recording], task.name, near))

    async def pulled(self, task: DragTask, pull: Pull, client: Client | None = None) -> Mapping[int, str]:
        """Return the numbers that are read in the task's recording, for the changed program. All readers share the result.

        The program runs in turn with other programs of ``client``, the first reader who asks. Raises the errors of
        :meth:`..running.bench.Bench.observe`.
        """
        return await self._pulled.get((task.name, pull.value), lambda: self._read(task, pull.cells, client))

    async def _read(self, task: DragTask, cells: list[str], client: Client | None) -> Mapping[int, str]:
        recorded = self._recorded
        bounds = [each for each in self._bounds if each.scope is not None and each.scope.recording == task.recording]
        counts = {name: len(each) for name, each in recorded.cells.items()}
        wanted = reads(_parsed(bounds), counts).get(task.recording, Reads())
        observed, others = await asyncio.gather(
            recorded.bench.observe(cells, wanted, seed=recorded.lesson.seed, client=client), recorded.recordings()
        )
        return await asyncio.to_thread(_texts, Bindings({**others, task.recording: observed}), bounds)


def _texts(bindings: Bindings, bounds: Iterable[Bound]) -> dict[int, str]:
    """Return the values of bindings as texts, in the style of the lesson. Bindings without a value are left out."""
    texts = {}
    for bound in bounds:
        with contextlib.suppress(BindingError, IndexError, KeyError):
            texts[bound.id] = shown.rewritten(bound.shown, bindings.value(bound.binding, bound.scope))
    return texts


def _parsed(bounds: Iterable[Bound]) -> list[tuple[ast.expr, Scope | None]]:
    parsed = list[tuple[ast.expr, Scope | None]]()
    for bound in bounds:
        with contextlib.suppress(BindingError):
            parsed.append((language.parse(bound.binding), bound.scope))
    return parsed
