"""Define the base class of events and the bounded types of their fields."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from .bounds import COLUMN_BYTES, INT32, INT64, NAME_LENGTH, OUTPUT_LENGTH, TEXT_LENGTH

Index = Annotated[int, Meta(ge=-1, le=INT32)]
Count = Annotated[int, Meta(ge=0, le=INT32)]
Size = Annotated[int, Meta(ge=0, le=INT64)]
Name = Annotated[str, Meta(max_length=NAME_LENGTH)]
Text = Annotated[str, Meta(max_length=TEXT_LENGTH)]
LongText = Annotated[str, Meta(max_length=OUTPUT_LENGTH)]
Packed = Annotated[bytes, Meta(max_length=COLUMN_BYTES)]


class EventPart(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A part of an event. Events have no reference cycles, so the garbage collector need not visit the parts."""


class Event(EventPart, frozen=True):
    """Something that happened in a program. Events are emitted in the order in which they happen."""
