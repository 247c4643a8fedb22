"""Record the changes of one parameter in a step: its value and gradient before and after, and the update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import sub
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from ... import wire
from ..tensors.handles import data_pointer
from ..tensors.references import WeakTensor, weak
from ..tensors.snapshot import COPY_LIMIT, OTHER_DTYPE, Snapshot, traits_of
from ..tensors.statistics import is_dense
from ..tensors.table import TableBuilder
from ..tensors.transforms import outside_transforms


class LeafValue(Struct, frozen=True):
    """The value of a parameter at one moment: a snapshot for a row, and a copy of the elements if there are few enough."""

    snapshot: Snapshot
    elements: Tensor | None
    """A copy of the elements, ``None`` for more than ``COPY_LIMIT``."""
    state: tuple[int, int]


def leaf_value(leaf: Tensor, before: LeafValue | None, table: TableBuilder) -> LeafValue:
    """Return the current value of a leaf. If nothing has written to the leaf since ``before`` was read, return ``before``.

    If the table of an earlier step has dropped elements of ``before`` that ``table`` keeps, the leaf is read again. A write by
    NumPy doesn't change a tensor's version. ``before`` is therefore returned only if torch can resize the memory:
    NumPy doesn't share such memory.
    """
    state = _state_of(leaf)
    unchanged = before is not None and before.state == state and state[0] and not leaf.is_inference()
    if before is not None and unchanged and leaf.untyped_storage().resizable():
        kept = before.snapshot.value is not None or not 0 < before.snapshot.traits.count <= table.kept
        if kept:
            return before
    traits = traits_of(leaf)
    if not table.has_values or not traits.readable or leaf.layout is not torch.strided or traits.count > COPY_LIMIT:
        return LeafValue(table.snapshot(leaf), None, state)
    with outside_transforms():
        elements = leaf.detach().clone()
        value = elements.item() if traits.count == 1 else elements
    if traits.code == OTHER_DTYPE or not traits.count:
        return LeafValue(table.snapshot(leaf), elements, state)
    return LeafValue(Snapshot.of(traits, value, dense=is_dense(leaf)), elements, state)


class Contribution(Struct, frozen=True):
    """The gradient that a pass added to a leaf. ``row`` is the tensor or a snapshot of it, ready for a table.

    ``whole`` is true if the leaf's ``.grad`` has the same elements, ``stolen`` if it uses the same memory. ``overwritten`` is
    true if the program wrote to the gradient while the pass ran; ``tensor`` is then a copy from before the write.
    """

    tensor: Tensor
    row: Tensor | Snapshot
    whole: bool
    stolen: bool
    overwritten: bool = False


class ParameterChanges:
    """The changes of one parameter in one step. Its tensors are rows of the step's table."""

    __slots__ = (
        "_accumulated",
        "_contributed",
        "_leaf",
        "_table",
        "_whole",
        "before",
        "contribution",
        "grad_after",
        "grad_before",
        "grad_used",
        "state",
        "taken",
        "value",
    )

    def __init__(self, leaf: Tensor, value: LeafValue, table: TableBuilder) -> None:
        self._leaf: Tensor | WeakTensor = leaf
        self.value = table.add(value.snapshot)
        self.grad_before = -1
        self.grad_after = -1
        self.grad_used = -1
        self.contribution: Tensor | None = None
        self.taken = -1
        self.state: dict[str, int] = {}
        self.before = value
        """The value at the beginning of the step."""
        self._contributed = -1
        self._whole = False
        self._table = table
        self._accumulated: tuple[int, int] | None = None

    @property
    def leaf(self) -> Any:
        """The tensor of the parameter; ``None`` if it has been released and freed."""
        return self._leaf if isinstance(self._leaf, Tensor) else self._leaf.get()

    def release(self) -> None:
        """Stop keeping the leaf and its gradient alive after a pass, since the program may notice."""
        if isinstance(self._leaf, Tensor):
            self._leaf = weak(self._leaf)
        self.copy_contribution()

    def begin_pass(self) -> None:
        """Record the gradient before the first pass of the step that accumulates into it."""
        if self.contribution is None:
            self.grad_before = self._table.add_copy(self.leaf.grad)

    def contribute(self, contribution: Contribution) -> None:
        """Add the contribution of a pass."""
        if self.contribution is None:
            self.contribution = contribution.tensor
            self._contributed = self._table.add(contribution.row)
            self._whole = contribution.whole
        else:
            self.contribution = self.contribution + contribution.tensor
            self._contributed = self._table.add_copy(self.contribution)
            self._whole = False

    def copy_contribution(self) -> None:
        """Copy the contribution. Its memory is that of the leaf's ``.grad``, which may be overwritten."""
        if self.contribution is not None:
            self.contribution = self.contribution.clone()

    def take(self, gradient: Contribution) -> None:
        """Record a gradient that a pass returned to the program. Only the first one in a step gets a row."""
        if self.taken < 0:
            self.taken = self._table.add(gradient.row)
        if self.contribution is None:
            self.grad_before = self.grad_after = self._table.add_copy(self.leaf.grad)

    def accumulated(self) -> None:
        """Record the gradient after a pass."""
        grad = self.leaf.grad
        self.grad_after = self._contributed if self._whole else self._table.add_copy(grad)
        self._accumulated = _state_of(grad)

    def scaled(self) -> None:
        """Record that the program, for example by clipping, has written to the gradient after the pass.

        The version of the gradient cannot show this: a write to ``.data`` does not change it.
        """
        self._accumulated = None

    def forget(self) -> None:
        """Discard the contribution: a closure has cleared the gradient inside an optimizer's step, and computes it again."""
        self.contribution = None
        self._contributed = -1
        self.grad_before = -1

    def updated(self, state: Mapping[str, Any] | None = None) -> None:
        """Record the gradient that an update of the leaf used, and the optimizer's ``state`` for the leaf."""
        if self.grad_used < 0:
            grad = self.leaf.grad
            unchanged = self._accumulated is not None and _state_of(grad) == self._accumulated
            self.grad_used = self.grad_after if unchanged else self._table.add_copy(grad)
        if state is not None:
            self.state = {
                key: self._table.add_copy(value if isinstance(value, Tensor) else torch.tensor(value))
                for key, value in state.items()
                if isinstance(value, Tensor) or type(value) in (int, float)
            }

    def row(
        self, parameter: int, name: str | None, leaf: Tensor | None, after: LeafValue, update: Tensor | None
    ) -> wire.ParameterRow:
        """Return the row of the step's event.

        ``leaf`` is the parameter at the end of the step, ``None`` if it has been freed. ``after`` is its value, and ``update``
        the difference of ``after`` from the value at the beginning.
        """
        return wire.ParameterRow(
            parameter=parameter,
            name=name,
            value=self.value,
            contribution=self.taken if self.contribution is None else self._contributed,
            grad_before=self.grad_before,
            grad_after=self.grad_after,
            # shared with the lines that show the leaf
            value_after=self.value if leaf is None else self._table.add_snapshot(leaf, after.snapshot),
            state=self.state,
            grad_used=self.grad_used,
            update=self._table.add(update),
        )


def differences(pairs: Sequence[tuple[LeafValue, LeafValue]]) -> list[Tensor | None]:
    """Return the difference ``after - before`` for each of the pairs (after, before).

    A difference is ``None`` if the elements were not copied, or if the shape or dtype has changed.
    """
    found: list[Tensor | None] = [None] * len(pairs)
    index: list[int] = []
    ends: list[Tensor] = []
    starts: list[Tensor] = []
    for at, (after, before) in enumerate(pairs):
        end, start = after.elements, before.elements
        if end is None or start is None or end.shape != start.shape or end.dtype != start.dtype or end.dtype == torch.bool:
            continue
        index.append(at)
        ends.append(end)
        starts.append(start)
    with outside_transforms():
        for at, difference in zip(
            index, torch._foreach_sub(ends, starts) if len(ends) > 1 else map(sub, ends, starts), strict=True
        ):
            found[at] = difference
    return found


def _state_of(tensor: Tensor | None) -> tuple[int, int]:
    """Return the address and the version of a tensor. A write changes its version, except by NumPy or through ``.data``."""
    if tensor is None:
        return (0, 0)
    return (data_pointer(tensor), 0 if tensor.is_inference() else tensor._version)
