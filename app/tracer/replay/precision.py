"""See in which precision calls are really computed, whatever casts: autocast, the program, a function of its own."""

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
    """Notes the coarsest float that an operator comes to from finer ones, the casts inside other calls among them.

    It sees every operator, those of a backward too, and is for calls that are carried out once more: while a program runs
    it would change what that computes.
    """

    def __init__(self, among: Iterable[torch.dtype] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype = torch.float64
        self.largest = 0.0
        """The size of the largest number that an operator came to, while ``sized``."""
        self.sized = False
        for dtype in among:
            self._note(dtype)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        taken = [unit(tensor.dtype) for tensor in flat((args, kwargs)) if _is_float(tensor)]
        if self.sized:
            sizes = [largest(tensor) for tensor in flat(out) if _is_float(tensor)]
            self.largest = max(self.largest, *(size for size in sizes if math.isfinite(size)), 0.0)
        if taken:
            finest = min(taken)
            for tensor in flat(out):
                if _is_float(tensor) and unit(tensor.dtype) > finest:
                    self._note(tensor.dtype)
        return out

    def _note(self, dtype: torch.dtype) -> None:
        if unit(dtype) > unit(self.dtype):
            self.dtype = dtype.to_real()


def unit(dtype: torch.dtype) -> float:
    """How far 1 is from the next number of a dtype; 0 for one of whole numbers."""
    return torch.finfo(dtype).eps if dtype.is_floating_point or dtype.is_complex else 0.0


def largest(tensor: Tensor) -> float:
    """The size of the largest element that is finite."""
    tensor = elements_of(tensor.detach())
    return float(tensor.abs().nan_to_num(0.0, 0.0, 0.0).max()) if tensor.numel() else 0.0


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex
