"""Estimate how much memory an event takes.

The constants are sizes of CPython 3.11 on 64 bits: of an object's header, of a slot that refers to it, and of its items. They
are upper bounds for what :mod:`tracemalloc` counts. The process grows by up to a tenth more, since the allocator rounds up
(``tests/wire/test_memory.py`` compares the estimate with both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, get_type_hints

from .events import (
    Checked,
    Factors,
    GraphEvent,
    LineRow,
    LinesEvent,
    Options,
    OriginRow,
    OutputEvent,
    ParameterEvent,
    PassEvent,
    StatementPosition,
    StepEvent,
    TensorTable,
)
from .fields import Event, EventPart

_SLOT: Final = 8
_INT: Final = 32
"""An integer from 257 to 2**31; smaller ones are shared."""
_LONG: Final = 36
"""An integer of up to 64 bits."""
_TEXT: Final = 74
"""A text without its characters, even if they are wider than one byte."""
_BYTES: Final = 34
_LIST: Final = 72
_DICT: Final = 232
"""A dictionary with up to five entries."""
_EMPTY: Final = 64
"""A dictionary without entries."""
_ENTRY: Final = 104
"""A further entry of a dictionary, without its key and its value."""
_STRUCT: Final = 32


def memory_of(event: Event) -> int:
    """Return the bytes that a decoded event takes in memory."""
    size = _bare(type(event))
    match event:
        case GraphEvent():
            size += _columns(event) + _texts(event.strings)
        case PassEvent():
            size += _columns(event) + _table(event.tensors) + _origin(event.origin)
        case StepEvent():
            size += _step(event) + _table(event.tensors)
        case LinesEvent():
            size += _rows(event.rows) + _table(event.tensors)
        case OutputEvent():
            size += _text(event.text)
        case ParameterEvent():
            size += _text(event.name) + _text(event.dtype) + _integers(event.shape) + _origin(event.origin)
        case Factors():
            size += (len(event.factors) + len(event.products)) * (_SLOT + _STRUCT + 3 * (_SLOT + _INT)) + _table(event.tensors)
        case Checked():
            size += _columns(event) + _texts(event.functions) + _texts(event.definitions)
        case _:
            size += sum(_value(getattr(event, name)) for name in event.__struct_fields__)
    return size


@lru_cache
def _bare(kind: type[EventPart]) -> int:
    """Return the size of a struct whose fields refer to numbers."""
    return _STRUCT + len(kind.__struct_fields__) * (_SLOT + _INT)


def _columns(part: EventPart) -> int:
    """Return the size of the columns among the fields of a struct."""
    columns = _columns_of(type(part))(part)
    return _BYTES * len(columns) + sum(map(len, columns))


@lru_cache
def _columns_of(kind: type[EventPart]) -> Callable[[EventPart], tuple[bytes, ...]]:
    """Return a function that returns the columns of a struct, which has several."""
    return attrgetter(*(name for name, hint in get_type_hints(kind).items() if hint is bytes))


def _table(table: TensorTable) -> int:
    return _bare(TensorTable) + _columns(table) + _texts(table.names)


def _text(text: str | None) -> int:
    if text is None:
        return 0
    return _TEXT + (len(text) if text.isascii() else 4 * len(text))


def _texts(texts: Sequence[str]) -> int:
    return _LIST + (_SLOT + _TEXT) * len(texts) + sum(len(text) if text.isascii() else 4 * len(text) for text in texts)


def _integers(integers: Sequence[int]) -> int:
    return _LIST + len(integers) * (_SLOT + _INT)


def _rows(rows: Sequence[LineRow]) -> int:
    return _LIST + len(rows) * (_SLOT + _bare(LineRow)) + sum(_text(row.text) for row in rows)


def _dict(entries: int) -> int:
    return _DICT + max(0, entries - 5) * _ENTRY if entries else _EMPTY


def _origin(origin: OriginRow | None) -> int:
    return 0 if origin is None else _bare(OriginRow)


def _options(options: Options | None) -> int:
    if options is None:
        return 0
    return _dict(len(options)) + sum(_text(name) + _INT + _value(value) for name, value in options.items())


def _step(step: StepEvent) -> int:
    size = sum(map(_integers, (step.forward, step.loss, step.backward, step.update, step.passes)))
    size += _rows(step.values) + _text(step.loss_name) + _options(step.optimizer) + 3 * _LIST
    for parameter in step.parameters:
        size += _SLOT + _bare(type(parameter)) + _text(parameter.name) + _dict(len(parameter.state))
        size += sum(_text(name) + _INT for name in parameter.state)
    for rebind in step.rebinds:
        size += _SLOT + _bare(type(rebind)) + _text(rebind.name)
    for group in step.groups:
        size += _SLOT + _bare(type(group)) + _text(group.optimizer) + _integers(group.parameters) + _options(group.options)
    size += _LIST + len(step.update_origins) * (_SLOT + _bare(OriginRow))
    size += 0 if step.ended is None else _bare(StatementPosition)
    return size + _dict(len(step.losses)) + sum(_text(name) + _INT for name in step.losses)


def _value(value: Any) -> int:
    """Return the size of the value of a field. This is slow, so it is done only for events that are rare."""
    match value:
        case str():
            return _text(value)
        case bytes():
            return _BYTES + len(value)
        case list() | tuple():
            return _LIST + sum(_SLOT + _LONG + _value(item) for item in value)
        case EventPart():
            return _bare(type(value)) + sum(_value(getattr(value, name)) for name in value.__struct_fields__)
        case _:
            return 0
