"""Classify PyTorch's functions: the kind of a call, its public name, and the functions that are composed of others."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import torch
import torch.overrides
from torch import Tensor

READ, CALL, WRITE, UPDATES_STATISTICS, COMPOSITE = "read", "call", "write", "updates-statistics", "composite"
"""The kinds of calls. A call that updates running statistics writes to arguments although its name does not end in ``_``."""
GRAD_READ, GRAD_SET, DATA_READ, DATA_SET = "grad-read", "grad-set", "data-read", "data-set"
LATE, HOOK, DETACH = "late", "hook", "detach"
SHARE = "share"
"""A call that shares a tensor's memory with NumPy, which can then write to it unobserved."""

_grad: Any = Tensor.grad  # on the class, these four are descriptors
_data: Any = Tensor.data
_grad_fn: Any = Tensor.grad_fn
_requires_grad: Any = Tensor.requires_grad
KINDS: dict[Any, str] = {
    _grad.__get__: GRAD_READ,
    _grad.__set__: GRAD_SET,
    _data.__get__: DATA_READ,
    _data.__set__: DATA_SET,
    Tensor.requires_grad_: LATE,
    _requires_grad.__set__: LATE,
    Tensor.register_hook: HOOK,
    _grad_fn.__get__: HOOK,  # returns a node, on which the program may register a hook
    Tensor.detach: DETACH,
    **dict.fromkeys((Tensor.numpy, Tensor.__array__, Tensor.__dlpack__), SHARE),
    Tensor.item: READ,
    Tensor.tolist: READ,
    torch.batch_norm: UPDATES_STATISTICS,
    torch.instance_norm: UPDATES_STATISTICS,
    # printing, copying and changing the grad mode compute nothing, and the engine's entry points are observed at the engine
    **dict.fromkeys(
        (Tensor.__repr__, Tensor.__format__, Tensor.__len__, Tensor.__hash__, Tensor.__deepcopy__, Tensor.__reduce_ex__,
         Tensor.__dir__, Tensor.storage, Tensor.untyped_storage, Tensor.backward, torch.autograd.backward,
         torch.autograd.grad, torch._C._set_grad_enabled),
        READ,
    ),
}  # fmt: skip


def classify(func: Any) -> str:
    """Determine the kind of a function of PyTorch, cache it, and return it."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        kind = CALL if getattr(func, "__self__", None) in _COMPUTED_ATTRIBUTES else READ
    elif name == "__set__":
        kind = READ
    elif composite_copy(func) is not None:
        kind = COMPOSITE
    elif isinstance(func, torch._ops.OpOverload):
        kind = WRITE if func._schema.is_mutable else CALL
    elif (
        (name.endswith("_") and not name.endswith("__"))
        or (name.startswith("__i") and name[3:-2] in _IN_PLACE_OPERATORS)
        or name == "__setitem__"
    ):
        kind = WRITE
    else:
        kind = CALL
    with contextlib.suppress(TypeError):  # an unhashable function is classified again next time
        KINDS[func] = kind
    return kind


_IN_PLACE_OPERATORS = frozenset(
    {"add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"}
)
_COMPUTED_ATTRIBUTES = (Tensor.T, Tensor.mT, Tensor.H, Tensor.mH, Tensor.real, Tensor.imag)
_COPIES: dict[Any, Any] = {}
_GLOBALS: dict[int, dict[str, Any]] = {}


def _false(*_: Any) -> bool:
    return False


_WITHOUT_DISPATCH = {"has_torch_function": _false, "has_torch_function_unary": _false, "has_torch_function_variadic": _false}


def composite_copy(func: Any) -> Any:
    """Return a copy of a Python function of PyTorch that does not dispatch to modes; ``None`` for other functions."""
    if type(func) is not types.FunctionType or not (func.__module__ or "").startswith("torch"):
        return None
    found = _COPIES.get(func)
    if found is None:
        scope = _GLOBALS.get(id(func.__globals__))
        if scope is None:
            scope = _GLOBALS[id(func.__globals__)] = {**func.__globals__, **_WITHOUT_DISPATCH}
        found = types.FunctionType(func.__code__, scope, func.__name__, func.__defaults__, func.__closure__)
        found.__kwdefaults__ = func.__kwdefaults__
        _COPIES[func] = found
    return found


def call_name(func: Any) -> str:
    """Return the public name of a function of PyTorch, such as ``torch.Tensor.mul``; cached, as the lookup is slow."""
    name = _NAMES.get(func)
    if name is None:
        name = _NAMES[func] = _public_name(func)
    return name


_NAMES: dict[Any, str] = {}


def _public_name(func: Any) -> str:
    name = None
    with contextlib.suppress(AttributeError, TypeError):
        name = str(func) if isinstance(func, _OPERATORS) else _resolve(func)
    return str(
        name or getattr(func, "__name__", None) or type(func).__name__
    )  # never an address, which differs from run to run


_OPERATORS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)


def build_name_table() -> None:
    """Build the table of public names, before the program starts.

    ``resolve_name`` changes the filters of ``warnings``. Python would then repeat warnings that it has already shown.
    """
    torch.overrides.resolve_name(torch.ones)


_resolve: Any = getattr(torch.overrides.resolve_name, "__wrapped__", torch.overrides.resolve_name)
"""``resolve_name`` without its decorator, which changes the filters. Only building the table needs the change."""
