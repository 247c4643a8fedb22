"""Split an event into its skeleton, which many events share, and its own integers, floats, texts and table numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from .. import wire
from ..recording import split_options

_pack = msgspec.msgpack.Encoder().encode


class SplitEvent(Struct, frozen=True):
    """One event. Events with the same skeleton have equal numbers of everything, and tables with the same layout."""

    skeleton: bytes
    integers: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    table: wire.TensorTable | None = None


def split(event: wire.AnyEvent) -> SplitEvent:
    """Split an event; :func:`join` undoes it."""
    match event:
        case wire.PassEvent():
            bare = wire.PassEvent(
                0, 0, event.kind, min(event.parent, 0), event.graph, event.line, event.order, event.value, event.arrived,
                event.used, event.edge, event.saved, _without_numbers(event.tensors), event.failed,
            )  # fmt: skip
            return SplitEvent(_pack(bare), (event.index, event.step, event.parent), table=event.tensors)
        case wire.StepEvent():
            return _split_step(event)
        case wire.LinesEvent():
            rows, texts = _without_texts(event.rows)
            return SplitEvent(_pack(wire.LinesEvent(rows, _without_numbers(event.tensors))), texts=texts, table=event.tensors)
        case wire.ProgressEvent():
            return SplitEvent(_pack(wire.ProgressEvent(0)), (event.done, event.of))
        case wire.OutputEvent():
            return SplitEvent(_pack(wire.OutputEvent("", event.cell)), texts=(event.text,))
        case _:
            return SplitEvent(_pack(event))


def _split_step(event: wire.StepEvent) -> SplitEvent:
    numbers: list[float] = []
    integers = [event.index, event.main, *event.passes]
    iteration = event.iteration
    if iteration is not None:
        integers.append(iteration[1])
        iteration = (iteration[0], 0)
    optimizer, groups = split_options(event, numbers)
    rows, texts = _without_texts(event.values)
    bare = wire.StepEvent(
        0, iteration, event.forward, event.loss, event.backward, event.update, rows, 0, [0] * len(event.passes),
        event.loss_row, event.loss_name, event.parameters, event.rebinds, optimizer, _without_numbers(event.tensors), groups,
        event.losses,
    )  # fmt: skip
    return SplitEvent(_pack(bare), tuple(integers), tuple(numbers), texts, event.tensors)


def join(skeleton: wire.AnyEvent, parts: SplitEvent) -> wire.AnyEvent:
    """Return the event with this decoded skeleton and these parts. The table of ``parts`` needs only its numbers."""
    integers = parts.integers
    match skeleton:
        case wire.PassEvent():
            index, step, parent = integers
            return msgspec.structs.replace(
                skeleton, index=index, step=step, parent=parent, tensors=_with_numbers(skeleton.tensors, parts.table)
            )
        case wire.StepEvent():
            return _join_step(skeleton, parts)
        case wire.LinesEvent():
            return wire.LinesEvent(_with_texts(skeleton.rows, parts.texts), _with_numbers(skeleton.tensors, parts.table))
        case wire.ProgressEvent():
            return wire.ProgressEvent(*integers)
        case wire.OutputEvent():
            return wire.OutputEvent(parts.texts[0], skeleton.cell)
        case _:
            return skeleton


def _join_step(bare: wire.StepEvent, parts: SplitEvent) -> wire.StepEvent:
    index, main, *rest = parts.integers
    numbers = iter(parts.numbers)
    count = len(bare.passes)
    return msgspec.structs.replace(
        bare,
        index=index,
        main=main,
        passes=rest[:count],
        iteration=None if bare.iteration is None else (bare.iteration[0], rest[count]),
        values=_with_texts(bare.values, parts.texts),
        optimizer=None if bare.optimizer is None else _with_floats(bare.optimizer, numbers),
        groups=[wire.GroupRow(row.optimizer, row.parameters, _with_floats(row.options, numbers)) for row in bare.groups],
        tensors=_with_numbers(bare.tensors, parts.table),
    )


def _without_numbers(table: wire.TensorTable) -> wire.TensorTable:
    return wire.TensorTable(table.dtype, table.flags, table.grad_fn, table.names, table.ndim, table.dims)


def _with_numbers(bare: wire.TensorTable, numbers: wire.TensorTable | None) -> wire.TensorTable:
    assert numbers is not None
    return wire.TensorTable(
        bare.dtype, bare.flags, bare.grad_fn, bare.names, bare.ndim, bare.dims, numbers.stats, numbers.counts, numbers.values
    )


def _without_texts(rows: list[wire.LineRow]) -> tuple[list[wire.LineRow], tuple[str, ...]]:
    bare = [row if row.text is None else wire.LineRow(row.line, row.file, "", row.row, row.graph, row.at) for row in rows]
    return bare, tuple(row.text for row in rows if row.text is not None)


def _with_texts(rows: list[wire.LineRow], texts: tuple[str, ...]) -> list[wire.LineRow]:
    left = iter(texts)
    return [
        row if row.text is None else wire.LineRow(row.line, row.file, next(left), row.row, row.graph, row.at) for row in rows
    ]


def _with_floats(options: dict[str, Any], numbers: Iterator[float]) -> dict[str, Any]:
    return {name: next(numbers) if type(value) is float else value for name, value in options.items()}
