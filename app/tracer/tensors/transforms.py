"""Compute without being observed by the program's modes, subclasses and ``torch.func`` transforms."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_C: Any = torch._C
_FUNCTORCH: Any = torch._C._functorch
_wrapped = _FUNCTORCH.is_functorch_wrapped_tensor
_batched = _FUNCTORCH.is_legacy_batchedtensor
_dispatchers = _C._len_torch_dispatch_stack
_interpreters = _FUNCTORCH.peek_interpreter_stack
_is_grad_enabled, _set_grad_enabled = _C.is_grad_enabled, _C._set_grad_enabled
_NO_CONTEXT = contextlib.nullcontext()


def without_dispatch_modes() -> contextlib.AbstractContextManager[None]:
    """Return a context in which the program's dispatch modes, if any, do not observe what we compute."""
    return torch._C._DisableTorchDispatch() if torch._C._len_torch_dispatch_stack() else _NO_CONTEXT


def is_unobserved() -> bool:
    """Return whether no transform and no dispatch mode of the program is active."""
    return not _dispatchers() and _interpreters() is None


def outside_transforms() -> contextlib.AbstractContextManager[Any, bool | None]:
    """Return a context in which we compute with plain tensors, even inside a transform or a dispatch mode."""
    return _NO_CONTEXT if is_unobserved() else _Outside()


class _Outside(contextlib.ExitStack):
    def __init__(self) -> None:
        super().__init__()
        self.enter_context(_C._DisableFuncTorch())
        self.enter_context(_C._DisableTorchDispatch())


class Unobserved:
    """A context in which no mode, subclass or autograd of the program observes what we compute.

    The garbage collector is paused too. It would run the program's finalizers here, and it would traverse a large graph
    again and again while we create an object for each node.
    """

    __slots__ = ("_collecting", "_dispatch", "_function", "_graded")

    def __enter__(self) -> None:
        self._collecting = gc.isenabled()
        if self._collecting:
            gc.disable()
        self._function = _C.DisableTorchFunction()
        self._function.__enter__()
        self._graded = _is_grad_enabled()
        if self._graded:
            _set_grad_enabled(False)
        self._dispatch = _C._DisableTorchDispatch() if _dispatchers() else None
        if self._dispatch is not None:
            self._dispatch.__enter__()

    def __exit__(self, *failure: object) -> None:
        if self._dispatch is not None:
            self._dispatch.__exit__(None, None, None)
        if self._graded:
            _set_grad_enabled(True)
        self._function.__exit__(None, None, None)
        if self._collecting:
            gc.enable()


def is_transform_wrapper(tensor: Tensor) -> bool:
    """Return whether a tensor is a wrapper that a transform created, without elements of its own."""
    return bool(_wrapped(tensor) or _batched(tensor))


def inside_transform(tensors: Iterable[Any]) -> bool:
    """Return whether a ``torch.func`` transform is active, or created one of these tensors."""
    if _interpreters() is not None:
        return True
    return any(isinstance(tensor, Tensor) and (_wrapped(tensor) or _batched(tensor)) for tensor in tensors)


def unwrapped(tensor: Tensor) -> Tensor:
    """Return the tensor that ``torch.func.grad`` wrapped; a batched tensor is returned unchanged."""
    while _FUNCTORCH.is_gradtrackingtensor(tensor):
        tensor = _FUNCTORCH.get_unwrapped(tensor)
    return tensor
