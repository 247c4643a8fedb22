"""Tell the functions of torch apart: what a call to each one does, what it is called, and which are made of others."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import torch
from torch import Tensor
from torch.overrides import resolve_name

READ, CALL, WRITE, UPDATES_STATISTICS, COMPOSITE = "read", "call", "write", "count", "opened"
"""``UPDATES_STATISTICS``: what keeps running statistics writes to tensors that it is given, and its name does not say so."""
GRAD_READ, GRAD_SET, DATA_SET, LATE, HOOK, DETACH = "grad-read", "grad-set", "data-set", "late", "hook", "detach"
SHARE = "share"
"""What hands a tensor's memory to numpy, which can then write there unseen."""

_grad: Any = Tensor.grad  # on the class these are descriptors
_data: Any = Tensor.data
_grad_fn: Any = Tensor.grad_fn
_requires_grad: Any = Tensor.requires_grad
KINDS: dict[Any, str] = {
    _grad.__get__: GRAD_READ,
    _grad.__set__: GRAD_SET,
    _data.__set__: DATA_SET,
    Tensor.requires_grad_: LATE,
    _requires_grad.__set__: LATE,
    Tensor.register_hook: HOOK,
    _grad_fn.__get__: HOOK,  # who has a node in his hands can put a hook on it
    Tensor.detach: DETACH,
    **dict.fromkeys((Tensor.numpy, Tensor.__array__, Tensor.__dlpack__), SHARE),
    Tensor.item: READ,
    Tensor.tolist: READ,
    torch.batch_norm: UPDATES_STATISTICS,
    torch.instance_norm: UPDATES_STATISTICS,
    # what prints or copies is no part of what is computed, and the engine's own entrances are seen at the engine
    **dict.fromkeys(
        (Tensor.__repr__, Tensor.__format__, Tensor.__len__, Tensor.__hash__, Tensor.__deepcopy__, Tensor.__reduce_ex__,
         Tensor.__dir__, Tensor.storage, Tensor.untyped_storage, Tensor.backward, torch.autograd.backward,
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
    elif composite_copy(func) is not None:
        kind = COMPOSITE
    elif isinstance(func, torch._ops.OpOverload):
        kind = WRITE if func._schema.is_mutable else CALL
    elif (
        (name.endswith("_") and not name.endswith("__"))
        or (name.startswith("__i") and name[3:-2] in _IN_PLACE)
        or name == "__setitem__"
    ):
        kind = WRITE
    else:
        kind = CALL
    with contextlib.suppress(TypeError):  # what cannot be hashed is asked again next time
        KINDS[func] = kind
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


def composite_copy(func: Any) -> Any:
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
    return str(
        name or getattr(func, "__name__", None) or type(func).__name__
    )  # never an address, which each run has its own of
