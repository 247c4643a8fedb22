"""See every call that makes nodes: which line made it, what went in and what came out.

Autograd numbers its nodes as they are made. Whatever was numbered while a call ran was made by that call, so that every
node of a graph finds its call, however many it made, without touching what it computes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext

from ..source.instrument import PROGRAM
from ..tensors.handles import next_sequence_nr, tensors_in
from ..tensors.memory import Write
from ..tensors.snapshot import PLAIN_TYPES, grad_fn_of
from .calls import Call, Calls
from .functions import CALL, COMPOSITE, KINDS, READ, UPDATES_STATISTICS, WRITE, classify, composite_copy

_C: Any = torch._C
_AS_SUBCLASS = Tensor.as_subclass
_BROADCAST = _C._VariableFunctions.broadcast_tensors
_NOTHING = contextlib.nullcontext()


class ForwardMode(TorchFunctionMode):
    """Passes every call into torch on, unchanged, and notes what it made.

    Python functions of torch that are made of several calls (``F.multi_head_attention_forward``) are opened: they run
    with the mode on, from a copy of themselves that does not hand over to a mode a second time.
    """

    def __init__(self, calls: Calls, observer: ForwardObserver, filename: str = PROGRAM) -> None:
        super().__init__()
        self._calls = calls
        self._filename = filename
        self._observer = observer
        self._opening: set[Any] = set()
        self.modules: list[str] = []
        self.paused = 0
        """Above 0, calls pass through unseen: inside an optimizer's step, or in our own work."""
        self._first = 0
        """The number of the first node that a call could make: a view that is looked at before it may make its node anew."""
        self.depth = 1
        """How many modes are on when this one is, and none of the program's."""

    def __exit__(self, *failure: object) -> None:
        remove_mode(self)

    def leave_stack(self) -> bool:
        """Leave the stack of modes for a while, so that calls cost what they cost alone; only from its top."""
        length = _C._len_torch_function_stack()
        if not length or _C._get_function_stack_at(length - 1) is not self:
            return False
        _C._pop_torch_function_stack()
        return True

    def rejoin_stack(self) -> None:
        """Come back to the stack where this stood, below what the program has put there since."""
        modes = [_C._get_function_stack_at(place) for place in range(_C._len_torch_function_stack())]
        if self in modes:
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
        first = next_sequence_nr()
        if kind is CALL and not (kwargs and "out" in kwargs):
            out = func(*args, **kwargs) if kwargs else func(*args)
        elif kind is COMPOSITE:
            out = self._open(func, args, kwargs or {})
        elif kind is WRITE or kind is CALL:
            out = self.write(func, args, kwargs or {}, types)
            first = self._first
        elif kind is UPDATES_STATISTICS:
            out = self._count(func, args, kwargs or {})
            first = self._first
        else:
            return self._observer.special(kind, func, args, kwargs or {})
        last = next_sequence_nr()
        if last == first and not types and not self._observer.followed and func is not _AS_SUBCLASS:
            return out
        try:
            if types or func is _AS_SUBCLASS:  # to look at one that has a __torch_function__ of its own would call that
                with torch._C.DisableTorchFunction():
                    self._note(first, last, func, out, args, kwargs)
            elif last != first:
                self._note(first, last, func, out, args, kwargs)
            else:
                self._observer.follow(out, args)
        except Exception as error:  # what we fail at is no failure of the program
            self._observer.failed(error)
        return out

    def _open(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func in self._opening:  # its copy has come round to the original, which hands over to us again
            return func(*args, **kwargs)
        self._opening.add(func)
        try:
            with self:
                return composite_copy(func)(*args, **kwargs)
        finally:
            self._opening.discard(func)

    def _note(self, first: int, last: int, func: Any, out: Any, args: Sequence[Any], kwargs: dict[str, Any] | None) -> None:
        direct = sys._getframe(2)
        frame: FrameType | None = direct
        filename = self._filename
        while frame is not None and frame.f_code.co_filename != filename:
            frame = frame.f_back
        module = self.modules[-1] if self.modules else ""
        calls = self._calls
        site = calls.site(None, 0, module) if frame is None else calls.site(frame.f_code, frame.f_lasti, module)
        if isinstance(out, Tensor) and out.requires_grad and out._version and out._is_view():
            grad_fn_of(out)  # a view that was written to makes its node anew when asked for it
            last = next_sequence_nr()
        if last != first:
            given = (*args, *kwargs.values()) if kwargs else args
            calls.add(Call(first, last, site, func, out, given, frame is direct))
            if func == _BROADCAST:
                self._observer.broadcast(args[0], out)
        if self._observer.followed:
            self._observer.follow(out, args)

    def _count(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        given = (argument for argument in (*args, *kwargs.values()) if isinstance(argument, Tensor))
        try:
            self._observer.before_write(Write([tensor for tensor in given if not tensor.requires_grad]))
        except Exception as error:
            self._observer.failed(error)
        first = next_sequence_nr()
        out = func(*args, **kwargs)
        self._first = first
        return out

    def may_write(self, given: list[Tensor]) -> None:
        """Something is called that cannot be seen into: it may write to what it is given."""
        if given and not self.paused:
            try:
                with _C.DisableTorchFunction():
                    self._observer.before_write(Write(given))
            except Exception as error:
                self._observer.failed(error)

    def write(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], types: Any = ()) -> Any:
        """Carry out a call that writes to its first argument, or to ``out``."""
        written: Any = kwargs.get("out", args[0] if args else None)
        targets: list[Tensor] = (
            [written] if type(written) in PLAIN_TYPES else [each for each in tensors_in(written) if isinstance(each, Tensor)]
        )
        try:
            with _C.DisableTorchFunction() if types else _NOTHING:
                self._observer.before_write(Write(targets))
        except Exception as error:
            self._observer.failed(error)
        first = next_sequence_nr()
        out = func(*args, **kwargs)
        try:
            with _C.DisableTorchFunction() if types else _NOTHING:
                self._observer.after_write(func, targets)
        except Exception as error:
            self._observer.failed(error)
        self._first = first  # another may have come in between
        return out


def remove_mode(mode: TorchFunctionMode) -> None:
    """Take a mode off the stack, from wherever it stands: the program may have left one of its own on above it."""
    above = []
    while _C._len_torch_function_stack():
        top = _C._pop_torch_function_stack()
        if top is mode:
            break
        above.append(top)
    for other in reversed(above):
        _C._push_on_torch_function_stack(other)


def _device_is_set() -> bool:
    """Whether ``torch.set_default_device`` has a mode on: that one stands below all others, and looks for itself there."""
    return bool(_C._len_torch_function_stack()) and isinstance(_C._get_function_stack_at(0), DeviceContext)


def mode_depth() -> int:
    """How many modes are on, but for that of a default device."""
    return int(_C._len_torch_function_stack()) - _device_is_set()


@contextlib.contextmanager
def below_program_modes() -> Iterator[None]:
    """Enter modes below those that the program has left on, as a cell of a notebook may for the next one."""
    left = [_C._pop_torch_function_stack() for _ in range(_C._len_torch_function_stack() - _device_is_set())]
    try:
        yield
    finally:
        for mode in reversed(left):
            _C._push_on_torch_function_stack(mode)


class ForwardObserver:
    """What the mode tells the rest of the recorder. This one does nothing with it."""

    followed: Mapping[int, Any] = {}
    """What is alive of all that was computed from a gradient: while there is any, calls have to be looked at."""

    def special(self, kind: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Carry out a call of a special kind."""
        return func(*args, **kwargs)

    def failed(self, error: Exception) -> None:
        """What was to be done with a call failed: the call itself goes on."""
        raise error

    def follow(self, out: Any, args: Sequence[Any]) -> None:
        """A call was made while something is followed."""

    def broadcast(self, given: Sequence[Any], out: Sequence[Any]) -> None:
        """Tensors were brought to one shape, as the losses of torch do it."""

    def before_write(self, write: Write) -> None:
        """Memory is about to be written to."""

    def after_write(self, func: Any, targets: list[Tensor]) -> None:
        """These tensors were written to in place."""
