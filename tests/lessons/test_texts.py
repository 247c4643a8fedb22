"""Tapedeck's own lessons have what a lesson needs, and each number, view and task in them is checked."""

from __future__ import annotations

import pytest
from tapedeck.explain.registry import RULES
from tapedeck.lessons import library
from tapedeck.lessons.cells import programs
from tapedeck.lessons.checking.check import LessonCheck
from tapedeck.lessons.document import DragTask, FixTask, Lesson, LessonCell, PredictTask, PresenterNote, WriteTask
from tapedeck.lessons.running.bench import Bench

LESSONS = pytest.mark.parametrize("lesson", library.own(), ids=lambda lesson: lesson.id)


def test_there_are_twelve_lessons_and_each_needs_only_earlier_ones() -> None:
    ids = [lesson.id for lesson in library.own()]
    assert len(ids) == 12
    assert all(set(lesson.needs) <= set(ids[:index]) for index, lesson in enumerate(library.own()))


@LESSONS
def test_a_lesson_asks_lets_its_reader_write_and_drag_and_gives_its_teacher_a_note(lesson: Lesson) -> None:
    blocks = list(programs.walk(lesson.blocks))
    predictions = [block for block in blocks if isinstance(block, PredictTask)]
    tasks = [block for block in blocks if isinstance(block, WriteTask | FixTask)]
    assert len(predictions) >= 3
    assert all(prediction.replies[-1].answer is None for prediction in predictions)
    assert tasks
    assert all(task.hints and task.mistakes for task in tasks)
    assert any(isinstance(block, DragTask) for block in blocks)
    assert any(isinstance(block, PresenterNote) for block in blocks)
    assert sum(isinstance(block, LessonCell) for block in blocks) >= 3


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.anyio
@LESSONS
async def test_the_check_of_a_lesson_reports_nothing(bench: Bench, lesson: Lesson) -> None:
    assert [str(problem) async for problem in LessonCheck(lesson, bench, RULES.keys()).problems()] == []
