"""Keep the lessons of a server, each with its recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from ..errors import NotFound
from .answers.judge import Judge
from .answers.numbers import LessonNumbers
from .cells.programs import walk
from .document import DragTask, FixTask, Lesson, WriteTask
from .running.bench import Bench
from .running.recorded_lesson import RecordedLesson

T = TypeVar("T")


class Shelf:
    """Lessons by id, in their order. ``load`` reads them, on first use. Create and use an instance on one event loop."""

    def __init__(self, load: Callable[[], Sequence[Lesson]], bench: Bench) -> None:
        self._load = load
        self._bench = bench
        self._recorded: dict[str, RecordedLesson] = {}
        self._judges: dict[str, Judge] = {}
        self._numbers: dict[str, LessonNumbers] = {}

    def load(self) -> None:
        """Read the lessons, which takes some tenths of a second. Raises the errors of :mod:`.library`."""
        _ = self.lessons

    @cached_property
    def lessons(self) -> list[Lesson]:
        """All lessons in their order."""
        return list(self._load())

    @cached_property
    def _by_id(self) -> dict[str, Lesson]:
        return {lesson.id: lesson for lesson in self.lessons}

    def lesson(self, id: str) -> Lesson:
        """Return the lesson with an id. Raises :class:`NotFound`."""
        if (found := self._by_id.get(id)) is None:
            known = ", ".join(self._by_id) or "there are none"
            raise NotFound(f"There is no lesson {id[:60]!r}: the lessons are {known}.")
        return found

    def write_task(self, id: str, name: str) -> WriteTask:
        """Return a task of a lesson in which code is written. Raises :class:`NotFound`."""
        tasks = {task.name: task for task in walk(self.lesson(id).blocks) if isinstance(task, WriteTask)}
        return _named(tasks, name, "write")

    def fix_task(self, id: str, name: str) -> FixTask:
        """Return a task of a lesson in which a program is fixed. Raises :class:`NotFound`."""
        tasks = {task.name: task for task in walk(self.lesson(id).blocks) if isinstance(task, FixTask)}
        return _named(tasks, name, "break-fix")

    def drag_task(self, id: str, name: str) -> DragTask:
        """Return the task of a lesson in which a number is dragged. Raises :class:`NotFound`."""
        tasks = {task.name: task for task in walk(self.lesson(id).blocks) if isinstance(task, DragTask)}
        return _named(tasks, name, "drag")

    def recorded(self, id: str) -> RecordedLesson:
        """Return the recordings of a lesson. Raises :class:`NotFound`."""
        lesson = self.lesson(id)
        if id not in self._recorded:
            self._recorded[id] = RecordedLesson(lesson, self._bench)
        return self._recorded[id]

    def judge(self, id: str) -> Judge:
        """Return the judge of a lesson. Raises :class:`NotFound`."""
        if id not in self._judges:
            self._judges[id] = Judge(self.recorded(id))
        return self._judges[id]

    def numbers(self, id: str) -> LessonNumbers:
        """Return the numbers of a lesson. Raises :class:`NotFound`."""
        if id not in self._numbers:
            self._numbers[id] = LessonNumbers(self.recorded(id))
        return self._numbers[id]

    def close(self) -> None:
        """Stop recording."""
        for recorded in self._recorded.values():
            recorded.close()


def _named(tasks: dict[str, T], name: str, kind: str) -> T:
    if name not in tasks:
        raise NotFound(f"This lesson has no {kind} task {name[:60]!r}: it has {', '.join(tasks) or 'none'}.")
    return tasks[name]
