"""Tell which tensors a write reaches, and who has to know: all that hold memory that is about to change."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from .handles import storage_pointer

_C: Any = torch._C
_uses = _C._storage_Use_Count
_OWN_USES = 2
"""What counts a storage's uses counts the tensor, and the handle by which it was asked."""


class Write:
    """Memory that is about to be written to.

    Most often nobody but the ``targets`` themselves has it: then these very objects are all that has to be looked for
    (``ids``), and only memory in ``shared`` is looked for by its storage. ``storages`` is all of it.
    """

    __slots__ = ("ids", "shared", "storages", "targets")

    def __init__(self, targets: Collection[Tensor], shared: Iterable[int] = ()) -> None:
        self.targets = targets
        self.ids: set[int] = set()
        self.shared: set[int] = set(shared)
        self.storages: set[int] = set(self.shared)
        for target in targets:
            self.ids.add(id(target))
            try:
                handle = target.untyped_storage()
                key = handle.data_ptr()
                alone = _uses(handle._cdata) == _OWN_USES and handle.resizable()  # else numpy may have it too
            except (NotImplementedError, RuntimeError):  # it has no memory of its own, or not here
                key, alone = 0, False
            self.storages.add(key)
            if not alone:
                self.shared.add(key)

    def reaches(self, tensor: Tensor) -> bool:
        """Whether a tensor's elements are among those that change."""
        return id(tensor) in self.ids or (bool(self.shared) and storage_pointer(tensor) in self.shared)


class WriteListener(Protocol):
    """Somebody who holds tensors that are still to be told as they are now."""

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy what is held of it."""


def may_overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one storage may have elements in common: they lie between the same addresses."""
    (first, end), (start, last) = _reach(one), _reach(other)
    return first < last and start < end


def _reach(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor's first element begins, and its last one ends."""
    try:
        start = tensor.data_ptr()
        reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
        return start, start + reach * tensor.element_size()
    except (NotImplementedError, RuntimeError):
        return 0, 1
