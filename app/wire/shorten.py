"""Cut the texts and dictionaries of an event to the lengths that its schema allows, before it is sent.

A program may give a variable, class or file any name. A name that is too long must not make the recording invalid.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from .fields import Event

_Cut = Callable[[Any], Any]
_AnyEvent = TypeVar("_AnyEvent", bound=Event)
_cuts: dict[type, _Cut | None] = {}


def shortened(event: _AnyEvent) -> _AnyEvent:
    """Return the event itself, or a copy in which long texts end with "…" and large dictionaries keep their first entries."""
    kind = type(event)
    if kind not in _cuts:
        _cuts[kind] = _cut_of(inspect.type_info(kind))
    cut = _cuts[kind]
    return event if cut is None else cut(event)


def encodable(value: Any) -> Any:
    """Return a value that a message can encode: a lone surrogate becomes "?", an integer of over 64 bits becomes a text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return f"about {float(value):.6g}" if abs(value) < 10**300 else "an integer of over 300 digits"
    if isinstance(value, Struct):
        return type(value)(*(encodable(getattr(value, name)) for name in value.__struct_fields__))
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(encodable, value))
    return value


def _cut_of(kind: inspect.Type) -> _Cut | None:
    """Return the function that cuts values of a type, or ``None`` if it has no bounded text."""
    match kind:
        case inspect.StrType(max_length=int() as limit):
            return _text(limit)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.CollectionType(item_type=item):
            cut = _cut_of(item)
            return None if cut is None else _items(cut)
        case inspect.DictType(key_type=key, value_type=value, max_length=int() as limit):
            return _pairs(_cut_of(key), _cut_of(value), limit)
        case inspect.StructType(cls=cls, fields=fields):
            parts = {field.name: cut for field in fields if (cut := _cut_of(field.type)) is not None}
            return _struct(cls, parts) if parts else None
        case inspect.UnionType(types=types):
            found = [(_class_of(each), cut) for each in types if (cut := _cut_of(each)) is not None]
            return _only(*found[0]) if found else None
        case _:
            return None


def _text(limit: int) -> _Cut:
    def cut(value: Any) -> Any:
        return value if len(value) <= limit else value[: limit - 1] + "…"

    return cut


def _only(cls: type, inner: _Cut) -> _Cut:
    def cut(value: Any) -> Any:
        return inner(value) if isinstance(value, cls) else value

    return cut


def _class_of(kind: inspect.Type) -> type:
    """Return the class of the values of a type that has bounded texts."""
    match kind:
        case inspect.StructType(cls=cls):
            return cls
        case inspect.StrType():
            return str
        case inspect.DictType():
            return dict
        case _:
            return list


def _items(inner: _Cut) -> _Cut:
    def cut(value: Any) -> Any:
        for item in value:
            if inner(item) is not item:
                return [inner(each) for each in value]
        return value

    return cut


def _pairs(key_cut: _Cut | None, value_cut: _Cut | None, limit: int) -> _Cut:
    def cut(value: Any) -> Any:
        changed = {
            (key if key_cut is None else key_cut(key)): (item if value_cut is None else value_cut(item))
            for key, item in islice(value.items(), limit)
        }
        return value if changed == value else changed

    return cut


def _struct(cls: type[Struct], parts: dict[str, _Cut]) -> _Cut:
    pairs = list(parts.items())

    def cut(value: Any) -> Any:
        changes = {}
        for name, inner in pairs:
            before = getattr(value, name)
            after = inner(before)
            if after is not before:
                changes[name] = after
        return msgspec.structs.replace(value, **changes) if changes else value

    return cut
