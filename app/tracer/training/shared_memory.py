"""Keep track of the memory that NumPy arrays share with tensors, and can write to at any time."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.multiprocessing import reductions

from ..tensors.handles import storage_pointer
from ..tensors.memory import Write
from .parameters import Parameters

_weak: Any = reductions.StorageWeakRef
_SWEEP = 64
"""The number of storages up to which freed ones are removed before each use. Beyond it, they are removed now and then."""


class SharedMemory:
    """The storages that NumPy arrays share. NumPy may thereby write to ``parameters``, the parameters of the run."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._storages: dict[int, Any] = {}
        self.keys: set[int] = set()
        """The addresses of the storages."""
        self._write = Write((), self.keys, standing=True)
        self._sweep_at = _SWEEP
        self._watched: list[int] = []
        self._watched_at = (-1, -1)
        self._revision = 0

    def add(self, tensor: Tensor) -> int:
        """Add the storage of a tensor, and return its address, 0 if it has none."""
        key = storage_pointer(tensor)
        if not key:
            return key
        self._storages[key] = _weak(tensor.untyped_storage())
        self.keys.add(key)
        self._revision += 1
        if len(self._storages) > self._sweep_at:
            self._remove_freed()
            self._sweep_at = 2 * len(self._storages) + _SWEEP
        return key

    @property
    def write(self) -> Write:
        """The write that any statement may make, to all of these storages."""
        self._remove_few()
        return self._write

    def _remove_few(self) -> None:
        if len(self._storages) <= _SWEEP:
            self._remove_freed()

    def _remove_freed(self) -> None:
        """Remove the storages that were freed: other tensors may get their addresses."""
        for freed in [key for key, storage in self._storages.items() if storage.expired()]:
            del self._storages[freed]
            self.keys.discard(freed)
            self._revision += 1

    def of_parameters(self) -> list[int]:
        """Return the addresses of those storages that contain a parameter or a parameter's gradient."""
        self._remove_few()
        at = (self._revision, self._parameters.revision)
        if at != self._watched_at:
            self._watched = sorted(self.keys & self._parameters.storages())
            self._watched_at = at
        return self._watched
