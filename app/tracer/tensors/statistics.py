"""Say of a tensor's elements what a person would ask: least, greatest, mean and norm, and how many are zero, NaN or infinite.

All of it is computed by torch. Mean and norm of a large tensor are computed in its own dtype, as ``mean()`` and ``norm()``
do; those of small ones, and wherever that overflows or loses everything, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Statistics = tuple[float, float, float, float, int, int, int]
"""Min, max, mean, L2 norm; counts of zeros, NaN and Inf."""

_FLOATS = frozenset({torch.float32, torch.float64})
_HALVES = frozenset({torch.float16, torch.bfloat16})
_FAINT = 1e-15
"""A float32 norm below this has lost squares to underflow (the least normal number is about 1e-38)."""
_INFINITY = float("inf")
_amin, _amax, _sum, _norm, _sign, _dot = torch.amin, torch.amax, torch.sum, torch.linalg.vector_norm, torch.sign, torch.dot
_SHORT = 64
"""Elements up to which numbers are computed in float64, whatever the dtype."""
_LONG = 8192
"""Elements beyond which the work takes longer than the calls for it."""
_EXACT = 1 << 24
"""Below this float32 has every whole number."""


def of_one(tensor: Tensor) -> Statistics:
    """The statistics of all elements of a tensor, of which there is at least one.

    They are added in the order in which they lie in memory: a transpose has the very same.
    """
    count = tensor.numel()
    if not tensor.is_contiguous() and is_dense(tensor):
        tensor = tensor.as_strided((count,), (1,))
    if tensor.dtype is torch.float32:
        if count > _LONG:  # two reductions that are vectorized beat one that is not
            low, high = _amin(tensor).item(), _amax(tensor).item()
        else:
            ends = torch.aminmax(tensor)
            low, high = ends.min.item(), ends.max.item()
        total, norm = _sum(tensor).item(), _norm(tensor).item()
        # a NaN or an Inf anywhere shows in the sum
        if (_FAINT < norm < _INFINITY and -_INFINITY < total < _INFINITY) or low == high == 0:
            zeros = 0 if low > 0 or high < 0 else _zeros(tensor, count)
            return low, high, total / count, norm, zeros, 0, 0
    tensor = _real(tensor)
    ends = torch.aminmax(tensor)
    low, high = ends.min.item(), ends.max.item()
    zeros = count - int(torch.count_nonzero(tensor))
    wide = None if tensor.dtype is torch.float64 else torch.float64
    mean, norm = torch.mean(tensor, dtype=wide).item(), _norm(tensor, dtype=wide).item()
    if math.isfinite(low + high):
        return low, high, mean, norm, zeros, 0, 0
    return low, high, mean, norm, zeros, int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())


def of_many(tensors: Sequence[Tensor]) -> list[Statistics]:
    """The statistics of several tensors of one dtype and number of elements, whose elements lie side by side."""
    first = tensors[0]
    count = first.numel()
    if count > _LONG or (count > _SHORT and len(tensors) == 1):
        return [of_one(tensor) for tensor in tensors]  # there the work takes longer than the calls
    stack = torch.stack([tensor.as_strided((count,), (1,)) for tensor in tensors])
    if count <= _SHORT or first.dtype is not torch.float32:
        numbers, counts = of_rows(stack)
        return [(*row, *told) for row, told in zip(numbers.tolist(), counts.tolist(), strict=True)]
    columns = torch.stack(
        (
            _amin(stack, dim=1),
            _amax(stack, dim=1),
            _sum(stack, dim=1),
            _norm(stack, dim=1),
            _norm(_sign(stack), dim=1),  # the root of how many are not zero: exact enough for as few
        )
    ).tolist()
    return [
        (low, high, total / count, norm, count - round(root * root), 0, 0)
        if (_FAINT < norm < _INFINITY and abs(total) < _INFINITY) or low == high == 0
        else of_one(tensor)
        for tensor, low, high, total, norm, root in zip(tensors, *columns, strict=True)
    ]


def of_rows(stack: Tensor) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """The statistics of each row of ``stack`` (rows × elements), in float64: rows × 4 numbers, and rows × 3 counts."""
    wide = _real(stack).to(torch.float64)
    count = wide.shape[1]
    mean = _sum(wide, dim=1) / count
    numbers = torch.stack((_amin(wide, dim=1), _amax(wide, dim=1), mean, _norm(wide, dim=1)), dim=1).numpy()
    counts = np.zeros((len(numbers), 3), np.int64)
    counts[:, 0] = count - torch.count_nonzero(wide, dim=1).numpy()
    if not np.isfinite(numbers[:, :2]).all():
        counts[:, 1] = torch.isnan(wide).sum(dim=1).numpy()
        counts[:, 2] = torch.isinf(wide).sum(dim=1).numpy()
    return numbers, counts


def _zeros(tensor: Tensor, count: int) -> int:
    """How many elements are zero; of none of them is NaN."""
    if tensor.dtype is torch.float32 and count < _EXACT and tensor.is_contiguous():
        signs = _sign(tensor).view(-1)
        return count - int(_dot(signs, signs).item())  # takes half the time that counting does
    return count - int(torch.count_nonzero(tensor))


def _real(tensor: Tensor) -> Tensor:
    """The tensor itself, the magnitudes of complex numbers, or float64 for a dtype that is not reduced as it is."""
    if tensor.dtype in _FLOATS or tensor.dtype in _HALVES:
        return tensor
    if tensor.is_complex():
        return (tensor.to(torch.complex64) if tensor.dtype == torch.complex32 else tensor).abs()
    return tensor.to(torch.float64)


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's elements lie side by side, each once, in whatever order."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True
