"""Register the parameters: the leaves that took part in passes, with their names, their memory and their values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..source.names import Names
from ..tensors.handles import equal_elements, storage_pointer
from ..tensors.lifetimes import Lifetimes
from ..tensors.memory import Write, may_overlap
from ..tensors.references import WeakTensor
from ..tensors.snapshot import is_leaf, shape_of
from ..tensors.table import TableBuilder
from .parameter_changes import LeafValue, leaf_value


class ReplacementObserver(Protocol):
    """Acts when a parameter's leaf is replaced by another tensor."""

    def forget(self, tensor: Tensor) -> None:
        """Called with the replaced leaf."""


class Parameters:
    """The parameters of a run. Each keeps its index. ``leaf in parameters`` is true once the leaf has taken part in a pass.

    The leaves of the current step are kept alive until :meth:`release`, unless the program observes ``lifetimes``. Any other
    leaf is freed with its last reference in the program, and then forgotten.
    """

    def __init__(
        self, emitter: Emitter, names: Names, observer: ReplacementObserver, lifetimes: Lifetimes | None = None
    ) -> None:
        self._emitter = emitter
        self._lifetimes = Lifetimes() if lifetimes is None else lifetimes
        self._names = names
        self._observer = observer
        self._indexes: dict[int, int] = {}
        self._leaves: dict[int, WeakTensor] = {}
        """The living leaves, by parameter."""
        self._current: dict[int, Tensor] = {}
        """The leaves of the current step, by parameter."""
        self._names_of: list[str | None] = []
        self._by_name: dict[str, int] = {}
        self.names = self._by_name.keys()
        """The names under which parameters were registered."""
        self._storages: dict[int, set[int]] = {}
        self._storage_of: dict[int, int] = {}
        self._gradients: dict[int, int] | None = None
        self._values: dict[int, LeafValue] = {}
        self.revision = 0
        """A number that grows when a parameter or a parameter's gradient may have moved to another storage."""

    def __contains__(self, value: object) -> bool:
        return id(value) in self._indexes

    def index(self, leaf: Tensor) -> int:
        """Return the index of a leaf's parameter. Raises ``KeyError`` for a leaf that has taken part in no pass."""
        return self._indexes[id(leaf)]

    def indexes_of(self, leaves: Iterable[tuple[int, Tensor]]) -> list[int]:
        """Return the parameter of each leaf, -1 for none yet. Each of ``leaves`` is a pair with a leaf in second place."""
        indexes = self._indexes
        return [indexes.get(id(leaf), -1) for _, leaf in leaves]

    def add(self, leaf: Tensor) -> int:
        """Register a leaf, emit it, and return its index."""
        index = len(self._names_of)
        name, line = self._names.binding(leaf)
        dtype = str(leaf.dtype).removeprefix("torch.")
        self._emitter.emit(wire.ParameterEvent(index, name, list(shape_of(leaf)), dtype, line, self._names.origin(leaf)))
        self._names_of.append(name)
        self._refer(index, leaf)
        if name is not None:
            self._by_name[name] = index
        self.moved(index)
        return index

    def _refer(self, index: int, leaf: Tensor) -> None:
        """Make a tensor the leaf of a parameter."""
        key = id(leaf)
        self._indexes[key] = index
        self._leaves[index] = WeakTensor(leaf, lambda _: self._forget(index, key))
        self.keep(index, leaf)

    def _forget(self, index: int, key: int) -> None:
        """Forget a leaf. Once it has been freed, another tensor may get its id, ``key``, and its memory."""
        self._indexes.pop(key, None)
        self._leaves.pop(index, None)
        self._values.pop(index, None)
        storage = self._storage_of.pop(index, 0)
        there = self._storages.get(storage, set())
        there.discard(index)
        if not there:
            self._storages.pop(storage, None)

    def keep(self, index: int, leaf: Tensor) -> None:
        """Keep the leaf of a parameter alive until the current step ends."""
        if not self._lifetimes.observed:
            self._current[index] = leaf

    def release(self) -> None:
        """Stop keeping leaves alive, because the step has ended."""
        self._current.clear()

    def replace_leaf(self, index: int, leaf: Tensor) -> bool:
        """Make ``leaf`` the new leaf of a parameter, if it has the same shape and dtype. Return whether it is the leaf now."""
        before = self.leaf(index)
        if leaf is before:
            return True
        if before is None:
            return False
        alike = leaf.shape == before.shape and leaf.dtype == before.dtype and is_leaf(leaf) and leaf.requires_grad
        if not alike or leaf in self:
            return False
        self._observer.forget(before)
        self._forget(index, id(before))
        self._refer(index, leaf)
        self.moved(index)
        return True

    def leaf(self, index: int) -> Tensor | None:
        """Return the tensor of a parameter; ``None`` if the program has freed it."""
        reference = self._leaves.get(index)
        return None if reference is None else reference.get()

    def name(self, index: int) -> str | None:
        """Return the name that a parameter had when it first took part in a pass."""
        return self._names_of[index]

    def with_name(self, name: str) -> int | None:
        """Return the last parameter that was registered under a name."""
        return self._by_name.get(name)

    # ------------------------------------------------------------------ memory

    def moved(self, index: int, key: int | None = None) -> None:
        """Record the storage of a parameter, which may have changed. ``key`` is the address of the storage if it is known."""
        leaf = self.leaf(index)
        if leaf is not None:
            key = storage_pointer(leaf) if key is None else key
            if key == self._storage_of.get(index):
                return
            self._storage_of[index] = key
            self._storages.setdefault(key, set()).add(index)
        self.revision += 1

    def may_have(self, write: Write) -> bool:
        """Return whether a write may change a parameter or its gradient."""
        if not self._indexes:
            return False
        indexes, storages, gradients = self._indexes, self._storages, self._gradients or self._by_gradient()
        for key in write.storages:
            if key in storages or key in gradients:
                return True
        return not indexes.keys().isdisjoint(map(id, write.targets))

    def have_memory(self, target: Tensor, key: int) -> bool:
        """Return whether a write to a tensor, with storage ``key``, may have changed a parameter or its gradient."""
        return id(target) in self._indexes or key in self._storages or key in self._by_gradient()

    def written(self, target: Tensor, key: int) -> list[int]:
        """Return the parameters that a write to a tensor has changed. Several may share its storage ``key``."""
        return [
            index
            for index in sorted(self._storages.get(key, ()))
            if (leaf := self.leaf(index)) is target
            or (leaf is not None and key and storage_pointer(leaf) == key and may_overlap(leaf, target))
        ]

    def at_storage(self, key: int) -> list[int]:
        """Return the parameters that use the storage at address ``key``."""
        leaves = [(index, self.leaf(index)) for index in sorted(self._storages.get(key, ()))]
        return [index for index, leaf in leaves if leaf is not None and storage_pointer(leaf) == key]

    def with_gradient_at(self, key: int) -> int | None:
        """Return the parameter whose ``.grad`` uses the storage at address ``key``; ``None`` if there is none."""
        if not key:
            return None
        index = self._by_gradient().get(key)
        leaf = self.leaf(index) if index is not None else None
        grad = leaf.grad if leaf is not None else None
        return index if grad is not None and storage_pointer(grad) == key else None  # the memory may have been reused

    def _by_gradient(self) -> dict[int, int]:
        if self._gradients is None:
            leaves = [(index, reference.get()) for index, reference in list(self._leaves.items())]
            grads = ((leaf.grad, index) for index, leaf in leaves if leaf is not None)
            self._gradients = {storage_pointer(grad): index for grad, index in grads if grad is not None}
        return self._gradients

    def storages(self) -> set[int]:
        """Return the addresses of all storages that contain or have contained a parameter or its gradient."""
        return {*self._storages, *self._by_gradient()}

    def forget_gradients(self) -> None:
        """Look up the storage of each ``.grad`` again: a pass may have replaced it."""
        self._gradients = None
        self.revision += 1

    # ------------------------------------------------------------------ values

    def value(self, index: int, table: TableBuilder) -> LeafValue | None:
        """Return the current value of a parameter, read anew if it was written to; ``None`` if it has been freed."""
        leaf = self.leaf(index)
        return None if leaf is None else self.value_of(index, leaf, table)

    def value_of(self, index: int, leaf: Tensor, table: TableBuilder) -> LeafValue:
        """Return the current value of a parameter whose leaf is known, read anew if it was written to."""
        value = self._values[index] = leaf_value(leaf, self._values.get(index), table)
        return value

    def has_changed(self, index: int, table: TableBuilder) -> bool:
        """Read a parameter, and return whether its elements have changed since it was last read."""
        before = self._values.get(index)
        if before is None or before.elements is None:
            return False
        now = self.value(index, table)
        return now is not None and now.elements is not None and not equal_elements(before.elements, now.elements)

    def forget_values(self, storages: Iterable[int]) -> None:
        """Forget the cached values in these storages before a write, since not every write changes a tensor's version."""
        if not self._values:
            return
        for key in storages:
            for index in self._storages.get(key, ()):
                if self._storage_of.get(index) == key:  # else the parameter has left this memory, and another tensor may use it
                    self._values.pop(index, None)

    def forget_all_values(self) -> None:
        """Forget all cached values: an optimizer's step may write to leaves without changing their versions."""
        self._values.clear()
