"""Identify nodes and tensors: sequence numbers, data pointers, and the tensors in a call's arguments or result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .kinds import PLAIN_TYPES, is_opaque
from .snapshot import Snapshot

next_sequence_nr: Callable[[], int] = torch._C._autograd._get_sequence_nr
"""The sequence number that the next node of this thread gets."""


def sequence_nr(node: Any) -> int:
    """Return the sequence number of a node, or -1 if it has none."""
    try:
        return int(node._sequence_nr())
    except AttributeError:
        return -1


def sequence_nrs(nodes: Sequence[Any]) -> list[int]:
    """Return :func:`sequence_nr` of each node, in less time."""
    try:
        return [node._sequence_nr() for node in nodes]
    except AttributeError:
        return list(map(sequence_nr, nodes))


def storage_pointer(tensor: Tensor) -> int:
    """Return the address of a tensor's storage, or 0 if it has none.

    Tensors that share memory share this address. A subclass that implements the operations itself counts as having none.
    """
    if type(tensor) not in PLAIN_TYPES and is_opaque(tensor):
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def data_pointer(tensor: Tensor) -> int:
    """Return the address of a tensor's first element, or 0 if it is unknown."""
    if type(tensor) not in PLAIN_TYPES and is_opaque(tensor):
        return 0
    try:
        return tensor.data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def tensors_in(value: Any) -> Iterator[Tensor | Snapshot]:
    """Yield the tensors in a call's arguments or result, searching lists one level deep."""
    if isinstance(value, Tensor | Snapshot):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Tensor | Snapshot):
                yield item
            elif isinstance(item, list | tuple):
                yield from (part for part in item if isinstance(part, Tensor | Snapshot))


def elements_of(tensor: Tensor) -> Tensor:
    """Return the elements of a tensor as a dense tensor, also for sparse and nested tensors."""
    if tensor.is_nested:
        return tensor.values()
    return tensor.to_dense() if tensor.layout is not torch.strided else tensor


def equal_elements(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape, dtype and elements; NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = elements_of(one), elements_of(other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())
