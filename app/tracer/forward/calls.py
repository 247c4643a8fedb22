"""Remember the calls that made nodes, by the numbers of their nodes, for as long as these may be asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from ..tensors.handles import sequence_nr, storage_pointer, tensors_in
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot, grad_fn_of, is_leaf

KEPT_CALLS = 300_000
"""Nodes beyond which the oldest calls are forgotten: if they still live, they have no line any more."""
KEPT_BYTES = 256 << 20
"""Memory of results that no pass has read yet, beyond which the oldest are let go: their values are not known then."""
SMALL = 4096
"""Bytes of a result below which it is not counted."""
COMPRESSED = frozenset({torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})
"""Layouts of sparse tensors that ``is_sparse`` does not count."""


def data_bytes(tensor: Tensor) -> int:
    """The bytes of a tensor's elements; of a sparse one, which has no such size, those of its values."""
    if tensor.layout is torch.strided:
        return tensor.nbytes
    values = tensor._nnz() if tensor.is_sparse or tensor.layout in COMPRESSED else tensor.numel()
    return values * tensor.element_size()


class CallSite:
    """A place in the program, in a module: the same object for all calls made from there."""

    __slots__ = ("code", "module", "offset")

    def __init__(self, code: CodeType | None, offset: int, module: str) -> None:
        self.code = code
        self.offset = offset
        self.module = module


class Call:
    """One call that made nodes.

    ``out`` is what it returned, ``arguments`` what it was given, keyword arguments last; what was overwritten since is a
    snapshot. ``direct`` tells whether the program itself made the call, and not a function of torch's that it called;
    ``graph`` is that of the last pass that reached a node of it. ``backward_of``: the graph and the place of the node whose
    formula the engine carried out, where that made the nodes.
    """

    __slots__ = ("arguments", "backward_of", "direct", "first", "function", "graph", "last", "name", "out", "site")

    def __init__(
        self, first: int, last: int, site: CallSite, function: Any, out: Any, arguments: Sequence[Any], direct: bool = False
    ) -> None:
        self.first = first
        self.last = last
        self.site = site
        self.function = function
        self.out = out
        self.arguments = arguments
        self.direct = direct
        self.name: str | None = None
        self.graph = -1
        self.backward_of: tuple[int, int] | None = None

    def drop_tensors(self) -> None:
        """Hold no tensor any more."""
        self.out = None
        self.arguments = ()

    def value(self, seq: int) -> Tensor | Snapshot | None:
        """What the node with this sequence number computed, where the call returned it."""
        for each in (self.out,) if type(self.out) is Tensor else tensors_in(self.out):
            if isinstance(each, Snapshot):
                if each.seq == seq:
                    return each
            elif (node := grad_fn_of(each)) is not None and sequence_nr(node) == seq:
                return each
        return None

    def argument(self, place: int) -> Any:
        """The argument at a place, or what the call returned for a negative one."""
        if place < 0:
            return self.out
        return self.arguments[place] if place < len(self.arguments) else None

    def constant(self, place: int) -> Tensor | Snapshot | None:
        """The argument at a place, if it is a tensor that needs no gradient."""
        found = self.argument(place)
        if isinstance(found, Snapshot):
            return None if found.traits.requires_grad else found
        return found if isinstance(found, Tensor) and not found.requires_grad else None


