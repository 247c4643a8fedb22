"""Know the leaves that took part in passes: what each is called, where it lives, and what it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..source.names import Names
from ..tensors.handles import same, storage
from ..tensors.memory import overlap
from ..tensors.snapshot import is_leaf, sizes
from ..tensors.table import Table
from .parameter_step import Held, held


class Parameters:
    """The parameters of a run, by an index that stays theirs. A leaf is ``in`` it once it has taken part in a pass."""

    def __init__(self, emitter: Emitter, names: Names) -> None:
        self._emitter = emitter
        self._names = names
        self._indexes: dict[int, int] = {}
        self._leaves: list[Tensor] = []
        self._called: list[str | None] = []
        self._by_name: dict[str, int] = {}
        self._storages: dict[int, set[int]] = {}
        self._gradients: dict[int, int] | None = None
        self._values: dict[int, Held] = {}
        self.on_leaving: Callable[[Tensor], None] = lambda leaf: None
        """Told the leaves in whose place a parameter goes on as another."""

    def __contains__(self, value: object) -> bool:
        return id(value) in self._indexes

    def index(self, leaf: Tensor) -> int:
        """The parameter that a leaf is; raises ``KeyError`` for one that has taken no part."""
        return self._indexes[id(leaf)]

    def add(self, leaf: Tensor) -> int:
        """Take in a leaf, and tell it."""
        index = self._indexes[id(leaf)] = len(self._leaves)
        self._leaves.append(leaf)  # kept, so that its id is not given to another
        name, line = self._names.binding(leaf)
        self._called.append(name)
        if name is not None:
            self._by_name[name] = index
        self.moved(index)
        dtype = str(leaf.dtype).removeprefix("torch.")
        self._emitter.emit(wire.ParameterEvent(index, name, list(sizes(leaf)), dtype, line))
        return index

    def go_on(self, index: int, leaf: Tensor) -> bool:
        """Let a parameter go on as a new leaf, if it can be the same; returns whether it does."""
        before = self._leaves[index]
        if leaf is before:
            return True
        alike = leaf.shape == before.shape and leaf.dtype == before.dtype and is_leaf(leaf) and leaf.requires_grad
        if not alike or leaf in self:
            return False
        self.on_leaving(before)
        self._indexes.pop(id(before), None)
        self._indexes[id(leaf)] = index
        self._storages.get(storage(before), set()).discard(index)
        self._leaves[index] = leaf
        self._values.pop(index, None)
        self.moved(index)
        return True

    def leaf(self, index: int) -> Tensor:
        """The tensor of a parameter."""
        return self._leaves[index]

    def name(self, index: int) -> str | None:
        """What a parameter was called when it first took part."""
        return self._called[index]

    def called(self, name: str) -> int | None:
        """The parameter that a name was last known for."""
        return self._by_name.get(name)

    # ------------------------------------------------------------------ where they live

    def moved(self, index: int) -> None:
        """A parameter has other memory than before."""
        self._storages.setdefault(storage(self._leaves[index]), set()).add(index)

    def written(self, target: Tensor, key: int) -> list[int]:
        """The parameters that a write to a tensor, in a storage, has changed: several may live in parts of one."""
        return [
            index
            for index in sorted(self._storages.get(key, ()))
            if (leaf := self._leaves[index]) is target or (storage(leaf) == key and overlap(leaf, target))
        ]

    def at_storage(self, key: int) -> list[int]:
        """The parameters that live in a storage."""
        return [index for index in sorted(self._storages.get(key, ())) if storage(self._leaves[index]) == key]

    def with_gradient_at(self, key: int) -> int | None:
        """The parameter whose ``.grad`` lives in a storage."""
        if self._gradients is None:
            grads = ((leaf.grad, index) for index, leaf in enumerate(self._leaves))
            self._gradients = {storage(grad): index for grad, index in grads if grad is not None}
        index = self._gradients.get(key)
        grad = self._leaves[index].grad if index is not None else None
        return index if grad is not None and storage(grad) == key else None  # it may be another's memory by now

    def forget_gradients(self) -> None:
        """A pass begins or ends: each ``.grad`` may be other memory than before."""
        self._gradients = None

    # ------------------------------------------------------------------ what they are

    def value(self, index: int, table: Table) -> Held:
        """A parameter as it is now: what it was before, as long as nothing has written to it."""
        found = self._values[index] = held(self._leaves[index], self._values.get(index), table)
        return found

    def has_changed(self, index: int, table: Table) -> bool:
        """Whether a parameter has other elements than when it was last looked at; it is looked at now."""
        before = self._values.get(index)
        if before is None or before.whole is None:
            return False
        now = self.value(index, table)
        return now.whole is not None and not same(before.whole, now.whole)

    def forget_values(self, storages: Iterable[int]) -> None:
        """Memory is about to be written to, by whatever way: a version does not tell of all of them."""
        for key in storages:
            for index in self._storages.get(key, ()):
                self._values.pop(index, None)

    def look_again(self) -> None:
        """Leaves may have been written to unseen, as in an optimizer's step: they are not taken for what they were."""
        self._values.clear()
