"""Describe the optimizers that the installed PyTorch has, for a server that never imports torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

OPTIMIZERS: Final = 100
"""Largest number of optimizers in a catalogue."""
OPTIONS: Final = 64
"""Largest number of options of one optimizer."""
ITEMS: Final = 16
"""Largest number of numbers in a default that is a list."""

Name = Annotated[str, Meta(max_length=60)]
OptionKind = Literal["flag", "integer", "number", "numbers", "text"]


class OptimizerOption(Struct, frozen=True, array_like=True):
    """An argument of an optimizer's constructor. ``None`` is a valid value where it is the default."""

    kind: OptionKind
    default: bool | int | float | Name | Annotated[tuple[float | None, ...], Meta(max_length=ITEMS)] | None


OptimizerCatalogue = Annotated[
    dict[Name, Annotated[dict[Name, OptimizerOption], Meta(max_length=OPTIONS)]], Meta(max_length=OPTIMIZERS)
]
"""The options of each optimizer, by the name of its class in ``torch.optim``."""
