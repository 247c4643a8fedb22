"""Let torch's own Python code take its short way, where its long one is only there for the recorder.

While a mode is on, torch's Python functions hand themselves over to it one by one, a module that has hooks is called the
slow way, and clearing gradients asks for each of them through the mode. What is changed here is put back when it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import NoneType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from ..source.names import parts
from ..tensors.snapshot import PLAIN_TYPES
from .mode import ForwardMode

_C: Any = torch._C
_INERT = PLAIN_TYPES | {NoneType, bool, int, float, str}
"""Types of arguments that nothing has to be handed over for, but for a mode."""
_NAMES = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
_has, _has_unary, _has_variadic = _C._has_torch_function, _C._has_torch_function_unary, _C._has_torch_function_variadic
_length = _C._len_torch_function_stack
_recording: list[ForwardMode] = []


def has_torch_function(values: Sequence[Any]) -> bool:
    """Whether a function of torch's has to hand over its call for one of these arguments, or to a mode of the program's."""
    return not _all_inert(values) and bool(_has(values))


def has_torch_function_unary(value: Any) -> bool:
    """The same for one argument."""
    return not (type(value) in _INERT and _length() <= _depth()) and bool(_has_unary(value))


def has_torch_function_variadic(*values: Any) -> bool:
    """The same for arguments in a row."""
    return not _all_inert(values) and bool(_has_variadic(*values))


def _depth() -> int:
    return _recording[-1].depth if _recording else 0


def _all_inert(values: Sequence[Any]) -> bool:
    for value in values:
        if type(value) not in _INERT:
            return False
    return bool(_length() <= _depth())


_REPLACED = {_has: has_torch_function, _has_unary: has_torch_function_unary, _has_variadic: has_torch_function_variadic}
for _function in _REPLACED.values():  # else TorchScript would look for their source, to compile it
    torch.jit._builtins._register_builtin(_function, "aten::has_torch_function")


@contextmanager
def skip_mode_dispatch(mode: ForwardMode) -> Iterator[None]:
    """Let functions of ``torch.nn.functional`` and its like run on, and the mode see the calls that they are made of.

    They still hand over for subclasses of tensors, and to a mode that the program has put on itself.
    """
    # Tensor.backward asks the one for a single tensor, and does better with the mode aside
    tensor = sys.modules["torch._tensor"].__dict__
    places = [(torch.nn.functional.__dict__, _NAMES), (torch.functional.__dict__, _NAMES), (tensor, _NAMES[:1])]
    originals = [(scope, name, scope[name]) for scope, names in places for name in names if name in scope]
    _recording.append(mode)
    for scope, name, original in originals:
        scope[name] = _REPLACED.get(original, original)
    try:
        yield
    finally:
        for scope, name, original in originals:
            scope[name] = original
        _recording.pop()


@contextmanager
def track_running_module(mode: ForwardMode, path_of: Callable[[Module], str]) -> Iterator[None]:
    """Note which module is running, without a hook on each."""
    original: Any = Module.__call__

    @wraps(original)
    def call(self: Module, *args: Any, **kwargs: Any) -> Any:
        running = mode.modules
        running.append(path_of(self))
        try:
            return original(self, *args, **kwargs)
        finally:
            running.pop()

    Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        Module.__call__ = original  # type: ignore[method-assign]


@contextmanager
def observe_zero_grad(mode: ForwardMode, cleared: Callable[[list[Tensor]], None]) -> Iterator[None]:
    """Tell ``cleared`` of the leaves whose gradients ``zero_grad`` takes away, which the mode is spared."""

    def sparing(original: Any, leaves_of: Callable[[Any], list[Tensor] | None]) -> Any:
        @wraps(original)
        def zero_grad(self: Any, set_to_none: bool = True) -> None:
            leaves = leaves_of(self) if set_to_none else None
            if leaves is None or not mode.leave_stack():
                original(self, set_to_none)
                return
            try:
                with _C.DisableTorchFunction():
                    had = [leaf for leaf in leaves if leaf.grad is not None]
                original(self, set_to_none)
                with _C.DisableTorchFunction():
                    cleared([leaf for leaf in had if leaf.grad is None])
            finally:
                mode.rejoin_stack()

        return zero_grad

    originals: list[tuple[Any, Any, Callable[[Any], list[Tensor] | None]]] = [
        (Optimizer, Optimizer.zero_grad, lambda self: [leaf for group in self.param_groups for leaf in group["params"]]),
        (Module, Module.zero_grad, _parameters),
    ]
    for owner, original, leaves_of in originals:
        owner.zero_grad = sparing(original, leaves_of)
    try:
        yield
    finally:
        for owner, original, _ in originals:
            owner.zero_grad = original


_LISTING = ("parameters", "named_parameters", "_named_members", "modules", "named_modules")


def _parameters(module: Module) -> list[Tensor] | None:
    """The parameters of a module; ``None`` where asking for them is the program's own code, which is not to run once more."""
    held = [part for _, part in parts("", module)]
    for part in held:
        if isinstance(part, Module) and any(getattr(type(part), name) is not getattr(Module, name) for name in _LISTING):
            return None
    return [part for part in held if isinstance(part, torch.nn.Parameter)]
