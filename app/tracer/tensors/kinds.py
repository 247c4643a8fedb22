"""Distinguish plain tensors from tensors of subclasses, whose methods may run other code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.nn.parameter import is_lazy

PLAIN_TYPES = frozenset({Tensor, torch.nn.Parameter})
_DEFAULT: Any = Tensor.__torch_dispatch__
_storage, _is_zero = Tensor.untyped_storage, Tensor._is_zerotensor


def is_opaque(tensor: Tensor) -> bool:
    """Return whether a tensor's class implements the operations itself. Reading its address may run the class's code."""
    kind: Any = type(tensor)
    return kind not in PLAIN_TYPES and kind.__torch_dispatch__ is not _DEFAULT


def is_fake(value: Any) -> bool:
    """Return whether a value is a tensor without elements or with symbolic sizes, as a tracer or a compiler uses."""
    if type(value) in PLAIN_TYPES or not isinstance(value, Tensor):
        return False
    if isinstance(value, FakeTensor | FunctionalTensor):
        return True
    return is_opaque(value) and bool(getattr(value, "_has_symbolic_sizes_strides", False))


def is_freed(tensor: Tensor) -> bool:
    """Return whether the storage of a plain tensor is too short for its elements, because somebody resized it.

    Sharded training frees the memory of parameters in this way. Reading such a tensor would crash the process.
    """
    if tensor.layout is not torch.strided:
        return False
    available = _storage(tensor).nbytes()
    if available >= tensor.nbytes:
        return False
    # an expanded tensor has more elements than its storage, and so has a tensor of zeros without memory
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return available < (tensor.storage_offset() + last + 1) * tensor.itemsize and 0 not in tensor.shape and not _is_zero(tensor)


def is_uninitialized(tensor: Tensor) -> bool:
    """Return whether a tensor has no shape yet: a parameter or buffer of a lazy module that has not seen an input."""
    return type(tensor) not in PLAIN_TYPES and is_lazy(tensor)
