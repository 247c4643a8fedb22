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

Numbers = tuple[float, float, float, float, int, int, int]
"""Min, max, mean, L2 norm; counts of zeros, NaN and Inf."""

_FLOATS = frozenset({torch.float32, torch.float64})
_HALVES = frozenset({torch.float16, torch.bfloat16})
_FAINT = 1e-15
"""A float32 norm below this has lost squares to underflow (the least normal number is about 1e-38)."""
_INFINITY = float("inf")
_flattened: Any = torch._C._nn.flatten_dense_tensors
_LONG = 8192
"""Elements beyond which the work takes longer than the calls for it."""
_EXACT = 1 << 24
"""Below this float32 has every whole number."""


def of_one(tensor: Tensor) -> Numbers:
    """The statistics of all elements of a tensor, of which there is at least one."""
    tensor = _real(tensor)
    wide = torch.float64 if tensor.dtype in _HALVES else None
    count = tensor.numel()
    if count > _LONG:  # two reductions that are vectorized beat one that is not
        low, high = torch.amin(tensor).item(), torch.amax(tensor).item()
    else:
        ends = torch.aminmax(tensor)
        low, high = ends.min.item(), ends.max.item()
    if not math.isfinite(low + high):  # a NaN or an Inf anywhere shows at one end at least
        mean, norm = _mean_and_norm(tensor, torch.float64)
        zeros = count - int(torch.count_nonzero(tensor))
        return low, high, mean, norm, zeros, int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())
    mean, norm = _mean_and_norm(tensor, wide)
    if tensor.dtype is torch.float32 and not (_FAINT < norm < _INFINITY and abs(mean) < _INFINITY) and (low or high):
        mean, norm = _mean_and_norm(tensor, torch.float64)
    zeros = 0 if low > 0 or high < 0 else _zeros(tensor, count)
    return low, high, mean, norm, zeros, 0, 0


def of_many(tensors: Sequence[Tensor]) -> list[Numbers]:
    """The statistics of several tensors of one dtype and number of elements, whose elements lie side by side."""
    first = tensors[0]
    count = first.numel()
    if len(tensors) == 1 or count > _LONG or first.dtype is not torch.float32:
        return [of_one(tensor) for tensor in tensors]
    stack = _flattened(tensors).view(len(tensors), count)
    columns = torch.stack(
        (
            torch.amin(stack, dim=1),
            torch.amax(stack, dim=1),
            torch.sum(stack, dim=1),
            torch.linalg.vector_norm(stack, dim=1),
            torch.linalg.vector_norm(stack, 0, dim=1),  # the number that are not zero
        )
    ).tolist()
    return [
        (low, high, total / count, norm, count - int(others), 0, 0)
        if (_FAINT < norm < _INFINITY and abs(total) < _INFINITY) or low == high == 0
        else of_one(tensor)
        for tensor, low, high, total, norm, others in zip(tensors, *columns, strict=True)
    ]


def of_rows(stack: Tensor) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """The statistics of each row of ``stack`` (rows × elements): rows × 4 numbers, and rows × 3 counts."""
    stack = _real(stack)
    low, high = torch.amin(stack, dim=1).to(torch.float64), torch.amax(stack, dim=1).to(torch.float64)
    mean = torch.mean(stack, dim=1, dtype=torch.float64)
    norm = torch.linalg.vector_norm(stack, dim=1, dtype=torch.float64)
    numbers = torch.stack((low, high, mean, norm), dim=1).numpy()
    counts = np.zeros((len(numbers), 3), np.int64)
    counts[:, 0] = stack.shape[1] - torch.count_nonzero(stack, dim=1).numpy()
    if not np.isfinite(numbers[:, :2]).all():
        counts[:, 1] = torch.isnan(stack).sum(dim=1).numpy()
        counts[:, 2] = torch.isinf(stack).sum(dim=1).numpy()
    return numbers, counts


def _zeros(tensor: Tensor, count: int) -> int:
    """How many elements are zero; of none of them is NaN."""
    if tensor.dtype is torch.float32 and count < _EXACT and tensor.is_contiguous():
        signs = torch.sign(tensor).view(-1)
        return count - int(torch.dot(signs, signs).item())  # takes half the time that counting does
    return count - int(torch.count_nonzero(tensor))


def _mean_and_norm(tensor: Tensor, dtype: torch.dtype | None) -> tuple[float, float]:
    norm = torch.linalg.vector_norm(tensor, dtype=dtype).item()
    if dtype is not None or tensor.dtype is not torch.float32:
        return torch.mean(tensor, dtype=dtype).item(), norm
    # what ``mean()`` computes, in half the time: the sum, divided in float32
    return float(np.float32(torch.sum(tensor).item()) / np.float32(tensor.numel())), norm


def _real(tensor: Tensor) -> Tensor:
    """The tensor itself, the magnitudes of complex numbers, or float64 for a dtype that is not reduced as it is."""
    if tensor.dtype in _FLOATS or tensor.dtype in _HALVES:
        return tensor
    if tensor.is_complex():
        return (tensor.to(torch.complex64) if tensor.dtype == torch.complex32 else tensor).abs()
    return tensor.to(torch.float64)
