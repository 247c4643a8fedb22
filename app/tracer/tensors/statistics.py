"""Compute statistics of tensors: min, max, mean, L2 norm, and the counts of zeros, NaN and Inf.

For more than :data:`_ROWS` elements, our own code in C adds all elements in float64, if it was compiled. PyTorch computes
everything else, and everything where it was not compiled. Both agree in minima, maxima and counts. Norms agree in six digits,
and means to within 1e-7 of the mean magnitude.

PyTorch computes mean and norm in float64 for a small tensor, and also if the result overflows or underflows. In float32, the
rounding errors of a sum grow with the number of elements: the norm of ten million elements may be wrong in the third digit. The
elements of a long float32 tensor are therefore added in float32 within rows, and the rows in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import native
from .kinds import PLAIN_TYPES

Statistics = native.Summary
"""Min, max, mean, L2 norm; counts of zeros, NaN and Inf."""

_library = native.load()
"""The code in C, if it was compiled."""
_COMPILED = {getattr(torch, name): index for index, name in enumerate(native.DTYPES)}
"""The dtypes that the code in C reads."""

_data_ptr, _untyped_storage, _storage_offset, _is_neg = (
    Tensor.data_ptr, Tensor.untyped_storage, Tensor.storage_offset, Tensor.is_neg,
)  # fmt: skip

_FLOATS = frozenset({torch.float32, torch.float64})
_HALVES = frozenset({torch.float16, torch.bfloat16})
_FAINT = 1e-15
"""Below this value, a float32 norm has lost squares to underflow (the smallest normal number is about 1e-38)."""
_INFINITY = float("inf")
_amin, _amax, _sum, _norm, _sign, _dot = torch.amin, torch.amax, torch.sum, torch.linalg.vector_norm, torch.sign, torch.dot
_SHORT = 64
"""Largest number of elements for which :func:`of_many` always computes in float64."""
_ROW = 256
"""Number of elements that are added in float32."""
_ROWS = 1024
"""Number of elements above which a float32 tensor is added by rows; up to here, six digits are right."""
_LISTED = 256
"""Largest number of rows whose results are added in Python, which is faster than PyTorch."""
_LONG = 8192
"""Number of elements above which the computation takes longer than the call overhead."""
_PART = 1 << 16
"""Number of elements whose zeros are counted at once."""
_EXACT = 1 << 24
"""Float32 represents every integer below this."""


def of_one(tensor: Tensor) -> Statistics:
    """Return the statistics of a tensor with at least one element.

    Elements are added in memory order, so a transposed view has exactly the same statistics.
    """
    count = tensor.numel()
    if not tensor.is_contiguous():
        if is_dense(tensor):
            tensor = tensor.as_strided((count,), (1,))
        elif count > _ROWS and 0 in tensor.stride():
            return _of_expanded(tensor)
        elif count > _ROWS and tensor.dtype in _COMPILED and tensor.nbytes <= tensor.untyped_storage().nbytes():
            tensor = tensor.contiguous()
    if found := _compiled([tensor], count):
        return found[0]
    by_rows = count > _ROWS and tensor.dtype is torch.float32
    if tensor.dtype is torch.float32 and (tensor.is_contiguous() or not by_rows):
        if count > _LONG:  # two vectorized reductions are faster than aminmax, which is not vectorized
            low, high = _amin(tensor).item(), _amax(tensor).item()
        else:
            ends = torch.aminmax(tensor)
            low, high = ends.min.item(), ends.max.item()
        total, norm = _total_and_norm(tensor.view(-1)) if by_rows else (_sum(tensor).item(), _norm(tensor).item())
        # the sum is not finite if any element is NaN or Inf
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
    """Return the statistics of dense tensors that share a dtype and a number of elements."""
    first = tensors[0]
    count = first.numel()
    if found := _compiled(tensors, count):
        return found
    if count > _LONG or (count > _SHORT and len(tensors) == 1):
        return [of_one(tensor) for tensor in tensors]  # the computation dominates the call overhead
    stack = torch.stack([tensor.as_strided((count,), (1,)) for tensor in tensors])
    if count <= _SHORT or first.dtype is not torch.float32:
        numbers, counts = of_rows(stack)
        return [(*row, *counted) for row, counted in zip(numbers.tolist(), counts.tolist(), strict=True)]
    if count > _ROWS:
        totals, norms = zip(*_totals_and_norms(stack), strict=True)
    else:
        totals, norms = torch.stack((_sum(stack, dim=1), _norm(stack, dim=1))).tolist()
    # `roots` are the square roots of the numbers of nonzero elements, exact enough for counts this small
    lows, highs, roots = torch.stack((_amin(stack, dim=1), _amax(stack, dim=1), _norm(_sign(stack), dim=1))).tolist()
    return [
        (low, high, total / count, norm, count - round(root * root), 0, 0)
        if (_FAINT < norm < _INFINITY and abs(total) < _INFINITY) or low == high == 0
        else of_one(tensor)
        for tensor, low, high, total, norm, root in zip(tensors, lows, highs, totals, norms, roots, strict=True)
    ]


def readable_address(tensor: Tensor, count: int) -> int:
    """Return the address at which the code in C can read a tensor's ``count`` elements; 0 if it cannot, or is not meant to.

    It reads only memory that certainly belongs to the tensor: that of a plain, dense tensor on the CPU, whose storage was not
    shortened, and whose elements are not negated when they are read. PyTorch's own methods check these traits, because a
    program may replace the methods of its tensors.
    """
    if _library is None or count <= _ROWS or type(tensor) not in PLAIN_TYPES or tensor.dtype not in _COMPILED:
        return 0
    if not tensor.is_cpu or tensor.layout is not torch.strided or not is_dense(tensor) or _is_neg(tensor):
        return 0
    if _untyped_storage(tensor).nbytes() < (_storage_offset(tensor) + count) * tensor.itemsize:
        return 0
    return _data_ptr(tensor)  # 0 for a tensor without memory, such as an efficient zero tensor


def at_addresses(dtype: torch.dtype, arrays: Iterable[tuple[int, int]]) -> list[Statistics]:
    """Return the statistics of arrays of one dtype, given the readable address and the number of elements of each."""
    assert _library is not None
    addresses, counts = zip(*arrays, strict=True)
    return _library.summarize(addresses, counts, _COMPILED[dtype])


def _compiled(tensors: Sequence[Tensor], count: int) -> list[Statistics] | None:
    """Return what the code in C computes from tensors of one dtype with ``count`` elements each; ``None`` if it cannot."""
    addresses = [readable_address(tensor, count) for tensor in tensors]
    return at_addresses(tensors[0].dtype, [(address, count) for address in addresses]) if all(addresses) else None


def _total_and_norm(flat: Tensor) -> tuple[float, float]:
    """Return the sum and the norm of a contiguous float32 tensor with one dimension.

    It takes little longer than adding in float32 alone. Adding all elements in float64 takes 15 times as long.
    """
    count = len(flat)
    if count <= _LISTED * _ROW:
        if count % _ROW:
            return _totals_and_norms(flat.view(1, count))[0]
        rows = flat.view(-1, _ROW)
        return sum(_sum(rows, dim=1).tolist()), math.hypot(*_norm(rows, dim=1).tolist())
    number, rest = divmod(count, _ROW)
    rows = flat.as_strided((number, _ROW), (_ROW, 1))
    total = _sum(_sum(rows, dim=1), dtype=torch.float64).item()
    norm = _norm(_norm(rows, dim=1), dtype=torch.float64).item()
    if rest:
        last = flat[count - rest :]
        total, norm = total + _sum(last).item(), math.hypot(norm, _norm(last).item())
    return total, norm


def _totals_and_norms(stack: Tensor) -> list[tuple[float, float]]:
    """Return the sum and the norm of each row of a contiguous float32 ``stack``."""
    height, count = stack.shape
    number, rest = divmod(count, _ROW)
    parts = stack.as_strided((height, number, _ROW), (count, _ROW, 1))
    totals, norms = _sum(parts, dim=2).tolist(), _norm(parts, dim=2).tolist()
    if rest:
        last = stack[:, count - rest :].contiguous()
        for row, total, norm in zip(range(height), _sum(last, dim=1).tolist(), _norm(last, dim=1).tolist(), strict=True):
            totals[row].append(total)
            norms[row].append(norm)
    return [(sum(total), math.hypot(*norm)) for total, norm in zip(totals, norms, strict=True)]


def _of_expanded(tensor: Tensor) -> Statistics:
    """Return the statistics of a tensor that repeats its elements, as ``expand()`` does, from one copy of them."""
    times = 1
    for dim, (stride, size) in reversed(list(enumerate(zip(tensor.stride(), tensor.shape, strict=True)))):
        if stride == 0:
            tensor, times = tensor.select(dim, 0), times * size
    low, high, mean, norm, zeros, nans, infinities = of_one(tensor)
    return low, high, mean, norm * math.sqrt(times), zeros * times, nans * times, infinities * times


def of_rows(stack: Tensor) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the statistics of each row of ``stack`` (rows × elements), computed in float64.

    Returns rows × 4 numbers (min, max, mean, norm) and rows × 3 counts (zeros, NaN, Inf).
    """
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
    """Return the number of zeros in a tensor without NaN."""
    if tensor.dtype is torch.float32 and count < _EXACT and tensor.is_contiguous():
        flat = tensor.view(-1)
        parts = torch.split(flat, _PART) if count > _PART else (flat,)  # a part and its signs fit into the cache
        signs = (_sign(part) for part in parts)
        return count - sum(int(_dot(each, each).item()) for each in signs)  # half the time of count_nonzero
    return count - int(torch.count_nonzero(tensor))


def _real(tensor: Tensor) -> Tensor:
    """Return the tensor itself, the magnitudes of a complex tensor, or a float64 copy if the dtype has no reductions."""
    if tensor.dtype in _FLOATS or tensor.dtype in _HALVES:
        return tensor
    if tensor.is_complex():
        return (tensor.to(torch.complex64) if tensor.dtype == torch.complex32 else tensor).abs()
    return tensor.to(torch.float64)


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor's elements fill a block of memory, each once, in any order."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True
