"""Get hold of what torch knows a tensor or a node by: its number and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .snapshot import Snapshot

next_sequence_nr: Callable[[], int] = torch._C._autograd._get_sequence_nr
"""The number that the next node of this thread gets."""


def sequence_nr(node: Any) -> int:
    """The sequence number of a node; -1 where it has none."""
    try:
        return int(node._sequence_nr())
    except AttributeError:
        return -1


def storage_pointer(tensor: Tensor) -> int:
    """What tells the memory of a tensor; 0 where it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def data_pointer(tensor: Tensor) -> int:
    """Where a tensor's first element lies; 0 where that is not known."""
    try:
        return tensor.data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def tensors_in(value: Any) -> Iterator[Tensor | Snapshot]:
    """The tensors in what a call takes or returns, one level of lists deep."""
    if isinstance(value, Tensor | Snapshot):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Tensor | Snapshot):
                yield item
            elif isinstance(item, list | tuple):
                yield from (part for part in item if isinstance(part, Tensor | Snapshot))


def elements_of(tensor: Tensor) -> Tensor:
    """The elements of a tensor, also of a sparse or a nested one."""
    if tensor.is_nested:
        return tensor.values()
    return tensor.to_dense() if tensor.layout is not torch.strided else tensor


def equal_elements(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same elements to the bit; NaN is NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = elements_of(one), elements_of(other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())
