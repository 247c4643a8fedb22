"""Print the elements of a tensor with the same text as PyTorch, in a fraction of the time.

To find the width of the columns, PyTorch formats each element as a separate tensor. This module formats numbers instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import torch
from torch import Tensor

from ..tensors.kinds import PLAIN_TYPES
from ..tensors.transforms import is_transform_wrapper, is_unobserved

_torch: Any = torch._tensor_str
_options: Any = _torch.PRINT_OPTS
_Formatter: Any = _torch._Formatter
_repr: Final = Tensor.__repr__
_INDENT: Final = len("tensor(")
_FLOATS: Final = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_INTEGERS: Final = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})


def plain_tensor_repr(tensor: Tensor) -> str | None:
    """Return the ``repr`` of a plain tensor; ``None`` for another tensor, or if the program has changed how PyTorch prints."""
    kind = type(tensor)
    if kind not in PLAIN_TYPES or Tensor.__repr__ is not _repr or _torch._Formatter is not _Formatter:
        return None
    if tensor.dtype not in _FLOATS and tensor.dtype not in _INTEGERS:
        return None
    if tensor.layout is not torch.strided or not tensor.is_cpu or tensor.is_nested or not tensor.numel():
        return None
    if (
        tensor.is_neg()
        or tensor._is_zerotensor()
        or not _options.edgeitems
        or not is_unobserved()
        or is_transform_wrapper(tensor)
    ):
        return None
    floating = tensor.dtype in _FLOATS
    with torch.no_grad():
        if tensor.numel() > _options.threshold:
            formatter = _NumberFormatter(_torch.get_summarized_data(tensor).reshape(-1).tolist(), floating=floating)
            elements = _torch._tensor_str_with_formatter(tensor, _INDENT, True, formatter)
        else:
            numbers = tensor.reshape(-1).tolist()
            formatter = _NumberFormatter(numbers, floating=floating)
            across = formatter.max_width + 2
            elements = _nested(formatter.texts(numbers), tensor.shape, _INDENT, across)
    text = _torch._str(tensor, tensor_contents=elements)
    return f"Parameter containing:\n{text}" if kind is torch.nn.Parameter else text


def _nested(texts: Iterator[str], shape: Sequence[int], indent: int, across: int) -> str:
    """Return the next ``texts`` in nested brackets, one text for each element of a tensor of this ``shape``.

    Each text takes ``across`` characters of a line. The first bracket is at column ``indent``, counted from 0. Further lines
    begin to the right of it.
    """
    if not shape:
        return next(texts)
    if len(shape) > 1:
        parts = [_nested(texts, shape[1:], indent + 1, across) for _ in range(shape[0])]
        between = "," + "\n" * (len(shape) - 1)
    else:
        row, most = list(islice(texts, shape[0])), max((_options.linewidth - indent) // across, 1)
        parts = [", ".join(row[start : start + most]) for start in range(0, len(row), most)]
        between = ",\n"
    return "[" + (between + " " * (indent + 1)).join(parts) + "]"


class _NumberFormatter(_Formatter):  # type: ignore[misc]
    """PyTorch's formatter, set up from the numbers that it is going to format."""

    def __init__(self, numbers: list[Any], *, floating: bool) -> None:
        self.floating_dtype = floating
        self.int_mode = True
        self.sci_mode = False
        self.max_width = 1
        if not floating:
            self.max_width = max(len(f"{number}") for number in numbers)
            return
        finite = [number for number in numbers if number and math.isfinite(number)]
        if not finite:
            return
        sizes = [abs(number) for number in finite]
        least, most = min(sizes), max(sizes)
        self.int_mode = all(number.is_integer() for number in finite)
        self.sci_mode = _options.sci_mode
        if _options.sci_mode is None:
            self.sci_mode = most / least > 1000.0 or most > 1.0e8 or least < 1.0e-4
        points = self.int_mode and not self.sci_mode
        form = f"{{:.{_options.precision}e}}" if self.sci_mode else "{:.0f}" if points else f"{{:.{_options.precision}f}}"
        self.max_width = max(map(len, map(form.format, finite))) + points

    def texts(self, numbers: list[Any]) -> Iterator[str]:
        """Yield the texts of all numbers, each as ``format`` returns it."""
        if not self.floating_dtype or (self.int_mode and not self.sci_mode):
            return map(self.format, numbers)
        kind = "e" if self.sci_mode else "f"
        return map(f"{{:{self.max_width}.{_options.precision}{kind}}}".format, numbers)
