"""Observe every call that makes nodes: its location, its arguments and its result.

Autograd numbers nodes in the order in which they are made. All nodes numbered during a call were made by that call. Every
node of a graph is therefore matched to its call without changing the computation.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext

from ..source.instrument import ProgramSource
from ..source.own_failures import OwnFailures
from ..tensors.handles import next_sequence_nr, tensors_in
from ..tensors.kinds import PLAIN_TYPES
from ..tensors.memory import Write
from .calls import Call, Calls
from .functions import CALL, COMPOSITE, KINDS, READ, UPDATES_STATISTICS, WRITE, classify, composite_copy

_C: Any = torch._C
_AS_SUBCLASS = Tensor.as_subclass
_INHERITED: Any = getattr(Tensor.__torch_function__, "__func__", None)
_BROADCAST = _C._VariableFunctions.broadcast_tensors


SHARED_FRAMES: set[CodeType] = set()
"""Code of the functions whose frames are between the program and the mode if several threads share the mode."""


class ForwardMode(TorchFunctionMode):
    """Passes every call into PyTorch on unchanged, and records those that make nodes.

    A composite Python function of PyTorch (such as ``F.multi_head_attention_forward``) runs with the mode active, so that
    its inner calls are observed. It is replaced by a copy that does not dispatch to a mode again.

    Limits: only this thread is observed. Scripted functions and ``Function.apply`` are not observed (see :mod:`.patches`).
    """

    def __init__(
        self, calls: Calls, observer: ForwardObserver, trail: Trail, views: ParameterViews, source: ProgramSource
    ) -> None:
        super().__init__()
        self._calls = calls
        self._filename = source.filename
        self._own, self._has_own = source.own, bool(source.own)
        self._observer = observer
        self.reporting = OwnFailures(observer.failed)
        """A context in which our own failures are reported, and do not fail the program."""
        self._trail = trail
        self._views = views
        self._open_functions: set[Any] = set()
        self.modules: list[str] = []
        self.paused = 0
        """While above 0, calls are passed on unobserved: inside an optimizer's step, or in our own computations."""
        self.tracing = 0
        """While above 0, the program computes with fake tensors, and :attr:`paused` is above 0 too."""
        self._first_sequence_nr = 0
        """The next sequence number right before the last write ran. Inspecting a view for the write may have made a node."""
        self._stopped = False
        self.depth = 1
        """The number of modes up to this one on the stack, without the mode of a default device."""

    def __exit__(self, *failure: object) -> None:
        remove_mode(self)

    def stop(self) -> None:
        """Leave the stack permanently. Calls that are running are not recorded."""
        self._stopped = True
        self.paused = 1 << 30
        while any(_C._get_function_stack_at(index) is self for index in range(_C._len_torch_function_stack())):
            remove_mode(self)

    def foreign(self) -> bool:
        """Return whether a thread other than this one is recorded."""
        return False

    def follows(self, tensors: Sequence[Any]) -> bool:
        """Return whether one of these tensors was computed from a gradient, so that calls with it must be inspected."""
        followed = self._trail.followed
        return bool(followed) and any(id(tensor) in followed for tensor in tensors)

    def leave_stack(self) -> bool:
        """Leave the stack of modes so that calls have no overhead. Return ``False`` if this mode is not on top."""
        length = _C._len_torch_function_stack()
        if not length or _C._get_function_stack_at(length - 1) is not self:
            return False
        _C._pop_torch_function_stack()
        return True

    def rejoin_stack(self) -> None:
        """Return to the stack at the former position, below the modes that the program has added since."""
        modes = [_C._get_function_stack_at(index) for index in range(_C._len_torch_function_stack())]
        if self in modes or self._stopped:
            return
        above = modes[self.depth - 1 + _device_is_set() :]
        for _ in above:
            _C._pop_torch_function_stack()
        for mode in (self, *above):
            _C._push_on_torch_function_stack(mode)

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if self.paused:
            return func(*args, **kwargs) if kwargs else func(*args)
        kind = KINDS.get(func)
        if kind is None:
            kind = classify(func)
        if kind is READ:
            return func(*args, **kwargs) if kwargs else func(*args)
        if (kind is CALL and self._views.old) or (kind is WRITE and self._views.lines):
            self._read_views(args, kwargs, writes=kind is WRITE)
        first = next_sequence_nr()
        if kind is CALL and not (kwargs and "out" in kwargs):
            out = func(*args, **kwargs) if kwargs else func(*args)
        elif kind is WRITE or kind is CALL:
            out = self.write(func, args, kwargs or {}, types)
            first = self._first_sequence_nr
        elif kind is COMPOSITE:
            out = func(*args, **kwargs or {}) if types and _override(types) else self._run_composite(func, args, kwargs or {})
        elif kind is UPDATES_STATISTICS:
            out = self._run_updating_statistics(func, args, kwargs or {})
            first = self._first_sequence_nr
        else:
            return self._observer.special(kind, func, args, kwargs or {})
        last = next_sequence_nr()
        if last == first and kwargs and "requires_grad" in kwargs:
            self._observer.made(out)
        if last == first and not types and not self._trail.followed and func is not _AS_SUBCLASS:
            return out
        try:
            if types or func is _AS_SUBCLASS:  # inspecting a tensor with its own ``__torch_function__`` would call that method
                with torch._C.DisableTorchFunction():
                    self._record(first, last, func, out, args, kwargs)
            elif last != first:
                self._record(first, last, func, out, args, kwargs)
            else:
                self._trail.extend(out, args)
        except Exception as error:  # our failure must not fail the program
            self._observer.failed(error)
        return out

    def _read_views(self, args: Sequence[Any], kwargs: dict[str, Any] | None, *, writes: bool) -> None:
        """Report that a call is about to read tensors, among which may be old views of parameters."""
        try:
            with _C.DisableTorchFunction():
                self._views.read((*args, *kwargs.values()) if kwargs else args, writes=writes)
        except Exception as error:
            self._observer.failed(error)

    def _run_composite(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func in self._open_functions:  # the copy has called the original function
            return func(*args, **kwargs)
        self._open_functions.add(func)
        try:
            with self:
                return composite_copy(func)(*args, **kwargs)
        finally:
            self._open_functions.discard(func)

    def _record(self, first: int, last: int, func: Any, out: Any, args: Sequence[Any], kwargs: dict[str, Any] | None) -> None:
        direct = sys._getframe(2)
        filename = self._filename
        code = direct.f_code
        # file names first, because hashing the program's code takes time in proportion to its length
        if code.co_filename != filename and code in SHARED_FRAMES and direct.f_back is not None:
            direct = direct.f_back
        frame: FrameType | None = direct
        inner = self._own.location(frame, filename) if self._has_own else None
        while frame is not None and frame.f_code.co_filename != filename:
            frame = frame.f_back
        module = self.modules[-1] if self.modules else ""
        calls = self._calls
        site = calls.site(None, 0, module, inner) if frame is None else calls.site(frame.f_code, frame.f_lasti, module, inner)
        if last != first:
            arguments = (*args, *kwargs.values()) if kwargs else args
            self.add(Call(first, last, site, func, out, arguments, last - 1, frame is direct))
            if func == _BROADCAST:
                self._observer.broadcast(args[0], out)
        if self._trail.followed:
            self._trail.extend(out, args)

    def add(self, call: Call) -> None:
        """Add a call that made nodes."""
        self._calls.add(call)

    def _run_updating_statistics(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        tensors = (argument for argument in (*args, *kwargs.values()) if isinstance(argument, Tensor))
        try:
            self._observer.before_write(Write([tensor for tensor in tensors if not tensor.requires_grad]))
        except Exception as error:
            self._observer.failed(error)
        first = next_sequence_nr()
        out = func(*args, **kwargs)
        self._first_sequence_nr = first
        return out

    def may_write(self, tensors: list[Tensor]) -> None:
        """Report the tensors that a call may write to. The operations inside this call are not observed."""
        if tensors and not self.paused:
            try:
                with _C.DisableTorchFunction():
                    self._observer.before_write(Write(tensors))
            except Exception as error:
                self._observer.failed(error)

    def write(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], types: Any = ()) -> Any:
        """Run a call that writes to its first argument or to ``out``.

        ``types`` are the tensor classes with their own ``__torch_function__`` in the call.
        """
        written: Any = kwargs.get("out", args[0] if args else None)
        targets: list[Tensor] = (
            [written] if type(written) in PLAIN_TYPES else [each for each in tensors_in(written) if isinstance(each, Tensor)]
        )
        observer = self._observer
        if types:
            with _C.DisableTorchFunction():
                write = self._announced(targets)
        else:
            write = self._announced(targets)
        first = next_sequence_nr()
        out = func(*args, **kwargs)
        try:
            if types:
                with _C.DisableTorchFunction():
                    observer.after_write(func, write)
            else:
                observer.after_write(func, write)
        except Exception as error:
            observer.failed(error)
        self._first_sequence_nr = first  # an inner call may have changed this number
        return out

    def _announced(self, targets: list[Tensor]) -> Write:
        """Report a write to these tensors to the observer, and return the :class:`Write`."""
        write = Write(targets)
        try:
            self._observer.before_write(write)
        except Exception as error:
            self._observer.failed(error)
        return write


def _override(types: Any) -> bool:
    """Return whether one of these classes defines ``__torch_function__``, which must be called with the original function."""
    return any(getattr(kind.__torch_function__, "__func__", None) is not _INHERITED for kind in types)


def remove_mode(mode: TorchFunctionMode) -> None:
    """Remove a mode from any position of the stack. The program may have left its own modes above it."""
    above = []
    while _C._len_torch_function_stack():
        top = _C._pop_torch_function_stack()
        if top is mode:
            break
        above.append(top)
    for other in reversed(above):
        _C._push_on_torch_function_stack(other)


def _device_is_set() -> bool:
    """Return whether ``torch.set_default_device`` has a mode at the bottom of the stack, where it must stay."""
    return bool(_C._len_torch_function_stack()) and isinstance(_C._get_function_stack_at(0), DeviceContext)


def mode_depth() -> int:
    """Return the number of active modes, without the mode of a default device."""
    return int(_C._len_torch_function_stack()) - _device_is_set()


@contextlib.contextmanager
def below_program_modes() -> Iterator[None]:
    """Enter modes below those that the program has left active: a notebook cell may leave a mode active for the next cell."""
    left = [_C._pop_torch_function_stack() for _ in range(_C._len_torch_function_stack() - _device_is_set())]
    try:
        yield
    finally:
        for mode in reversed(left):
            _C._push_on_torch_function_stack(mode)


class Trail(Protocol):
    """Follows the tensors that are computed from a gradient."""

    @property
    def followed(self) -> Mapping[int, Any]:
        """The living tensors computed from a gradient, by id. While there are any, every call must be inspected."""

    def extend(self, out: Any, args: Sequence[Any]) -> None:
        """Follow the results of a call if any of its arguments is followed."""


class ParameterViews(Protocol):
    """Detects numbers of a parameter that the program has kept without a copy."""

    @property
    def old(self) -> Mapping[int, Any]:
        """The living views of parameters that were updated since, by id. While there are any, every call must be inspected."""

    @property
    def lines(self) -> Collection[int]:
        """The lines that have made old views. While there are any, the writes of the program must be inspected."""

    def read(self, arguments: Sequence[Any], *, writes: bool = False) -> None:
        """Record that the program calls a function with these arguments. With ``writes``, it writes to the first one."""


class ForwardObserver:
    """Receives the observations of the forward mode. This base class does nothing."""

    def special(self, kind: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a call of a special kind."""
        return func(*args, **kwargs)

    def failed(self, error: Exception) -> None:
        """Handle our own failure to record a call. The call itself continues."""
        raise error

    def made(self, out: Any) -> None:
        """Record the result of a call that may have made a leaf."""

    def broadcast(self, given: Sequence[Any], out: Sequence[Any]) -> None:
        """Record that tensors were broadcast to one shape, as loss functions do."""

    def before_write(self, write: Write) -> None:
        """Prepare for a write."""

    def after_write(self, func: Any, write: Write) -> None:
        """Record that a function has written to memory."""
