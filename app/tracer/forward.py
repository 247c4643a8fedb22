"""See every call that makes nodes: which line made it, what went in and what came out.

Autograd numbers its nodes as they are made. Whatever was numbered while a call ran was made by that call, so that every
node of a graph finds its call, however many it made, without touching what it computes.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from .source import PROGRAM
from .summary import Snapshot

sequence_number: Callable[[], int] = torch._C._autograd._get_sequence_nr
"""The number that the next node of this thread gets."""

KEPT_CALLS = 300_000
"""Nodes beyond which the oldest calls are forgotten: if they still live, they have no line any more."""
KEPT_BYTES = 256 << 20
"""Memory of results that no pass has read yet, beyond which the oldest are let go: their values are not known then."""
SMALL = 4096
"""Bytes of a result below which it is not counted."""


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
            elif out.grad_fn is not None and number(out.grad_fn) == seq:
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
        size = out.nbytes if isinstance(out, Tensor) else sum(part.nbytes for part in tensors(out) if isinstance(part, Tensor))
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
        node = value.grad_fn
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


class ForwardMode(TorchFunctionMode):
    """Passes every call into torch on, unchanged, and notes what it made.

    Python functions of torch that are made of several calls (``F.multi_head_attention_forward``) are opened: they run
    with the mode on, from a copy of themselves that does not hand over to a mode a second time.
    """

    def __init__(self, calls: Calls, observer: Observer, filename: str = PROGRAM) -> None:
        super().__init__()
        self._calls = calls
        self._filename = filename
        self._observer = observer
        self._opening: set[Any] = set()
        self.modules: list[str] = []
        self.resting = 0
        """Above 0, calls pass through unseen: inside an optimizer's step, or in our own work."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.resting:
            return func(*args, **kwargs)
        kind = _KINDS.get(func)
        if kind is None:
            kind = classify(func)
        if kind is READ:
            return func(*args, **kwargs)
        first = sequence_number()
        if kind is OPENED:
            out = self._open(func, args, kwargs)
        elif kind is WRITE or "out" in kwargs:
            out = self._write(func, args, kwargs)
        elif kind is CALL:
            out = func(*args, **kwargs)
        else:
            return self._observer.special(kind, func, args, kwargs)
        last = sequence_number()
        if last != first:
            self._note(first, last, func, out, args, kwargs)
        elif self._observer.following:
            self._observer.follow(out, args)
        return out

    def _open(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func in self._opening:  # its copy has come round to the original, which hands over to us again
            return func(*args, **kwargs)
        self._opening.add(func)
        try:
            with self:
                return _opened(func)(*args, **kwargs)
        finally:
            self._opening.discard(func)

    def _note(self, first: int, last: int, func: Any, out: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        frame: FrameType | None = sys._getframe(2)
        direct = frame
        while frame is not None and frame.f_code.co_filename != self._filename:
            frame = frame.f_back
        place = (frame.f_code, frame.f_lasti) if frame is not None else None
        if isinstance(out, Tensor) and out._is_view() and out._version:
            out.grad_fn  # noqa: B018  (a view that was written to makes its node anew when asked for it)
            last = sequence_number()
        module = self.modules[-1] if self.modules else ""
        call = Call(first, last, place, func, out, operands(args, kwargs), module)
        call.direct = frame is direct
        self._calls.add(call)
        if self._observer.following:
            self._observer.follow(out, args)

    def _write(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        written = kwargs.get("out", args[0] if args else None)
        targets = [target for target in tensors(written) if isinstance(target, Tensor)]
        self._observer.before_write({storage(target) for target in targets})
        out = func(*args, **kwargs)
        self._observer.after_write(func, targets)
        return out


class Observer:
    """What the mode tells the rest of the recorder. This one does nothing with it."""

    following = False
    """Whether anything computed from a gradient is alive, so that calls have to be looked at."""

    def special(self, kind: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Carry out a call of a special kind."""
        return func(*args, **kwargs)

    def follow(self, out: Any, args: Sequence[Any]) -> None:
        """A call was made while something is followed."""

    def before_write(self, storages: set[int]) -> None:
        """These storages are about to be written to."""

    def after_write(self, func: Any, targets: list[Tensor]) -> None:
        """These tensors were written to in place."""


READ, CALL, WRITE, OPENED = "read", "call", "write", "opened"
GRAD_READ, GRAD_SET, DATA_SET, LATE, HOOK, DETACH = "grad-read", "grad-set", "data-set", "late", "hook", "detach"

_grad: Any = Tensor.grad  # on the class these are descriptors
_data: Any = Tensor.data
_KINDS: dict[Any, str] = {
    _grad.__get__: GRAD_READ,
    _grad.__set__: GRAD_SET,
    _data.__set__: DATA_SET,
    Tensor.requires_grad_: LATE,
    Tensor.register_hook: HOOK,
    Tensor.detach: DETACH,
    Tensor.numpy: READ,
    Tensor.item: READ,
    Tensor.tolist: READ,
    # what prints or copies is no part of what is computed, and the engine's own entrances are seen at the engine
    **dict.fromkeys(
        (Tensor.__repr__, Tensor.__format__, Tensor.__len__, Tensor.__hash__, Tensor.__deepcopy__, Tensor.__reduce_ex__,
         Tensor.__array__, Tensor.__dir__, Tensor.storage, Tensor.untyped_storage, Tensor.backward, torch.autograd.backward,
         torch.autograd.grad),
        READ,
    ),
}  # fmt: skip


def classify(func: Any) -> str:
    """What to do about a function of torch; remembered."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        kind = CALL if getattr(func, "__self__", None) in _VIEWS else READ
    elif name == "__set__":
        kind = READ
    elif _opened(func) is not None:
        kind = OPENED
    elif (
        (name.endswith("_") and not name.endswith("__"))
        or (name.startswith("__i") and name[3:-2] in _IN_PLACE)
        or name == "__setitem__"
    ):
        kind = WRITE
    else:
        kind = CALL
    with contextlib.suppress(TypeError):  # what cannot be hashed is asked again next time
        _KINDS[func] = kind
    return kind


_IN_PLACE = frozenset(
    {"add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"}
)
_VIEWS = (Tensor.T, Tensor.mT, Tensor.H, Tensor.mH, Tensor.real, Tensor.imag)  # attributes that compute
_COPIES: dict[Any, Any] = {}
_GLOBALS: dict[int, dict[str, Any]] = {}


def _no(*_: Any) -> bool:
    return False


_NOT_HANDED_OVER = {"has_torch_function": _no, "has_torch_function_unary": _no, "has_torch_function_variadic": _no}


def _opened(func: Any) -> Any:
    """A copy of a Python function of torch that does not look for modes itself; ``None`` for what is not one."""
    if type(func) is not types.FunctionType or not (func.__module__ or "").startswith("torch"):
        return None
    found = _COPIES.get(func)
    if found is None:
        known = _GLOBALS.get(id(func.__globals__))
        if known is None:
            known = _GLOBALS[id(func.__globals__)] = {**func.__globals__, **_NOT_HANDED_OVER}
        found = types.FunctionType(func.__code__, known, func.__name__, func.__defaults__, func.__closure__)
        found.__kwdefaults__ = func.__kwdefaults__
        _COPIES[func] = found
    return found


def operands(args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments of a call that are tensors and need no gradient, each in its place; ``None`` in the others'."""
    return [
        operand if isinstance(operand, Tensor) and not operand.requires_grad else None
        for operand in ((*args, *kwargs.values()) if kwargs else args)
    ]


def call_name(func: Any) -> str:
    """The public name of a function of torch, as ``torch.Tensor.mul``; remembered, since torch looks through a table."""
    known = _NAMES.get(func)
    if known is None:
        known = _NAMES[func] = _public_name(func)
    return known


_NAMES: dict[Any, str] = {}


def _public_name(func: Any) -> str:
    try:
        name = resolve_name(func)
    except (AttributeError, TypeError):
        name = None
    return str(name or getattr(func, "__name__", func))


def number(node: Any) -> int:
    """The sequence number of a node; -1 where it has none."""
    try:
        return int(node._sequence_nr())
    except AttributeError:
        return -1


def storage(tensor: Tensor) -> int:
    """What tells the memory of a tensor; 0 where it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def pointer(tensor: Tensor) -> int:
    """Where a tensor's first element lies; 0 where that is not known."""
    try:
        return tensor.data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def tensors(value: Any) -> Iterator[Tensor | Snapshot]:
    """The tensors in what a call takes or returns, one level of lists deep."""
    if isinstance(value, Tensor | Snapshot):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Tensor | Snapshot):
                yield item
            elif isinstance(item, list | tuple):
                yield from (part for part in item if isinstance(part, Tensor | Snapshot))
