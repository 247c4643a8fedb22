"""Find which rows of the data reach which rows of a node's value: replace one row, and make the recorded calls again.

A row is the part of a tensor with one index along a dimension: a sample, if that is the dimension of the batch. The replacement
is another row of the same data. A row of the value that then changes depends on the replaced row. A row that stays the same,
bit for bit, does not depend on it at these numbers. Unlike a gradient, this also follows rounding, comparisons and indices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import wire
from ..tensors.handles import elements_of, equal_elements, storage_pointer
from .evaluate import TapeSection
from .operands import CannotReplay, ConstantOperand, TapeEntry, flat, operands, rebuilt

_Way = tuple[int, bool]
"""How the elements of a tensor may belong to rows: a dimension, and whether a row is every n-th element instead of a block."""


class Data:
    """A constant tensor that calls read, or the tensor of which they read views. ``views`` are the tensors that they read."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.views: list[Tensor] = []

    def with_row(self, dimension: int, row: int) -> dict[int, Tensor]:
        """Return the views, by their ids, of a copy in which a row is replaced by another one."""
        copied = self.tensor.untyped_storage().clone()  # type: ignore[no-untyped-call]
        changed = _on(copied, self.tensor)
        rows = elements_of(self.tensor).movedim(dimension, 0)
        others = (rows[(row + distance) % len(rows)] for distance in range(1, len(rows)))
        other = next((each for each in others if not equal_elements(each, rows[row])), None)
        changed.movedim(dimension, 0)[row] = _otherwise(rows[row]) if other is None else other
        return {id(view): _on(copied, view) for view in self.views}


def _otherwise(row: Tensor) -> Tensor:
    """Return other numbers for a row. Integers may be indices: they become 0, the smallest one, if possible."""
    if row.dtype is torch.bool:
        return ~row
    return torch.zeros_like(row) if not row.is_floating_point() and row.any() else row + 1


def _on(storage: torch.UntypedStorage, like: Tensor) -> Tensor:
    return torch.empty(0, dtype=like.dtype).set_(storage, like.storage_offset(), like.size(), like.stride())


def data_of(entries: Iterable[TapeEntry], length: int) -> list[Data]:
    """Return the constants with a dimension of a length that calls read, each once.

    Of a view, return the tensor that it shows if that has such a dimension too.
    """
    found: dict[int, Data] = {}
    for entry in entries:
        for operand in operands((entry.args, entry.kwargs)):
            tensor = operand.tensor if isinstance(operand, ConstantOperand) and not operand.written else None
            if tensor is None or not tensor.numel() or tensor.layout is not torch.strided or tensor.is_complex():
                continue
            base = tensor._base if tensor._is_view() else None
            if base is None or base.dtype is not tensor.dtype or base.requires_grad or length not in base.shape:
                base = tensor
            if length in base.shape:
                data = found.setdefault(id(base), Data(base))
                if not any(each is tensor for each in data.views):
                    data.views.append(tensor)
    return list(found.values())


