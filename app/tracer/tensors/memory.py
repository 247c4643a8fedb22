"""Determine which tensors a write reaches, so that their old values can be copied first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from .handles import storage_pointer
from .kinds import PLAIN_TYPES, is_opaque

_C: Any = torch._C
_uses = _C._storage_Use_Count
_OWN_USES = 2
"""The use count includes the tensor and our temporary handle."""


class Write:
    """Memory that is about to be written to.

    Usually only the ``targets`` themselves use the memory. Then comparing objects is enough. ``shared`` contains the
    addresses of the storages that other tensors may use too, and ``storages`` those of all storages written to.

    A ``standing`` write may happen at any time, such as a write by NumPy. It is announced repeatedly. A listener has to copy
    only the tensors that it received since the last announcement. The write uses the given set ``shared`` itself, without
    copying it, so that the set may grow.
    """

    __slots__ = ("shared", "standing", "storages", "targets")

    def __init__(self, targets: Collection[Tensor], shared: Iterable[int] = (), *, standing: bool = False) -> None:
        self.targets = targets
        self.standing = standing
        storages: set[int] = shared if standing and isinstance(shared, set) else {*shared}
        not_alone = storages if standing else {*storages}
        for target in targets:
            if type(target) not in PLAIN_TYPES and is_opaque(target):
                continue
            try:
                handle = target.untyped_storage()
                key = handle.data_ptr()
                alone = _uses(handle._cdata) == _OWN_USES and handle.resizable()  # otherwise NumPy may share the memory
            except (NotImplementedError, RuntimeError):  # no storage, or none on this device
                key, alone = 0, False
            storages.add(key)
            if not alone:
                not_alone.add(key)
        self.storages = storages
        self.shared = not_alone

    def reaches(self, tensor: Tensor) -> bool:
        """Return whether the write changes elements of ``tensor``."""
        for target in self.targets:
            if target is tensor:
                return True
        return bool(self.shared) and storage_pointer(tensor) in self.shared


class WriteListener(Protocol):
    """An object with pending tensors, whose values have not been sent yet."""

    def protect(self, write: Write) -> None:
        """Copy the pending tensors that ``write`` is about to change."""


def may_overlap(one: Tensor, other: Tensor) -> bool:
    """Return whether the address ranges of two tensors of one storage intersect."""
    (first, end), (start, last) = _reach(one), _reach(other)
    return first < last and start < end


def _reach(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses at which a tensor's elements start and end."""
    try:
        start = tensor.data_ptr()
        reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
        return start, start + reach * tensor.element_size()
    except (NotImplementedError, RuntimeError):
        return 0, 1
