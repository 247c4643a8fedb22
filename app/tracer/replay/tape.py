"""Keep the calls that made nodes, and all arguments of these calls, so that the calls can be evaluated again.

The graph of a pass shows how its leaves were used. The tape has the same calls in the order in which they were made. A
:class:`TapeSection` evaluates them again with other leaf values. Tensors that are detached from the graph (data, ``detach``,
``no_grad``, a number read with ``item``) keep their recorded values. Autograd's gradient is the slope of the function
that the section then computes.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from ..forward.calls import data_bytes
from ..forward.functions import KINDS, READ, UPDATES_STATISTICS, WRITE, classify
from ..forward.mode import remove_mode
from ..tensors.handles import next_sequence_nr, storage_pointer
from ..tensors.references import WeakTensor
from .evaluate import TapeSection
from .operands import ConstantOperand, LeafOperand, Operand, ResultOperand, TapeEntry, UnknownOperand, flat, rebuilt

FIRST_SWEEP = 2_000
"""Number of calls on the tape at which calls that led to no living tensor are removed for the first time."""
SWEEP_BYTES = 64 << 20
"""Size of the constants recorded since the last removal, in bytes, that triggers the next removal."""


class _LiveTensor(NamedTuple):
    """A living tensor that a call returned, with its token and the memory that it shares with its views."""

    reference: WeakTensor
    token: int
    memory: int


class Tape(TorchFunctionMode):
    """Records those calls that make nodes, among the calls that the forward mode passes on.

    Limits: no call is recorded for nodes made inside ``torch.func`` transforms, by ``backward(create_graph=True)`` or by
    scripted functions. A write to memory shared with NumPy is not observed. Callers must therefore compare an evaluation
    with the recording.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[TapeEntry] = []
        self._live: dict[int, _LiveTensor] = {}
        self._constants: list[weakref.ref[ConstantOperand]] = []
        self._by_storage: dict[int, list[weakref.ref[Any]]] = {}
        self._tokens = 0
        self._sweep_at = FIRST_SWEEP
        self._bytes = 0
        self._apply: Any = None
        self._clear: Any = None
        self._autocast_caches = 0
        self.paused = False

    def __enter__(self) -> Tape:
        self._apply = original = Function.__dict__["apply"]

        def apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:
            function = original.__get__(None, cls)
            with torch._C.DisableTorchFunction():
                before = None if self.paused else self._before(function, args, kwargs, writes=False)
            if before is None:
                return function(*args, **kwargs)
            self.paused = True  # inner calls belong to this call
            try:
                out = function(*args, **kwargs)
            finally:
                self.paused = False
            with torch._C.DisableTorchFunction():
                self._after(*before, out, args, writes=False)
            return out

        self._clear = clear = torch.clear_autocast_cache

        def cleared() -> None:
            self._autocast_caches += not self.paused
            clear()

        Function.apply = classmethod(apply)  # type: ignore[assignment]
        torch.clear_autocast_cache = cleared
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *failure: Any) -> None:
        remove_mode(self)
        Function.apply = self._apply  # type: ignore[method-assign]
        torch.clear_autocast_cache = self._clear

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        kind = KINDS.get(func)
        if kind is None:
            kind = classify(func)
        if self.paused or (kind is READ and func is not torch.autograd.grad):
            return func(*args, **kwargs)
        writes = kind is WRITE or "out" in kwargs
        with torch._C.DisableTorchFunction():  # tensors may have a ``__torch_function__`` of the program
            if writes:
                self._protect(kwargs.get("out", args[0] if args else None))
            elif kind is UPDATES_STATISTICS:
                self._protect(args[1:])  # the first argument is the data, which the call only reads
            before = self._before(func, args, kwargs, writes=writes)
        out = func(*args, **kwargs)
        if before is not None:
            with torch._C.DisableTorchFunction():
                self._after(*before, out, args, writes=writes)
        return out

    def _before(
        self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], *, writes: bool
    ) -> tuple[TapeEntry, int, list[tuple[torch.Generator, Tensor]]] | None:
        """Create the entry of a call that may make nodes, or writes to a tensor on the tape; ``None`` for other calls.

        Returns the entry, the next sequence number, and the random generators with their states.
        """
        if torch.is_grad_enabled():
            if not any(tensor.requires_grad for tensor in flat((args, kwargs))):
                return None
        elif not writes or self._token(args[0] if args else None) is None:
            return None
        entry = TapeEntry(function, None, None, self._autocast_caches)
        counts = KINDS.get(function) is UPDATES_STATISTICS
        first = args[0] if args else None
        entry.args = rebuilt(tuple(args), lambda tensor: self._operand(entry, tensor, writes if tensor is first else counts))
        entry.kwargs = rebuilt(kwargs, lambda tensor: self._operand(entry, tensor, counts))
        generators = [torch.default_generator, *(value for value in kwargs.values() if isinstance(value, torch.Generator))]
        return entry, next_sequence_nr(), [(generator, generator.get_state()) for generator in generators]

    def _operand(self, entry: TapeEntry, tensor: Tensor, written: bool) -> Operand:
        live = self._live.get(id(tensor))
        if live is not None and live.reference.get() is tensor and tensor.requires_grad:
            entry.reads.add(live.memory)
            return ResultOperand(live.token)
        if not tensor.requires_grad:
            if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
                return UnknownOperand(tensor)
            constant = ConstantOperand(tensor, written=written)
            self._bytes += data_bytes(tensor)
            if not written:
                self._constants.append(weakref.ref(constant))
            return constant
        return LeafOperand(tensor) if tensor.is_leaf else UnknownOperand(tensor)

    def _after(
        self,
        entry: TapeEntry,
        first: int,
        generators: list[tuple[torch.Generator, Tensor]],
        out: Any,
        args: Sequence[Any],
        *,
        writes: bool,
    ) -> None:
        if next_sequence_nr() == first and entry.graded:
            return
        entry.numbers = range(first, next_sequence_nr())
        entry.generators = [
            (generator, state) for generator, state in generators if not torch.equal(generator.get_state(), state)
        ]
        if writes and args and isinstance(args[0], Tensor):
            self._record_write(entry, args[0])
        for tensor in flat(out):
            entry.result_tokens.append(self._result_token(entry, tensor) if tensor.requires_grad else -1)
        self._entries.append(entry)
        if len(self._entries) >= self._sweep_at or self._bytes >= SWEEP_BYTES:
            self._sweep()

    def _record_write(self, entry: TapeEntry, target: Tensor) -> None:
        """Record that a call wrote to its first operand, whose value is the call's result from now on."""
        operand = entry.args[0]
        if isinstance(operand, ConstantOperand) and target.requires_grad:
            operand.token = self._result_token(entry, target)
        live = self._live.get(id(target))
        if live is not None:
            entry.writes.add(live.memory)

    def _result_token(self, entry: TapeEntry, tensor: Tensor) -> int:
        live = self._live.get(id(tensor))
        if live is not None and live.reference.get() is tensor:
            entry.writes.add(live.memory)
            return live.token
        token = memory = self._tokens
        self._tokens += 1
        if tensor._is_view():  # a view and its base share their memory: a write to one changes the other
            base = self._live.get(id(tensor._base))
            memory = base.memory if base is not None else memory
        key = id(tensor)
        forget = self._live.pop
        self._live[key] = _LiveTensor(WeakTensor(tensor, lambda _: forget(key, None)), token, memory)
        entry.writes.add(memory)
        return token

    def _token(self, value: Any) -> int | None:
        live = self._live.get(id(value))
        return live.token if live is not None and live.reference.get() is value else None

    def _protect(self, written: Any) -> None:
        """Copy the constants that share memory with tensors that are about to be written to."""
        for reference in self._constants:
            constant = reference()
            if constant is not None and not constant.copied:
                self._by_storage.setdefault(storage_pointer(constant.tensor), []).append(reference)
        self._constants.clear()
        for tensor in flat(written):
            for reference in self._by_storage.pop(storage_pointer(tensor), ()):
                constant = reference()
                if constant is not None:
                    constant.copy()

    def _sweep(self) -> None:
        """Remove the calls that led to no living tensor."""
        self._entries = self._leading_to(each.memory for each in list(self._live.values()))
        self._constants = [reference for reference in self._constants if reference() is not None]
        self._by_storage = {
            key: alive
            for key, references in self._by_storage.items()
            if (alive := [reference for reference in references if reference() is not None])
        }
        self._sweep_at = max(FIRST_SWEEP, 2 * len(self._entries))
        self._bytes = 0

    def _leading_to(self, memories: Iterable[int]) -> list[TapeEntry]:
        needed = set(memories)
        found: list[TapeEntry] = []
        for entry in reversed(self._entries):
            if not needed.isdisjoint(entry.writes):
                needed |= entry.reads
                found.append(entry)
        found.reverse()
        return found

    def leading_to(self, roots: Sequence[Tensor]) -> TapeSection:
        """Return the section that computed these tensors."""
        entry = TapeEntry(None, None, None)  # type: ignore[arg-type]  # used only to collect the roots' operands
        operands = [self._operand(entry, root, written=False) for root in roots]
        return TapeSection(self._leading_to(entry.reads), operands)
