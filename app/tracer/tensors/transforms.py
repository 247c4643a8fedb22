"""Tell the stand-ins that the transforms of ``torch.func`` compute with from tensors that have elements of their own."""

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


_NOTHING = contextlib.nullcontext()


def without_dispatch_modes() -> contextlib.AbstractContextManager[None]:
    """A context in which what we compute is not seen by a dispatch mode of the program's, if it has put one on."""
    return torch._C._DisableTorchDispatch() if torch._C._len_torch_dispatch_stack() else _NOTHING


def is_unobserved() -> bool:
    """Whether neither a transform nor a dispatch mode of the program's would see what we compute."""
    return not _dispatchers() and _interpreters() is None


_dispatchers = _C._len_torch_dispatch_stack
_interpreters = _FUNCTORCH.peek_interpreter_stack
_is_grad_enabled, _set_grad_enabled = _C.is_grad_enabled, _C._set_grad_enabled


def outside_transforms() -> contextlib.AbstractContextManager[Any, bool | None]:
    """A context in which what we compute is made of plain tensors, even inside a transform or a dispatch mode."""
    return _NOTHING if is_unobserved() else _Outside()


class _Outside(contextlib.ExitStack):
    def __init__(self) -> None:
        super().__init__()
        self.enter_context(_C._DisableFuncTorch())
        self.enter_context(_C._DisableTorchDispatch())


class Unobserved:
    """A context in which nobody sees what we compute: no mode or subclass of the program's, and no autograd.

    Nor does the collector run, which would call the program's finalizers there, and look through a large graph again and
    again while we make an object for each of its nodes.
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
    """Whether a tensor is what a transform shows of others: it has no elements of its own."""
    return bool(_wrapped(tensor) or _batched(tensor))


def inside_transform(given: Iterable[Any]) -> bool:
    """Whether the program is inside a transform of ``torch.func``, or some of these tensors were made in one."""
    if _interpreters() is not None:
        return True
    return any(isinstance(tensor, Tensor) and is_transform_wrapper(tensor) for tensor in given)


def unwrapped(tensor: Tensor) -> Tensor:
    """The tensor behind what ``torch.func.grad`` shows of it: the same elements. One of a batch stays what it is."""
    while _FUNCTORCH.is_gradtrackingtensor(tensor):
        tensor = _FUNCTORCH.get_unwrapped(tensor)
    return tensor