class Probe:
    """Makes calls with a row of the data replaced, and compares each result with that of the recorded data.

    ``changed`` are the rows of the last call's result that changed. ``ways`` has for each result, by the index of its call and
    its place there, how all of its changes so far belong to the replaced row.
    """

    def __init__(self, section: TapeSection, leaves: dict[int, Tensor], choose: Callable[[Sequence[Tensor]], Tensor]) -> None:
        self._section = section
        self._leaves = leaves
        self._choose = choose
        self._recorded: list[list[Tensor]] = []
        self._last: list[Tensor] = []
        self._replaced: dict[int, Tensor] | None = None
        self._length, self._row = 0, 0
        self.ways: dict[tuple[int, int], set[_Way]] = {}
        section.evaluate(self._stand_ins(), calling=self)
        chosen = choose(self._last)
        self._at = next(at for at, each in enumerate(self._last) if each is chosen)
        self.value = self._recorded[-1][self._at]

    def _stand_ins(self) -> dict[int, Tensor]:
        return {key: leaf.detach().clone().requires_grad_() for key, leaf in self._leaves.items()}

    def __call__(self, index: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call, as :meth:`TapeSection.evaluate` asks."""
        replaced = self._replaced
        if replaced is not None:
            args, kwargs = rebuilt((tuple(args), kwargs), lambda tensor: replaced.get(id(tensor), tensor))
        out = function(*args, **kwargs)
        self._last = list(flat(out))
        if replaced is None:
            self._recorded.append([each.detach().clone() for each in self._last])  # a later call may write to them
            return out
        for at, (now, before) in enumerate(zip(self._last, self._recorded[index], strict=False)):
            self._compare((index, at), changes(before, now))
        return out

    def _compare(self, key: tuple[int, int], change: Tensor | None) -> None:
        if change is not None and change.any():
            possible = ways(change.shape, self._length)
            kept = {way for way in possible if belongs(change, way, self._length, self._row)}
            if possible:
                self.ways[key] = self.ways[key] & kept if key in self.ways else kept

    def reached(self, data: Data, dimension: int, row: int, along: int) -> Tensor:
        """Replace a row of the data. Return which rows of the node's value change, along its dimension ``along``."""
        self._length, self._row = data.tensor.shape[dimension], row
        self._replaced = data.with_row(dimension, row)
        for at, view in enumerate(data.views):
            self._compare((-1, at), changes(view, self._replaced[id(view)]))
        self._section.evaluate(self._stand_ins(), calling=self)
        change = changes(self.value, self._last[self._at])
        if change is None:
            raise CannotReplay("its shape depends on the data")
        return change.movedim(along, 0).flatten(1).any(1) if change.ndim > 1 else change

    def first_mixed(self) -> int | None:
        """Return the index of the first call whose result mixes rows, -1 for a view of the data; ``None`` if no call does."""
        return min((index for (index, _), kept in self.ways.items() if not kept), default=None)

    def forget(self) -> None:
        """Begin with other data."""
        self.ways.clear()


def changes(before: Tensor, now: Tensor) -> Tensor | None:
    """Return which elements of a tensor differ; ``None`` if its shape does. A NaN equals another NaN."""
    before, now = before.detach(), now.detach()
    if before.shape != now.shape or before.layout is not torch.strided:
        return None
    return (before != now) & ~((before != before) & (now != now))


def ways(shape: Sequence[int], length: int) -> list[_Way]:
    """Return how the elements of a tensor may belong to ``length`` rows: along a dimension, in blocks or one after another."""
    dimensions = [at for at, size in enumerate(shape) if size and size % length == 0]
    return [(at, strided) for at in dimensions for strided in ((False, True) if shape[at] > length else (False,))]


def belongs(change: Tensor, way: _Way, length: int, row: int) -> bool:
    """Return whether all changed elements belong to a row."""
    dimension, strided = way
    rows = change.movedim(dimension, 0).reshape(change.shape[dimension], -1).any(1).nonzero().flatten()
    owners = rows % length if strided else rows // (change.shape[dimension] // length)
    return bool((owners == row).all())


def dependence(
    order: wire.ReplayOrder,
    section: TapeSection,
    node: Any,
    values: Sequence[Any],
    numbers: Sequence[int],
    name_of: Callable[[Tensor], str | None],
) -> tuple[int, list[wire.DependenceRow]]:
    """Return the number of rows of a node's value, and for each constant with as many rows which of them they reach.

    ``values`` are the values of the nodes of the pass and of its constants, as far as they exist. ``numbers`` are the sequence
    numbers of the nodes, and ``name_of`` returns the program's name of a tensor. Raises :class:`CannotReplay` if the value has
    no rows, or too many.
    """
    deadline = time.monotonic() + order.seconds if order.seconds else float("inf")
    leaves = {id(leaf): leaf for leaf in section.leaves()}
    probe = Probe(section, leaves, lambda results: _made_by(node, results))
    made, value = probe.value, values[order.node]
    if isinstance(value, Tensor) and not equal_elements(value.detach(), made):
        raise CannotReplay("the calls give other numbers than the recorded ones")
    if not order.dimension < made.ndim:
        raise CannotReplay(f"its shape is {list(made.shape)}, so it has no dimension {order.dimension}")
    length = made.shape[order.dimension]
    if not 2 <= length <= wire.ROWS:
        raise CannotReplay(f"it has {length:,} rows along dimension {order.dimension}: from 2 to {wire.ROWS:,} can be compared")
    count = min(length, wire.PROBES)
    chosen = [round(at * (length - 1) / (count - 1)) for at in range(count)]
    found: list[wire.DependenceRow] = []
    for data in data_of(section.entries, length):
        for dimension in [at for at, size in enumerate(data.tensor.shape) if size == length][: wire.DEPENDENCES - len(found)]:
            probe.forget()
            reached: list[Tensor] = []
            for row in chosen:
                if not reached or time.monotonic() < deadline:
                    reached.append(probe.reached(data, dimension, row, order.dimension))
            first = probe.first_mixed()
            within = section.entries[first].numbers if first is not None and first >= 0 else range(0)
            made_there = [at for at, number in enumerate(numbers) if number in within]
            found.append(
                wire.DependenceRow(
                    constant=_index(data, values, len(numbers)),
                    shape=list(data.tensor.shape),
                    dimension=dimension,
                    rows=np.array(chosen[: len(reached)], "<i4").tobytes(),
                    reached=torch.stack(reached).numpy().tobytes(),
                    mixed=max(made_there, default=-1, key=lambda at: numbers[at]),
                    before=first == -1,
                    name=name_of(data.tensor),
                )
            )
    return length, found


def _made_by(node: Any, results: Sequence[Tensor]) -> Tensor:
    """Return the result of a call that a node computed."""
    for result in results:
        if result.grad_fn is not None and result.grad_fn.name() == node.name() and result.output_nr == 0:
            return result
    raise CannotReplay("the call that made it returns something else: choose the node of the call's result")


def _index(data: Data, values: Sequence[Any], first: int) -> int:
    """Return the index of the graph's constant for data, -1 if there is none; ``first`` is the index of the first constant."""
    known = {id(data.tensor), *map(id, data.views)}
    same = (at for at, each in enumerate(values) if at >= first and id(each) in known)
    storage = storage_pointer(data.tensor)
    shared = (
        at for at, each in enumerate(values) if at >= first and isinstance(each, Tensor) and storage_pointer(each) == storage
    )
    return next(same, next(shared, -1))
