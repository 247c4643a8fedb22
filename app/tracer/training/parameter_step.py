"""Keep what a step does to one parameter: its value and gradient before and after, and what the update made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import wire
from ..tensors.handles import pointer
from ..tensors.snapshot import OTHER, WHOLE, Snapshot, facts_of
from ..tensors.statistics import is_dense
from ..tensors.table import Table
from ..tensors.transforms import outside


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter at one instant: what a row tells of it, and up to ``WHOLE`` elements to subtract from."""

    snapshot: Snapshot
    whole: Tensor | None
    state: tuple[int, int]


def held(leaf: Tensor, before: Held | None, table: Table) -> Held:
    """A leaf as it is now; what it was ``before``, if nothing has written to it since.

    No version tells of what NumPy writes: it shares the memory that torch can't resize any more.
    """
    state = _state_of(leaf)
    known = before is not None and before.state == state and state[0] and not leaf.is_inference()
    if before is not None and known and leaf.untyped_storage().resizable():
        return before
    facts = facts_of(leaf)
    if not table.numbers or not facts.readable or leaf.layout is not torch.strided or facts.count > WHOLE:
        return Held(table.snapshot(leaf), None, state)
    with outside():
        whole = leaf.detach().clone()
        value = whole.item() if facts.count == 1 else whole
    if facts.code == OTHER or not facts.count:
        return Held(table.snapshot(leaf), whole, state)
    return Held(Snapshot.of(facts, value, dense=is_dense(leaf)), whole, state)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a pass added to a leaf. ``told`` is the tensor or a snapshot of it.

    ``all``: it is all that there is in the leaf's ``.grad``. ``stolen``: the engine gave the leaf this very tensor.
    """

    tensor: Tensor
    told: Tensor | Snapshot
    all: bool
    stolen: bool


class Part:
    """A parameter's part in a step. Tensors of it are rows of the step's table."""

    __slots__ = (
        "_accumulated",
        "_all",
        "_before",
        "_contributed",
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

    def __init__(self, leaf: Tensor, value: Held, table: Table) -> None:
        self.leaf = leaf
        self.value = table.add(value.snapshot)
        self.grad_before = -1
        self.grad_after = -1
        self.grad_used = -1
        self.contribution: Tensor | None = None
        self.taken = -1
        self.state: dict[str, int] = {}
        self._before = value
        self._contributed = -1
        self._all = False
        self._table = table
        self._accumulated: tuple[int, int] | None = None

    def begin(self) -> None:
        """A pass begins that adds to the gradient: before the first such, it is what it is now."""
        if self.contribution is None:
            self.grad_before = self._table.copy(self.leaf.grad)

    def contribute(self, contribution: Contribution) -> None:
        """A pass has added this to the gradient."""
        if self.contribution is None:
            self.contribution = contribution.tensor
            self._contributed = self._table.add(contribution.told)
            self._all = contribution.all
        else:
            self.contribution = self.contribution + contribution.tensor
            self._contributed = self._table.copy(self.contribution)
            self._all = False

    def keep_apart(self) -> None:
        """The contribution is also the ``.grad`` that somebody is about to write to."""
        if self.contribution is not None:
            self.contribution = self.contribution.clone()

    def take(self, gradient: Contribution) -> None:
        """A pass has computed this gradient and given it to the program: of several such, the first is the main one."""
        if self.taken < 0:
            self.taken = self._table.add(gradient.told)
        if self.contribution is None:
            self.grad_before = self.grad_after = self._table.copy(self.leaf.grad)

    def accumulated(self) -> None:
        """A pass has ended: the gradient is what it is now."""
        self.grad_after = self._contributed if self._all else self._table.copy(self.leaf.grad)
        self._accumulated = _state_of(self.leaf.grad)

    def scaled(self) -> None:
        """The gradient was written to after the pass, as clipping does. Through ``.data`` no version tells of it."""
        self._accumulated = None

    def forget(self) -> None:
        """The gradient was cleared inside an optimizer's step, which then computes it again."""
        self.contribution = None
        self._contributed = -1
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

    def row(self, parameter: int, name: str | None, leaf: Tensor, after: Held) -> wire.ParameterRow:
        """The part as a step tells it, once that ends and the parameter is this leaf, as in ``after``."""
        return wire.ParameterRow(
            parameter=parameter,
            name=name,
            value=self.value,
            contribution=self.taken if self.contribution is None else self._contributed,
            grad_before=self.grad_before,
            grad_after=self.grad_after,
            value_after=self._table.known_as(leaf, after.snapshot),  # lines that show the leaf share that row
            state=self.state,
            grad_used=self.grad_used,
            update=self._table.add(_difference(after.whole, self._before.whole)),
        )


def _difference(after: Tensor | None, before: Tensor | None) -> Tensor | None:
    """What has to be added to one tensor to get another; ``None`` where their elements are not all there."""
    if after is None or before is None or after.shape != before.shape or after.dtype != before.dtype:
        return None
    if after.dtype == torch.bool:
        return None
    with outside():
        return after - before


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


def _state_of(tensor: Tensor | None) -> tuple[int, int]:
    """Changes whenever a tensor is written to or replaced, unless that is done through ``.data`` or by NumPy."""
    if tensor is None:
        return (0, 0)
    return (pointer(tensor), 0 if tensor.is_inference() else tensor._version)
