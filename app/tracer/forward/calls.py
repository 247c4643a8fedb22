"""Keep the calls that made nodes, by the sequence numbers of their nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from types import CodeType
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from ..source.tracebacks import Location
from ..tensors.handles import sequence_nr, storage_pointer, tensors_in
from ..tensors.kinds import PLAIN_TYPES, is_opaque
from ..tensors.lifetimes import Lifetimes
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot, grad_fn_of, is_leaf
from ..tensors.views import remember
from .foreign_calls import ForeignCalls

MAX_CALLS = 300_000
"""Number of nodes above which the oldest calls are dropped. Their nodes are then recorded without a line."""
MAX_RESULT_BYTES = 256 << 20
"""Largest size in bytes of the results that are kept. Beyond it, the values of the oldest results are not recorded."""
SMALL_BYTES = 4096
"""Results of at most this many bytes are not counted."""
COMPRESSED_LAYOUTS = frozenset({torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})
"""Sparse layouts for which ``Tensor.is_sparse`` is false."""


def data_bytes(tensor: Tensor) -> int:
    """Return the size in bytes of a tensor's elements, or of a sparse tensor's values; 0 for an opaque tensor."""
    if type(tensor) not in PLAIN_TYPES and is_opaque(tensor):
        return 0
    if tensor.layout is torch.strided:
        return tensor.nbytes
    values = tensor._nnz() if tensor.is_sparse or tensor.layout in COMPRESSED_LAYOUTS else tensor.numel()
    return values * tensor.element_size()


class CallSite:
    """A location in the program, and the path of the module that was running. All calls from there share one object.

    If a module of the user's own made the call, ``inner`` is the location in that module.
    """

    __slots__ = ("code", "inner", "module", "offset")

    def __init__(self, code: CodeType | None, offset: int, module: str, inner: Location | None) -> None:
        self.code = code
        self.offset = offset
        self.module = module
        self.inner = inner


class Call(Struct, eq=False, gc=False):
    """One call that made the nodes with sequence numbers ``first`` to ``last`` (exclusive).

    ``out`` is the result, and ``arguments`` are the arguments, keyword arguments last. A tensor that was overwritten later is
    replaced by a snapshot. ``direct`` is true if the program itself made the call, false if a function that it called did.
    ``result`` is the sequence number of the node that made the result. ``graph`` is the index of the graph of the last pass
    that reached one of the nodes. If the engine made the nodes while it computed the formula of another node,
    ``backward_of`` is the graph and index of that node.
    """

    first: int
    last: int
    site: CallSite
    function: Any
    out: Any
    arguments: Sequence[Any]
    result: int
    direct: bool = False
    name: str | None = None
    graph: int = -1
    backward_of: tuple[int, int] | None = None
    parts: dict[int, str] | None = None
    """The variables of further results, by the sequence numbers of the nodes that made them, as `tensor_split` returns them."""

    def without_tensors(self) -> Call:
        """Return a copy without the result and the arguments."""
        copied = Call(self.first, self.last, self.site, self.function, None, (), self.result, self.direct)
        copied.name, copied.parts = self.name, self.parts
        return copied

    def drop_tensors(self) -> None:
        """Drop the result and the arguments."""
        self.out = None
        self.arguments = ()

    def value(self, seq: int) -> Tensor | Snapshot | None:
        """Return the tensor in the result that the node with this sequence number computed; ``None`` if there is none."""
        for each in (self.out,) if type(self.out) is Tensor else tensors_in(self.out):
            if isinstance(each, Snapshot):
                if each.seq == seq:
                    return each
            elif (node := grad_fn_of(each)) is not None and sequence_nr(node) == seq:
                return each
        return None

    def argument(self, index: int) -> Any:
        """Return the argument at an index, or the result for a negative index."""
        if index < 0:
            return self.out
        return self.arguments[index] if index < len(self.arguments) else None

    def constant(self, index: int) -> Tensor | Snapshot | None:
        """Return the argument at an index if it is a tensor that does not require a gradient, else ``None``."""
        found = self.argument(index)
        if isinstance(found, Snapshot):
            return None if found.traits.requires_grad else found
        return found if isinstance(found, Tensor) and not found.requires_grad else None


class Calls:
    """The calls whose nodes may still be needed, by the sequence numbers of their nodes. An instance without calls is false."""

    def __init__(self, kept: int, lifetimes: Lifetimes) -> None:
        self._kept = kept
        self._lifetimes = lifetimes
        self._by_sequence_nr: dict[int, Call] = {}
        self._sites: dict[tuple[int, int, str] | tuple[int, int, str, int, int], CallSite] = {}
        self._recent: list[Call] = []
        self._indexed = 0
        """The number of recent calls that are indexed by storage."""
        self._checked = 0
        """The number of recent calls when a standing write (see :class:`Write`) was last announced."""
        self._returned: set[int] = set()
        """The ids of the tensors that recent calls returned. Ids of dead tensors may remain, which only costs time."""
        self._by_storage: dict[int, list[Call]] = {}
        self._large: deque[tuple[Call, int]] = deque()
        self._bytes = 0
        self.of = self._by_sequence_nr.get
        """Return the call that made the node with a sequence number in the recorded thread, or ``None``."""
        self.foreign = ForeignCalls()

    def __bool__(self) -> bool:
        return bool(self._by_sequence_nr)

    def site(self, code: CodeType | None, offset: int, module: str, inner: Location | None = None) -> CallSite:
        """Return the call site of an instruction, the running module and the instruction ``inner``, as in :class:`CallSite`."""
        key = (id(code), offset, module) if inner is None else (id(code), offset, module, id(inner[0]), inner[1])
        site = self._sites.get(key)
        if site is None:
            site = self._sites[key] = CallSite(code, offset, module, inner)
        return site

    def add(self, call: Call) -> None:
        """Add a call. Nodes that an inner call made stay assigned to the inner call."""
        by_sequence_nr = self._by_sequence_nr
        if call.last == call.first + 1:
            by_sequence_nr.setdefault(call.first, call)
        else:
            for seq in range(call.first, call.last):
                if seq not in by_sequence_nr:
                    by_sequence_nr[seq] = call
            if isinstance(call.out, Tensor):
                made = sequence_nr(grad_fn_of(call.out))
                if call.first <= made < call.last:
                    call.result = made
        self._recent.append(call)
        out = call.out
        if self._lifetimes.observed:
            size = 0
            self._copy(call)
        elif isinstance(out, Tensor):
            self._returned.add(id(out))
            size = data_bytes(out)
            if out._is_view() and out.requires_grad:
                remember(out)
        else:
            size = 0
            for part in tensors_in(out):
                if isinstance(part, Tensor):
                    self._returned.add(id(part))
                    size += data_bytes(part)
                    if part._is_view() and part.requires_grad:
                        remember(part)
        if size > SMALL_BYTES:
            self._large.append((call, size))
            self._bytes += size
            if self._bytes > MAX_RESULT_BYTES:
                self._drop_oldest_tensors()
        if len(by_sequence_nr) > MAX_CALLS:
            self._drop_oldest_calls()

    def _copy(self, call: Call) -> None:
        """Replace the result and the arguments of a call by snapshots: the program may notice that tensors are kept alive."""
        for part in tensors_in(call.out):
            if isinstance(part, Tensor) and part._is_view() and part.requires_grad:
                remember(part)
        call.out = self._copied(call.out)
        call.arguments = [self._copied(argument) for argument in call.arguments]

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return Snapshot(value, self._kept)
        return [self._copied(item) for item in value] if isinstance(value, list | tuple) else value

    def make_foreign(self) -> None:
        """Store all calls on their nodes, because another thread, with its own sequence numbers, is recorded from now on."""
        copies = {seq: call.without_tensors() for seq, call in self._by_sequence_nr.items()}
        self.foreign.add_all([call.out for call in self._recent], copies.get)
        self._by_sequence_nr.clear()
        self._recent.clear()
        self._indexed = self._checked = 0
        self._by_storage.clear()
        self._returned.clear()
        self._large.clear()
        self._bytes = 0

    def _drop_oldest_tensors(self) -> None:
        while self._bytes > MAX_RESULT_BYTES:
            call, size = self._large.popleft()
            self._bytes -= size
            call.drop_tensors()

    def _drop_oldest_calls(self) -> None:
        for seq in list(self._by_sequence_nr)[: MAX_CALLS // 6]:
            del self._by_sequence_nr[seq]
        self._recent = self._recent[-MAX_CALLS:]
        self._indexed = self._checked = 0
        self._by_storage.clear()

    def graph_reached(self, tensor: Tensor) -> int:
        """Return the index of the graph of the last pass that reached a tensor's node; -1 if no pass has."""
        call = self.of(sequence_nr(tensor.grad_fn)) if self.foreign.of(tensor.grad_fn) is None else None
        return call.graph if call is not None else -1

    def name(self, value: Tensor, name: str) -> None:
        """Record the name of the variable that a call's result is assigned to. The result requires a gradient."""
        call = self._recent[-1] if self._recent else None
        if call is None or call.out is not value or self._by_sequence_nr.get(call.result) is not call:
            if value._is_view() and value._version:
                return  # reading its ``grad_fn`` may make a new node, and only the program should make nodes
            node = grad_fn_of(value)
            recorded = node is not None and self.foreign.of(node) is None
            seq = sequence_nr(node) if recorded else -1
            call = self._by_sequence_nr.get(seq)
            if call is not None and call.result != seq:
                call.parts = {seq: name, **(call.parts or {})}
                return
        if call is not None and call.name is None:
            call.name = name

    def protect(self, write: Write) -> None:
        """Replace results and arguments by snapshots if ``write`` is about to change them."""
        keys = write.shared
        if write.standing:
            for call in self._recent[self._checked :]:
                self._protect_call(call, keys)
            self._checked = len(self._recent)
            return
        if not self._recent:
            return
        if keys is not write.storages and any(map(self._may_have, write.targets)):
            keys = write.storages
        if not keys:
            return
        if self._indexed < len(self._recent):
            self._index()
        for key in keys:
            for call in self._by_storage.pop(key, ()):
                self._protect_call(call, (key,))

    def _may_have(self, target: Tensor) -> bool:
        """Return whether a tensor may be the result or an argument of a call, given that no other tensor uses its memory.

        A tensor that requires a gradient counts only as a result, and a leaf is usually not a result.
        """
        return not target.requires_grad or id(target) in self._returned or not is_leaf(target)

    def _protect_call(self, call: Call, keys: Collection[int]) -> None:
        call.out = self._protected(call.out, keys)
        call.arguments = [
            self._protected(argument, keys) if isinstance(argument, Tensor) and not argument.requires_grad else argument
            for argument in call.arguments
        ]

    def _index(self) -> None:
        """Index the recent calls by the storages of their results, and of arguments that do not require a gradient."""
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
        """Drop the results and arguments of calls before a sequence number, but keep their sites.

        This is called when the step of the calls has ended, and before a leaf is resized or swapped.
        """
        recent = self._recent
        self._recent = []
        self._indexed = self._checked = 0
        self._by_storage.clear()
        self._returned.clear()
        for call in recent:
            if call.first < before:
                call.out = None
                call.arguments = ()
            else:
                self._recent.append(call)
                self._returned.update(id(part) for part in tensors_in(call.out))
        if self._large:
            self._large = deque((call, size) for call, size in self._large if call.first >= before)
            self._bytes = sum(size for _, size in self._large)

    def _protected(self, value: Any, keys: Collection[int]) -> Any:
        if isinstance(value, Tensor):
            return Snapshot(value, self._kept) if storage_pointer(value) in keys else value
        if isinstance(value, list | tuple):
            return [self._protected(item, keys) for item in value]
        return value
