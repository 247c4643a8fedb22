"""List what a lesson states about its recordings, and where each statement is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ..cells import programs
from ..document import Block, Bound, DragTask, FixTask, Heading, Lesson, PredictTask, Prose, Scope, WriteTask
from . import language
from .language import BindingError


def values(lesson: Lesson) -> Iterator[Bound]:
    """Yield the values that are read from the recordings of a lesson: numbers in its text, and right and wrong answers.

    The numbers in replies to mistakes are left out, because they are read from the run of the mistake. So are the numbers in
    statements about a dragged number.
    """
    for block in _of_recordings(lesson.blocks):
        if isinstance(block, Heading | Prose):
            yield from block.numbers
        elif isinstance(block, PredictTask):
            yield from block.numbers
            yield from (each for each in (block.answer, *(reply.answer for reply in block.replies)) if each and each.binding)


def _of_recordings(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        match block:
            case PredictTask():
                for inside in programs.bodies(block):
                    yield from _of_recordings(inside)
            case WriteTask() | FixTask():
                for inside in (block.body, *block.hints):
                    yield from _of_recordings(inside)
            case DragTask():
                yield from _of_recordings(block.body)
            case _:
                pass


def read_in_recordings(lesson: Lesson) -> Iterator[tuple[ast.expr, Scope | None]]:
    """Yield the expressions that are read in the recordings of a lesson, those of its judges included.

    Expressions that cannot be parsed are left out.
    """
    texts = [(value.binding, value.scope) for value in values(lesson)]
    for block in programs.walk(lesson.blocks):
        if isinstance(block, WriteTask) and block.judge:
            texts += [(text, block.scope) for text in tape_sides(block.judge)]
    for text, scope in texts:
        try:
            yield language.parse(text), scope
        except BindingError:
            continue


def tape_sides(judge: str) -> list[str]:
    """Return the right sides of the comparisons of a judge, which are read in the recording.

    >>> tape_sides("dm == m.grad and len(leaves(loss)) == 2")
    ['m.grad', '2']
    """
    try:
        return [ast.unparse(each.comparators[0]) for each in comparisons(judge) if isinstance(each, ast.Compare)]
    except BindingError:
        return []


def comparisons(judge: str) -> list[ast.expr]:
    """Return the parts of a condition that must all hold. Raises :class:`BindingError`."""
    node = language.parse(judge)
    return node.values if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) else [node]
