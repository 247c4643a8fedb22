"""Tell the stand-ins that the transforms of ``torch.func`` compute with from tensors that have elements of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_FUNCTORCH: Any = torch._C._functorch
_wrapped = _FUNCTORCH.is_functorch_wrapped_tensor
_batched = _FUNCTORCH.is_legacy_batchedtensor


_NOTHING = contextlib.nullcontext()


def apart() -> contextlib.AbstractContextManager[None]:
    """A context in which what we compute is not seen by a dispatch mode of the program's, if it has put one on."""
    return torch._C._DisableTorchDispatch() if torch._C._len_torch_dispatch_stack() else _NOTHING


def stands_in(tensor: Tensor) -> bool:
    """Whether a tensor is what a transform shows of others: it has no elements of its own."""
    return bool(_wrapped(tensor) or _batched(tensor))


def inside_transform(given: Iterable[Any]) -> bool:
    """Whether the program is inside a transform of ``torch.func``, or some of these tensors were made in one."""
    if _FUNCTORCH.peek_interpreter_stack() is not None:
        return True
    return any(isinstance(tensor, Tensor) and stands_in(tensor) for tensor in given)


def plain(tensor: Tensor) -> Tensor:
    """The tensor behind what ``torch.func.grad`` shows of it: the same elements. One of a batch stays what it is."""
    while _FUNCTORCH.is_gradtrackingtensor(tensor):
        tensor = _FUNCTORCH.get_unwrapped(tensor)
    return tensor
