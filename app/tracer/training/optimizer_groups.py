"""Read the optimizers that the program has made, and their parameter groups."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ... import wire
from .parameters import Parameters


class KnownOptimizers:
    """The optimizers that the program has made and still uses. ``parameters`` are the parameters of the run."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self.made = weakref.WeakSet[torch.optim.Optimizer]()

    def have_any(self, parameters: Iterable[int]) -> bool:
        """Return whether an optimizer has any of these parameters."""
        owned = {id(leaf) for optimizer in self.made for group in optimizer.param_groups for leaf in group["params"]}
        return any(id(self._parameters.leaf(parameter)) in owned for parameter in parameters)


Option = str | int | float | bool | list[float | None] | None


def groups(optimizer: torch.optim.Optimizer, parameters: Mapping[int, int]) -> list[wire.GroupRow]:
    """Return the groups of an optimizer that have any of the parameters. ``parameters`` maps ids of leaves to indices."""
    rows = []
    for group in optimizer.param_groups:
        members = [parameters[id(leaf)] for leaf in group["params"] if id(leaf) in parameters]
        if members:
            options: dict[str, Option] = {
                key: option for key, value in group.items() if type(key) is str and (option := _option(value)) is not None
            }
            rows.append(wire.GroupRow(type(optimizer).__name__, members, options))
    return rows


def _option(value: Any) -> Option:
    """Return a number, a string or a few numbers that can be emitted for the value of an option, otherwise ``None``."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return None
    if type(value) in (int, float, bool, str):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return float(value)
    if type(value) is tuple and len(value) <= 8 and all(each is None or type(each) in (int, float) for each in value):
        return [None if each is None else float(each) for each in value]
    return None
