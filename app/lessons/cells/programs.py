"""Join the cells of a recording into the program that is run, and find the blocks and values of a lesson."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ... import model
from ..document import Block, Bound, DragTask, FixTask, Heading, Lesson, LessonCell, PredictTask, Prose, WriteTask


def joined(cells: Sequence[str]) -> model.Program:
    """Return cells as the program of a notebook: they share a namespace, and a blank line separates them.

    >>> joined(["a = 1", "b = 2\\nc = 3"]).cells
    [(1, 1), (3, 4)]
    """
    ranges, line = [], 1
    for cell in cells:
        end = line + cell.count("\n")
        ranges.append((line, end))
        line = end + 2
    return model.Program("\n\n".join(cells) + "\n", "notebook", ranges)


def cells_of(lesson: Lesson, recording: str) -> list[str]:
    """Return the code of each cell of a recording. The faulty program of a task is a recording with the name of the task.

    Raises :class:`KeyError` if there is no such recording.
    """
    found = recordings(lesson)
    return found[recording]


def recordings(lesson: Lesson) -> dict[str, list[str]]:
    """Return the code of the cells of each recording, by its name. The faulty programs of tasks come last."""
    found: dict[str, list[str]] = {}
    fixes = []
    for block in walk(lesson.blocks):
        if isinstance(block, LessonCell):
            found.setdefault(block.recording, []).append(block.code)
        elif isinstance(block, FixTask):
            fixes.append(block)
    for fix in fixes:
        found[fix.name] = [*found.get(fix.starts, [])[: fix.cells], fix.program]
    return found


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield blocks with those inside them, in reading order."""
    for block in blocks:
        yield block
        for inside in bodies(block):
            yield from walk(inside)


def bodies(block: Block) -> Iterator[list[Block]]:
    """Yield lists of blocks inside a block: text, replies, hints, replies to mistakes, statements about a dragged number."""
    match block:
        case PredictTask():
            yield block.body
            yield from (reply.body for reply in block.replies)
        case WriteTask() | FixTask():
            yield block.body
            yield from block.hints
            yield from (mistake.body for mistake in block.mistakes)
        case DragTask():
            yield block.body
            yield from (sight.body for sight in block.sees)
        case _:
            pass


def bounds(blocks: Sequence[Block]) -> Iterator[Bound]:
    """Yield the numbers in the text of blocks and of those inside them."""
    for block in walk(blocks):
        if isinstance(block, Heading | Prose | PredictTask):
            yield from block.numbers
