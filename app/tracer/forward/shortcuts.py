"""Avoid the overhead that an active mode causes in PyTorch's Python code.

While a mode is active, PyTorch's Python functions dispatch to it one by one. Modules with hooks are called slowly, and clearing
gradients reads each gradient through the mode. Each context manager here undoes its change when it exits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, update_wrapper, wraps
from types import FunctionType, NoneType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from ..source.names import parts
from ..source.weaving import weave_method, woven
from ..tensors.kinds import PLAIN_TYPES
from .call_frames import CallFrame, CallFrames
from .functions import KINDS, READ
from .mode import ForwardMode

_C: Any = torch._C
_AUTOGRAD: Any = torch.autograd
_INERT = PLAIN_TYPES | {NoneType, bool, int, float, str}
"""Argument types that are never dispatched, except to a mode."""
_NAMES = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
_original = _C._has_torch_function
_original_unary = _C._has_torch_function_unary
_original_variadic = _C._has_torch_function_variadic
_length = _C._len_torch_function_stack
_recording: list[ForwardMode] = []


def has_torch_function(values: Sequence[Any]) -> bool:
    """Return whether a call must be dispatched for one of these arguments, or to a mode of the program."""
    return not _all_inert(values) and bool(_original(values))


def has_torch_function_unary(value: Any) -> bool:
    """Like :func:`has_torch_function`, for one argument."""
    return not (type(value) in _INERT and _length() <= _depth()) and bool(_original_unary(value))


def has_torch_function_variadic(*values: Any) -> bool:
    """Like :func:`has_torch_function`, for several positional arguments."""
    return not _all_inert(values) and bool(_original_variadic(*values))


def _depth() -> int:
    return _recording[-1].depth if _recording else 0


def _all_inert(values: Sequence[Any]) -> bool:
    for value in values:
        if type(value) not in _INERT:
            return False
    return bool(_length() <= _depth())


_REPLACED = {
    _original: has_torch_function,
    _original_unary: has_torch_function_unary,
    _original_variadic: has_torch_function_variadic,
}
for _function in _REPLACED.values():  # otherwise TorchScript would try to compile their source
    torch.jit._builtins._register_builtin(_function, "aten::has_torch_function")


@contextmanager
def skip_mode_dispatch(mode: ForwardMode) -> Iterator[None]:
    """Run functions such as those of ``torch.nn.functional`` directly, so that ``mode`` observes their inner calls.

    The functions still dispatch for tensor subclasses, and to modes that the program itself has activated.
    """
    tensor = sys.modules["torch._tensor"].__dict__  # not *_unary: methods that call it, such as register_hook, still dispatch
    scopes = [(torch.nn.functional.__dict__, _NAMES), (torch.functional.__dict__, _NAMES), (tensor, _NAMES[:1])]
    scopes.append((torch.autograd.__dict__, _NAMES[:1]))
    backward: Any = Tensor.backward
    Tensor.backward = _undispatched(backward)  # type: ignore[method-assign]
    make_grads = _AUTOGRAD._make_grads
    _AUTOGRAD._make_grads = woven(make_grads, _MakingGradients(mode))
    originals = [(scope, name, scope[name]) for scope, names in scopes for name in names if name in scope]
    _recording.append(mode)
    for scope, name, original in originals:
        scope[name] = _REPLACED.get(original, original)
    try:
        yield
    finally:
        for scope, name, original in originals:
            scope[name] = original
        Tensor.backward = backward  # type: ignore[method-assign]
        _AUTOGRAD._make_grads = make_grads
        _recording.pop()


@cache
def _undispatched(function: FunctionType) -> FunctionType:
    """Return a copy of a Python function of PyTorch that dispatches only to modes of the program, and for subclasses."""
    scope = {**function.__globals__, _NAMES[1]: has_torch_function_unary}
    made = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    update_wrapper(made, function)
    del made.__wrapped__  # type: ignore[attr-defined]
    KINDS[made] = READ  # observed at the engine
    return made


class _MakingGradients:
    """Disables dispatch for the six calls with which PyTorch makes the first gradients of a pass. These calls make no nodes.

    The calls are dispatched if a mode of the program or a subclass may observe them, or if ``mode`` follows one of the tensors.
    """

    def __init__(self, mode: ForwardMode) -> None:
        self._mode = mode

    def around(self, outputs: Sequence[Any], given: Sequence[Any], batched: bool) -> AbstractContextManager[None]:
        tensors = (*outputs, *given)
        if not _all_inert(tensors) or self._mode.follows(tensors):
            return nullcontext()
        return _C.DisableTorchFunction()  # type: ignore[no-any-return]

    def returned(self, value: Any) -> Any:
        return value


class _ModuleCalls:
    """Enters and leaves the running modules of ``mode``, and their frames."""

    def __init__(self, mode: ForwardMode, frames: CallFrames, path_of: Callable[[Module], str]) -> None:
        self._mode = mode
        self._frames = frames
        self._path_of = path_of

    def around(self, module: Module, args: Any, kwargs: Any) -> _ModuleCall:
        running, path = self._mode.modules, self._path_of(module)
        running.append(path)
        if self._mode.foreign():
            return _ModuleCall(running, None, None)
        return _ModuleCall(running, self._frames, self._frames.enter_module(path))

    def returned(self, value: Any) -> Any:
        return value


class _ModuleCall:
    """A call of a module that runs. ``around`` is the frame around it in ``frames``, if frames are recorded."""

    __slots__ = ("_around", "_frames", "_running")

    def __init__(self, running: list[str], frames: CallFrames | None, around: CallFrame | None) -> None:
        self._running = running
        self._frames = frames
        self._around = around

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._running.pop()
        if self._frames is not None:
            self._frames.leave_module(self._around)


@contextmanager
def track_running_module(mode: ForwardMode, frames: CallFrames, path_of: Callable[[Module], str]) -> Iterator[None]:
    """Keep ``mode.modules`` and ``frames`` up to date with the running modules, without a hook on each.

    Limit: a subclass that overrides ``__call__`` is not observed.
    """
    with weave_method(Module, "__call__", _ModuleCalls(mode, frames, path_of)):
        yield


@contextmanager
def observe_zero_grad(mode: ForwardMode, cleared: Callable[[list[Tensor]], None]) -> Iterator[None]:
    """Call ``cleared`` with the leaves whose gradients ``zero_grad`` removed, without dispatching each access to ``mode``.

    Limit: subclasses that override ``zero_grad`` are observed only where they call the original.
    """

    def without_dispatch(original: Any, leaves_of: Callable[[Any], list[Tensor] | None]) -> Any:
        @wraps(original)
        def zero_grad(self: Any, set_to_none: bool = True) -> None:
            leaves = None
            with mode.reporting:
                leaves = leaves_of(self) if set_to_none and not mode.foreign() else None
            if leaves is None or not mode.leave_stack():
                original(self, set_to_none)
                return
            try:
                had: list[Tensor] = []
                with mode.reporting, _C.DisableTorchFunction():
                    had = [leaf for leaf in leaves if leaf.grad is not None]
                original(self, set_to_none)
                with mode.reporting, _C.DisableTorchFunction():
                    cleared([leaf for leaf in had if leaf.grad is None])
            finally:
                mode.rejoin_stack()

        return zero_grad

    originals: list[tuple[Any, Any, Callable[[Any], list[Tensor] | None]]] = [
        (Optimizer, Optimizer.zero_grad, lambda self: [leaf for group in self.param_groups for leaf in group["params"]]),
        (Module, Module.zero_grad, _parameters),
    ]
    for owner, original, leaves_of in originals:
        owner.zero_grad = without_dispatch(original, leaves_of)
    try:
        yield
    finally:
        for owner, original, _ in originals:
            owner.zero_grad = original


_LISTING = ("parameters", "named_parameters", "_named_members", "modules", "named_modules")


def _parameters(module: Module) -> list[Tensor] | None:
    """Return the parameters of a module, or ``None`` if listing them would run the program's own code once more."""
    members = [part for _, part in parts("", module)]
    for part in members:
        if isinstance(part, Module) and any(getattr(type(part), name) is not getattr(Module, name) for name in _LISTING):
            return None
    return [part for part in members if isinstance(part, torch.nn.Parameter)]
