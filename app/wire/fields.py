"""Define the base class of events and the bounded types of their fields."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

NAME_LENGTH: Final = 300
"""Maximum length of a name, in characters."""

Index = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=NAME_LENGTH)]
Text = Annotated[str, Meta(max_length=20_000)]
LongText = Annotated[str, Meta(max_length=200_000)]
Packed = bytes


class Event(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Something that happened in a program. Events are emitted in the order in which they happen."""
