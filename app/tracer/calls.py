"""Remember the calls that made nodes, by the numbers of their nodes, for as long as these may be asked for."""

from __future__ import annotations

from collections import deque
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from .handles import number, storage, tensors
from .summary import Snapshot, origin

KEPT_CALLS = 300_000
"""Nodes beyond which the oldest calls are forgotten: if they still live, they have no line any more."""
KEPT_BYTES = 256 << 20
"""Memory of results that no pass has read yet, beyond which the oldest are let go: their values are not known then."""
SMALL = 4096
"""Bytes of a result below which it is not counted."""
COMPRESSED = frozenset({torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})
"""Layouts of sparse tensors that ``is_sparse`` does not count."""


def held(tensor: Tensor) -> int:
    """The bytes of a tensor's elements; of a sparse one, which has no such size, those of its values."""
    if tensor.layout is torch.strided:
        return tensor.nbytes
    values = tensor._nnz() if tensor.is_sparse or tensor.layout in COMPRESSED else tensor.numel()
    return values * tensor.element_size()


class Call:
    """One call that made nodes.

    ``out`` is what it returned, ``arguments`` its operands that need no gradient (``None`` in the place of others); what
    was overwritten since is a snapshot.
    """

    __slots__ = ("arguments", "code", "direct", "first", "function", "graph", "last", "module", "name", "offset", "out")

    def __init__(
        self,
        first: int,
        last: int,
        place: tuple[CodeType, int] | None,
        function: Any,
        out: Any,
        arguments: list[Any],
        module: str,
    ) -> None:
        self.first = first
        self.last = last
        self.code: CodeType | None = place[0] if place is not None else None
        self.offset = place[1] if place is not None else 0
        self.function = function
        self.out = out
        self.arguments = arguments
        self.module = module
        self.name: str | None = None
        self.direct = False
        """Whether the program itself made the call, and not a function of torch's that it called."""
        self.graph = -1
        """The graph of the last pass that reached a node of this call."""

    def let_go(self) -> None:
        """Hold no tensor any more."""
        self.out = None
        self.arguments = []

    def value(self, seq: int) -> Tensor | Snapshot | None:
        """What the node with this sequence number computed, where the call returned it."""
        for out in tensors(self.out):
            if isinstance(out, Snapshot):
                if out.seq == seq:
                    return out
            elif (node := origin(out)) is not None and number(node) == seq:
                return out
        return None


class Calls:
    """The calls whose nodes may still be asked for, by the numbers of their nodes."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._by_number: dict[int, Call] = {}
        self._unindexed: list[Call] = []
        self._by_storage: dict[int, list[Call]] = {}
        self._large: deque[tuple[Call, int]] = deque()
        self._bytes = 0

    def add(self, call: Call) -> None:
        """Take in a call. What it made inside a call that has already been taken in stays with the inner one."""
        known = self._by_number
        if call.last == call.first + 1:
            known.setdefault(call.first, call)
        else:
            for seq in range(call.first, call.last):
                if seq not in known:
                    known[seq] = call
        self._unindexed.append(call)
        out = call.out
        size = held(out) if isinstance(out, Tensor) else sum(held(part) for part in tensors(out) if isinstance(part, Tensor))
        if size > SMALL:
            self._large.append((call, size))
            self._bytes += size
        if len(known) > KEPT_CALLS or self._bytes > KEPT_BYTES:
            self._forget()

    def _forget(self) -> None:
        while self._bytes > KEPT_BYTES:
            call, size = self._large.popleft()
            self._bytes -= size
            call.out = None
        if len(self._by_number) > KEPT_CALLS:
            for seq in list(self._by_number)[: KEPT_CALLS // 6]:
                del self._by_number[seq]
            self._unindexed = self._unindexed[-KEPT_CALLS:]

    def of(self, seq: int) -> Call | None:
        """The call that made the node with this number."""
        return self._by_number.get(seq)

    def name(self, value: Tensor, name: str) -> None:
        """Note the variable that holds what a call computed."""
        node = origin(value)
        call = self._by_number.get(number(node)) if node is not None else None
        if call is not None and call.name is None:
            call.name = name

    def protect(self, storages: set[int]) -> None:
        """Something is about to write to these storages: copy what calls returned there, or were given."""
        for call in self._unindexed:
            for tensor in (*tensors(call.out), *tensors(call.arguments)):
                if isinstance(tensor, Tensor):
                    self._by_storage.setdefault(storage(tensor), []).append(call)
        self._unindexed = []
        for key in storages:
            for call in self._by_storage.pop(key, ()):
                call.out = self._protected(call.out, key)
                call.arguments = [self._protected(argument, key) for argument in call.arguments]

    def release(self, before: int) -> None:
        """A step is over: let go of what calls before a number returned and were given. Their lines stay known."""
        held = {id(call): call for calls in self._by_storage.values() for call in calls}
        for call in (*held.values(), *self._unindexed):
            if call.first < before:
                call.let_go()
        self._unindexed = [call for call in (*held.values(), *self._unindexed) if call.first >= before]
        self._by_storage.clear()
        self._large = deque((call, size) for call, size in self._large if call.first >= before)
        self._bytes = sum(size for _, size in self._large)

    def _protected(self, value: Any, key: int) -> Any:
        if isinstance(value, Tensor):
            return Snapshot(value, self._kept) if storage(value) == key else value
        if isinstance(value, list | tuple):
            return [self._protected(item, key) for item in value]
        return value
