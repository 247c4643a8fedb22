"""Keep what a step does to one parameter: its value and gradient before and after, and what the update made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .. import wire
from .handles import pointer
from .summary import Snapshot, Table


class Part:
    """A parameter's part in a step. Tensors of it are rows of the step's table."""

    __slots__ = (
        "_accumulated",
        "_table",
        "contribution",
        "grad_after",
        "grad_before",
        "grad_used",
        "leaf",
        "state",
        "taken",
        "value",
    )

    def __init__(self, leaf: Tensor, value: Snapshot, table: Table) -> None:
        self.leaf = leaf
        self.value = table.add(value)
        self.grad_before = table.copy(leaf.grad)
        self.grad_after = -1
        self.grad_used = -1
        self.contribution: Tensor | None = None
        self.taken = -1
        self.state: dict[str, int] = {}
        self._table = table
        self._accumulated: tuple[int, int] | None = None

    def contribute(self, contribution: Tensor) -> None:
        """A pass has added this to the gradient."""
        self.contribution = contribution if self.contribution is None else self.contribution + contribution

    def take(self, gradient: Tensor) -> None:
        """A pass has computed this gradient and given it to the program, which may do with it what it likes."""
        self.taken = self._table.copy(gradient)

    def accumulated(self) -> None:
        """A pass has ended: the gradient is what it is now."""
        self.grad_after = self._table.copy(self.leaf.grad)
        self._accumulated = _state_of(self.leaf.grad)

    def scaled(self) -> None:
        """The gradient was written to after the pass, as clipping does. Through ``.data`` no version tells of it."""
        self._accumulated = None

    def forget(self) -> None:
        """The gradient was cleared inside an optimizer's step, which then computes it again."""
        self.contribution = None
        self.grad_before = -1

    def updated(self, state: Mapping[str, Any] | None = None) -> None:
        """The leaf has been written to: note the gradient that was there for it, and the state that an optimizer keeps."""
        if self.grad_used < 0:
            grad = self.leaf.grad
            unchanged = self._accumulated is not None and _state_of(grad) == self._accumulated
            self.grad_used = self.grad_after if unchanged else self._table.copy(grad)
        if state is not None:
            self.state = {
                key: self._table.copy(value if isinstance(value, Tensor) else torch.tensor(value))
                for key, value in state.items()
                if isinstance(value, Tensor) or type(value) in (int, float)
            }

    def row(self, parameter: int, name: str | None) -> wire.ParameterRow:
        """The part as a step tells it, once that ends."""
        after = self._table.copy_for(self.leaf)  # lines that show the leaf share that row
        return wire.ParameterRow(
            parameter=parameter,
            name=name,
            value=self.value,
            contribution=self.taken if self.contribution is None else self._table.add(self.contribution),
            grad_before=self.grad_before,
            grad_after=self.grad_after,
            value_after=after,
            state=self.state,
            grad_used=self.grad_used,
            update=self._table.difference(after, self.value),
        )


Option = str | int | float | bool | list[float | None] | None


def groups(optimizer: torch.optim.Optimizer, parameters: Mapping[int, int]) -> list[wire.GroupRow]:
    """The groups of an optimizer that hold parameters, which are given by the id of their tensor."""
    told = []
    for group in optimizer.param_groups:
        held = [parameters[id(leaf)] for leaf in group["params"] if id(leaf) in parameters]
        if held:
            options: dict[str, Option] = {key: option for key, value in group.items() if (option := _option(value)) is not None}
            told.append(wire.GroupRow(type(optimizer).__name__, held, options))
    return told


def _option(value: Any) -> Option:
    """An option as it can be told: a number, a word, or a few numbers; ``None`` for anything else."""
    if type(value) in (int, float, bool, str):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return float(value)
    if type(value) is tuple and len(value) <= 8 and all(each is None or type(each) in (int, float) for each in value):
        return [None if each is None else float(each) for each in value]
    return None


def _state_of(grad: Tensor | None) -> tuple[int, int]:
    """Changes whenever a gradient is written to or replaced."""
    return (0, 0) if grad is None else (pointer(grad), 0 if grad.is_inference() else grad._version)
