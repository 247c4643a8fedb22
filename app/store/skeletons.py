"""Split an event into its skeleton, which many events share, and its own integers, floats, texts and table numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .. import wire
from ..recording import split_options

_pack = msgspec.msgpack.Encoder().encode


class SplitEvent(Struct, frozen=True):
    """The parts of one event. Events with the same skeleton have the same numbers of integers, floats and texts, and equal
    table layouts."""

    skeleton: bytes
    integers: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    table: wire.TensorTable | None = None


def split(event: wire.AnyEvent) -> SplitEvent:
    """Split an event; :func:`join` undoes it."""
    match event:
        case wire.PassEvent():
            parent = min(event.parent, 0)
            bare = replace(event, index=0, step=0, parent=parent, tensors=_without_numbers(event.tensors))
            return SplitEvent(_pack(bare), (event.index, event.step, event.parent), table=event.tensors)
        case wire.StepEvent():
            return _split_step(event)
        case wire.LinesEvent():
            rows, texts = _without_texts(event.rows)
            lines = replace(event, rows=rows, tensors=_without_numbers(event.tensors))
            return SplitEvent(_pack(lines), texts=texts, table=event.tensors)
        case wire.ProgressEvent():
            return SplitEvent(_pack(replace(event, done=0, of=-1)), (event.done, event.of))
        case wire.OutputEvent():
            return SplitEvent(_pack(replace(event, text="")), texts=(event.text,))
        case _:
            return SplitEvent(_pack(event))


def _split_step(event: wire.StepEvent) -> SplitEvent:
    numbers: list[float] = []
    integers = [event.index, event.main, *event.passes]
    iteration, ended = event.iteration, event.ended
    if ended is not None:
        integers.append(ended.ran)
        ended = replace(ended, ran=0)
    if iteration is not None:
        integers.append(iteration[1])  # the last integer, because groups of steps expect it there
        iteration = (iteration[0], 0)
    optimizer, groups = split_options(event, numbers)
    rows, texts = _without_texts(event.values)
    bare = replace(
        event,
        index=0,
        iteration=iteration,
        values=rows,
        main=0,
        passes=[0] * len(event.passes),
        optimizer=optimizer,
        tensors=_without_numbers(event.tensors),
        groups=groups,
        ended=ended,
    )
    return SplitEvent(_pack(bare), tuple(integers), tuple(numbers), texts, event.tensors)


def join(skeleton: wire.AnyEvent, parts: SplitEvent) -> wire.AnyEvent:
    """Return the event with this decoded skeleton and these parts. The table of ``parts`` needs only its numbers."""
    integers = parts.integers
    match skeleton:
        case wire.PassEvent():
            index, step, parent = integers
            return replace(
                skeleton, index=index, step=step, parent=parent, tensors=_with_numbers(skeleton.tensors, parts.table)
            )
        case wire.StepEvent():
            return _join_step(skeleton, parts)
        case wire.LinesEvent():
            rows = _with_texts(skeleton.rows, parts.texts)
            return replace(skeleton, rows=rows, tensors=_with_numbers(skeleton.tensors, parts.table))
        case wire.ProgressEvent():
            done, of = integers
            return replace(skeleton, done=done, of=of)
        case wire.OutputEvent():
            return replace(skeleton, text=parts.texts[0])
        case _:
            return skeleton


def _join_step(bare: wire.StepEvent, parts: SplitEvent) -> wire.StepEvent:
    index, main, *rest = parts.integers
    numbers = iter(parts.numbers)
    count = len(bare.passes)
    return replace(
        bare,
        index=index,
        main=main,
        passes=rest[:count],
        iteration=None if bare.iteration is None else (bare.iteration[0], rest[-1]),
        ended=None if bare.ended is None else replace(bare.ended, ran=rest[count]),
        values=_with_texts(bare.values, parts.texts),
        optimizer=None if bare.optimizer is None else _with_floats(bare.optimizer, numbers),
        groups=[replace(row, options=_with_floats(row.options, numbers)) for row in bare.groups],
        tensors=_with_numbers(bare.tensors, parts.table),
    )


def _without_numbers(table: wire.TensorTable) -> wire.TensorTable:
    return replace(table, stats=b"", counts=b"", values=b"")


def _with_numbers(bare: wire.TensorTable, numbers: wire.TensorTable | None) -> wire.TensorTable:
    assert numbers is not None
    return replace(bare, stats=numbers.stats, counts=numbers.counts, values=numbers.values)


def _without_texts(rows: list[wire.LineRow]) -> tuple[list[wire.LineRow], tuple[str, ...]]:
    bare = [row if row.text is None else replace(row, text="") for row in rows]
    return bare, tuple(row.text for row in rows if row.text is not None)


def _with_texts(rows: list[wire.LineRow], texts: tuple[str, ...]) -> list[wire.LineRow]:
    left = iter(texts)
    return [row if row.text is None else replace(row, text=next(left)) for row in rows]


def _with_floats(options: dict[str, Any], numbers: Iterator[float]) -> dict[str, Any]:
    return {name: next(numbers) if type(value) is float else value for name, value in options.items()}