class Calls:
    """The calls whose nodes may still be asked for, by the numbers of their nodes."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._by_number: dict[int, Call] = {}
        self._sites: dict[tuple[int, int, str], CallSite] = {}
        self._recent: list[Call] = []
        self._indexed = 0
        """How many of the recent calls are sorted by storage."""
        self._returned: set[int] = set()
        """The ids of what recent calls returned."""
        self._by_storage: dict[int, list[Call]] = {}
        self._large: deque[tuple[Call, int]] = deque()
        self._bytes = 0
        self.of = self._by_number.get
        """The call that made the node with a number, or ``None``."""

    def site(self, code: CodeType | None, offset: int, module: str) -> CallSite:
        """The place of an instruction, in a module."""
        key = (id(code), offset, module)
        known = self._sites.get(key)
        if known is None:
            known = self._sites[key] = CallSite(code, offset, module)
        return known

    def add(self, call: Call) -> None:
        """Take in a call. What it made inside a call that has already been taken in stays with the inner one."""
        known = self._by_number
        if call.last == call.first + 1:
            known.setdefault(call.first, call)
        else:
            for seq in range(call.first, call.last):
                if seq not in known:
                    known[seq] = call
        self._recent.append(call)
        out = call.out
        if isinstance(out, Tensor):
            self._returned.add(id(out))
            size = data_bytes(out)
        else:
            size = 0
            for part in tensors_in(out):
                if isinstance(part, Tensor):
                    self._returned.add(id(part))
                    size += data_bytes(part)
        if size > SMALL:
            self._large.append((call, size))
            self._bytes += size
            if self._bytes > KEPT_BYTES:
                self._drop_oldest_tensors()
        if len(known) > KEPT_CALLS:
            self._drop_oldest_calls()

    def _drop_oldest_tensors(self) -> None:
        while self._bytes > KEPT_BYTES:
            call, size = self._large.popleft()
            self._bytes -= size
            call.drop_tensors()

    def _drop_oldest_calls(self) -> None:
        for seq in list(self._by_number)[: KEPT_CALLS // 6]:
            del self._by_number[seq]
        self._recent = self._recent[-KEPT_CALLS:]
        self._indexed = 0
        self._by_storage.clear()

    def graph_reached(self, tensor: Tensor) -> int:
        """Return the graph of the last pass that reached a tensor's node; -1 if no pass has."""
        call = self.of(sequence_nr(tensor.grad_fn))
        return call.graph if call is not None else -1

    def name(self, value: Tensor, name: str) -> None:
        """Note the variable that holds what a call computed."""
        call = self._recent[-1] if self._recent else None
        if call is None or call.out is not value or self._by_number.get(call.last - 1) is not call:
            if value.requires_grad and value._is_view() and value._version:
                return  # it may make its node anew for who asks for it: that is to be the program
            node = grad_fn_of(value)
            call = self._by_number.get(sequence_nr(node)) if node is not None else None
        if call is not None and call.name is None:
            call.name = name

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy what calls returned there, or were given."""
        keys = write.shared
        if len(keys) < len(write.storages):
            # what needs a gradient is looked for only among what calls returned, and a leaf most often is not there
            alone = [
                target
                for target in write.targets
                if id(target) in self._returned or not target.requires_grad or not is_leaf(target)
            ]
            keys = keys.union(storage_pointer(target) for target in alone)
        if not keys:
            return
        self._index()
        for key in keys:
            for call in self._by_storage.pop(key, ()):
                call.out = self._protected(call.out, key)
                call.arguments = [
                    self._protected(argument, key) if isinstance(argument, Tensor) and not argument.requires_grad else argument
                    for argument in call.arguments
                ]

    def _index(self) -> None:
        """Sort the calls of late by the memory of what they returned, and of what they were given without a gradient."""
        index = self._by_storage
        for call in self._recent[self._indexed :]:
            out = call.out
            if type(out) is Tensor:
                index.setdefault(storage_pointer(out), []).append(call)
            else:
                for each in tensors_in(out):
                    if isinstance(each, Tensor):
                        index.setdefault(storage_pointer(each), []).append(call)
            for argument in call.arguments:
                if isinstance(argument, Tensor) and not argument.requires_grad:
                    index.setdefault(storage_pointer(argument), []).append(call)
        self._indexed = len(self._recent)

    def release(self, before: int) -> None:
        """A step is over: let go of what calls before a number returned and were given. Their lines stay known."""
        recent = self._recent
        self._recent = []
        self._indexed = 0
        self._by_storage.clear()
        self._returned.clear()
        for call in recent:
            if call.first < before:
                call.drop_tensors()
            else:
                self._recent.append(call)
                self._returned.update(id(part) for part in tensors_in(call.out))
        if self._large:
            self._large = deque((call, size) for call, size in self._large if call.first >= before)
            self._bytes = sum(size for _, size in self._large)

    def _protected(self, value: Any, key: int) -> Any:
        if isinstance(value, Tensor):
            return Snapshot(value, self._kept) if storage_pointer(value) == key else value
        if isinstance(value, list | tuple):
            return [self._protected(item, key) for item in value]
        return value
