"""Detect the precision in which calls are computed, even if autocast, the program or a custom function casts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..tensors.handles import elements_of
from .operands import flat


class PrecisionMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the coarsest floating-point dtype that an operator returns for finer inputs, including inner casts.

    It observes every operator, also in a backward pass. Use it only for repeated calls: in a running program it would change
    the results.
    """

    def __init__(self, dtypes: Iterable[torch.dtype] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype = torch.float64
        self.largest = 0.0
        """The magnitude of the largest number that an operator returned while ``sized`` is true."""
        self.sized = False
        for dtype in dtypes:
            self._record(dtype)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return false: true would make PyTorch import its compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        input_units = [unit(tensor.dtype) for tensor in flat((args, kwargs)) if _is_float(tensor)]
        if self.sized:
            sizes = [largest(tensor) for tensor in flat(out) if _is_float(tensor)]
            self.largest = max(self.largest, *(size for size in sizes if math.isfinite(size)), 0.0)
        if input_units:
            finest = min(input_units)
            for tensor in flat(out):
                if _is_float(tensor) and unit(tensor.dtype) > finest:
                    self._record(tensor.dtype)
        return out

    def _record(self, dtype: torch.dtype) -> None:
        if unit(dtype) > unit(self.dtype):
            self.dtype = dtype.to_real()


def unit(dtype: torch.dtype) -> float:
    """Return the distance from 1 to the next number of a dtype; 0 for integers."""
    return torch.finfo(dtype).eps if dtype.is_floating_point or dtype.is_complex else 0.0


def largest(tensor: Tensor) -> float:
    """Return the magnitude of the largest finite element."""
    tensor = elements_of(tensor.detach())
    return float(tensor.abs().nan_to_num(0.0, 0.0, 0.0).max()) if tensor.numel() else 0.0


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex
