"""Check a lesson against what its cells compute: its numbers, views, questions and tasks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from typing import Any, Final

import numpy as np

from ...recording.divergence import first_divergence
from ..cells import programs
from ..document import (
    Bound,
    DragTask,
    FixTask,
    Heading,
    Lesson,
    LessonCell,
    PredictTask,
    Prose,
    Scope,
    StageView,
    WriteTask,
)
from ..problems import LessonProblem
from ..running.bench import Bench
from ..running.recorded_lesson import RecordedLesson
from ..values import nodes, shown, stated
from ..values.bindings import Bindings, equal
from ..values.language import BindingError
from ..values.observed import Observed
from .check_tasks import check_drag, check_task

COMPARING_SECONDS: Final = 5.0
MOST_GRAPHS: Final = 100
DECIMAL: Final = re.compile(r"(?<![\w.])[-−]?\d+\.\d+(?![\w.])")
"""A decimal number in the prose, but not a version such as 2.13.0."""
SHORTEST_ANSWER: Final = 5
"""Shortest answer, in characters, whose appearance above its question gives it away."""


class LessonCheck:
    """The check of one lesson. ``codes`` are the codes of all findings; without them, codes are not checked."""

    def __init__(self, lesson: Lesson, bench: Bench, codes: Set[str] = frozenset()) -> None:
        self.lesson = lesson
        self._bench = bench
        self._codes = codes
        self._recorded = RecordedLesson(lesson, bench)
        self.stale: list[tuple[Bound, Any]] = []
        """The numbers whose text does not agree with their value, each with that value."""

    async def problems(self) -> AsyncIterator[LessonProblem]:
        """Yield the problems of the lesson, one check after another."""
        for problem in self._of_text():
            yield problem
        recordings: dict[str, Observed] = {}
        for name in self._recorded.cells:
            recordings |= await self._recorded.recordings(frozenset({name}))
            async for problem in self._of_recording(name, recordings[name]):
                yield problem
        bindings = Bindings(recordings)
        for bound in stated.values(self.lesson):
            for problem in self._of_number(bound, bindings):
                yield problem
        for problem in self._of_views(recordings):
            yield problem
        for block in programs.walk(self.lesson.blocks):
            match block:
                case PredictTask():
                    for problem in self._of_question(block, bindings):
                        yield problem
                case WriteTask() | FixTask():
                    async for line, what in check_task(self._recorded, block, self._number_in):
                        yield self._problem(line, what)
                case DragTask():
                    async for line, what in check_drag(self._recorded, block, self._number_in):
                        yield self._problem(line, what)
                case _:
                    pass

    def _problem(self, line: int, what: str) -> LessonProblem:
        return LessonProblem(self.lesson.file, line, what)

    def _warning(self, line: int, what: str) -> LessonProblem:
        return LessonProblem(self.lesson.file, line, what, "warning")

    # -- the text

    def _of_text(self) -> Iterator[LessonProblem]:
        above: list[str] = []
        for block in programs.walk(self.lesson.blocks):
            if isinstance(block, Heading | Prose | PredictTask):
                yield from self._of_unbound(block.texts)
            match block:
                case Heading():
                    above = []
                case Prose():
                    above += [number.shown for number in block.numbers]
                case PredictTask(answer=answer):
                    if answer and len(answer.shown) >= SHORTEST_ANSWER and answer.shown in above:
                        yield self._warning(block.line, f"The answer {answer.shown} is in the text above the question.")
                    if not any(reply.answer is None for reply in block.replies):
                        yield self._problem(block.line, "There is no reply to other answers: add `:::{reply} else`.")
                case FixTask(finding=str() as code) if self._codes and code not in self._codes:
                    yield self._problem(block.line, f"There is no finding `{code}`: /findings lists them.")
                case _:
                    pass

    def _of_unbound(self, texts: Sequence[tuple[int, str]]) -> Iterator[LessonProblem]:
        for line, text in texts:
            for number in DECIMAL.findall(text):
                yield self._problem(
                    line, f"{number} is not bound to a cell: write {{num}}`{number} <m.grad>`, or {{lit}}`{number}`."
                )

    # -- the recordings

    async def _of_recording(self, name: str, observed: Observed) -> AsyncIterator[LessonProblem]:
        cells = [each for each in programs.walk(self.lesson.blocks) if isinstance(each, LessonCell) and each.recording == name]
        error, expected = observed.recorded.error, cells[-1].raises if cells else None
        if cells and (error.type if error else None) != expected:
            line = self._line_of(cells, observed, error.line if error else None)
            ends = f"ends with {error.type}: {error.message}" if error else "ends without an exception"
            must = f"it must raise {expected}" if expected else "write `:raises:` if it must"
            yield self._problem(line, f"The recording `{name}` {ends}: {must}.")
        again = await self._recorded.again(name)
        found = first_divergence(observed.recorded.recording, again.recorded.recording, 0.0, seconds=COMPARING_SECONDS)
        if found.where is not None:
            line = cells[0].line if cells else 1
            yield self._problem(line, f"The recording `{name}` does not repeat itself: {found.sentence}")

    @staticmethod
    def _line_of(cells: Sequence[LessonCell], observed: Observed, line: int | None) -> int:
        """Return the line of the file that is line ``line`` of a recorded program."""
        for cell, (start, stop) in zip(cells, observed.program.cells, strict=False):
            if line is not None and start <= line <= stop:
                return cell.line + line - start
        return cells[-1].line

    # -- numbers

    def _of_number(self, bound: Bound, bindings: Bindings, scope: Scope | None = None) -> Iterator[LessonProblem]:
        for what in self._number_in(bound, bindings, scope or bound.scope):
            yield self._problem(bound.line, what)

    def _number_in(self, bound: Bound, bindings: Bindings, scope: Scope | None) -> Iterator[str]:
        """Yield the problems of a number that is evaluated over some recordings."""
        if bound.shown and bound.shown == bound.binding.strip("[]"):
            return  # a literal
        try:
            value = bindings.value(bound.binding, scope)
            if bound.shown and shown.agrees(bound.shown, value):
                return
        except BindingError as error:
            yield str(error)
            return
        self.stale.append((bound, value))
        computed = shown.rewritten(bound.shown, value)
        if bound.shown:
            yield f"{bound.shown} should be {computed}, the value of `{bound.binding}`."
        else:
            yield f"Without scripts, nobody can read the answer: write `{computed} <{bound.binding}>`."

    # -- views

    def _of_views(self, recordings: Mapping[str, Observed]) -> Iterator[LessonProblem]:
        before, jumps = None, 0
        for block in programs.walk(self.lesson.blocks):
            if isinstance(block, Heading):
                jumps = 0
            view = block.view if isinstance(block, Heading | Prose) else None
            if isinstance(block, PredictTask) and block.opens:
                view = block.opens.view
            if view is None:
                continue
            yield from self._of_view(view, recordings)
            jumps += before is not None and view.recording != before
            if view.recording != before and jumps == 2:
                yield self._warning(view.line, "The stage changes its recording twice in this section: change it at most once.")
            before = view.recording

    def _of_view(self, view: StageView, recordings: Mapping[str, Observed]) -> Iterator[LessonProblem]:
        for name in filter(None, (view.recording, view.laid_over)):
            if name not in recordings:
                yield self._problem(view.line, f"There is no recording `{name}`: there are {', '.join(recordings)}.")
                return
        observed = recordings[view.recording]
        if view.step is not None:
            try:
                observed.step_index(view.step)
            except BindingError as error:
                yield self._problem(view.line, str(error))
        if view.playhead is not None and not 1 <= view.playhead <= observed.program.plain[-1][1]:
            yield self._problem(view.line, f"The recording `{view.recording}` has no line {view.playhead}.")
        for name in [*view.focus, *([view.select] if view.select else [])]:
            if not _has_node(observed, name):
                yield self._problem(view.line, f"The recording `{view.recording}` has no node and no variable `{name}`.")

    # -- questions

    def _of_question(self, task: PredictTask, bindings: Bindings) -> Iterator[LessonProblem]:
        answers: list[tuple[int, Any]] = []
        for bound in [task.answer, *(reply.answer for reply in task.replies)]:
            if bound is None or (task.choices and bound is task.answer):
                continue
            value = _value_of(bound, bindings)
            if any(_same(value, other, task.tolerance) for _, other in answers):
                which = "the answer" if _same(value, answers[0][1], task.tolerance) and task.answer else "an earlier reply"
                yield self._problem(
                    bound.line, f"The reply to {bound.shown or bound.binding} is also for {which}: leave one out."
                )
            answers.append((bound.line, value))


def _value_of(bound: Bound, bindings: Bindings) -> Any:
    """Return the value of an answer: the numbers of its text, or the value of its binding, as a list."""
    try:
        if bound.shown:
            return np.array([number for number, _ in shown.numbers_of(bound.shown)])
        value = bindings.value(bound.binding, bound.scope)
    except BindingError:
        return bound.shown or bound.binding
    return value if value is None or isinstance(value, str | bool) else np.ravel(value)


def _same(one: Any, two: Any, tolerance: float) -> bool:
    return np.shape(one) == np.shape(two) and equal(one, two, relative=tolerance, absolute=0.0)


def _has_node(observed: Observed, name: str) -> bool:
    """Return whether a recording has a node with a name, or binds the name to a value."""
    recording = observed.recorded.recording
    graphs = (recording.graph(index) for index in range(min(recording.log.counts()[0], MOST_GRAPHS)))
    if any(nodes.find(graph, recording.program, name) for graph in graphs):
        return True
    return name in observed.variables
