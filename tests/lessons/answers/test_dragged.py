"""The numbers of a lesson are read in its recordings, and again when a number of a program is dragged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tapedeck.lessons.answers.numbers import LessonNumbers
from tapedeck.lessons.document import DragTask
from tapedeck.lessons.reading import reader
from tapedeck.lessons.running.bench import Bench
from tapedeck.lessons.running.recorded_lesson import RecordedLesson

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:The .grad attribute")]

SAMPLE = (Path(__file__).parents[1] / "sample.md").read_text()


async def test_numbers_follow_the_dragged_number_and_readers_share_them(bench: Bench) -> None:
    text = SAMPLE.replace(":answer: -9.3333 <m.grad>", ":answer: m.grad")
    lesson = reader.read(text)
    task = next(block for block in lesson.blocks if isinstance(block, DragTask))
    numbers = LessonNumbers(RecordedLesson(lesson, bench))
    # an answer without a text of its own has one from the recording
    assert "-9.3333" in (await numbers.stated()).values()
    # the value is the multiple of the step that is closest, within the range
    assert numbers.pull(task, 1.52).value == 1.5
    assert numbers.pull(task, 99.0).value == 4.0
    uneven = msgspec.structs.replace(task, high=2.0, step=0.3)  # the slider ends at 1.8, and 2.1 is outside of its range
    assert [numbers.pull(uneven, value).value for value in (1.96, 99.0, -1.0)] == [1.8, 1.8, 0.0]
    assert "m = torch.tensor(1.5, requires_grad=True)" in numbers.pull(task, 1.52).cells[0]
    # y_pred - y is -0.5, -1, -1.5: the gradient at m * x is 2/3 of it, and m.grad the sum of its products with x
    read = await numbers.pulled(task, numbers.pull(task, 1.5))
    assert "-0.3333, -0.6667, -1.0000" in read.values()
    assert "-4.6667" in read.values()
    assert await numbers.pulled(task, numbers.pull(task, 1.51)) is read
