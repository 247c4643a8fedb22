"""Convert recorded values to what bindings compute with: arrays, texts, booleans and ``None``."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ... import model
from .language import OF_TENSOR, BindingError

MOST_TEXT: Final = 10_000
"""Largest number of characters of a value's text that is read as a number or list."""

_OBJECT: Final = re.compile(r"<(?:\w+\.)*(\w+) object at \w+>")
_SIZE: Final = re.compile(r"torch\.Size\((.*)\)")


def array_of(summary: model.TensorSummary | None) -> Any:
    """Return the elements of a tensor as an array of float64, or of complex128; ``None`` for no tensor."""
    if summary is None:
        return None
    if summary.values is None:
        raise BindingError(f"A tensor of shape {summary.shape} has more elements than a recording keeps: name one of them.")
    if summary.dtype.startswith("complex"):
        pairs = np.array(summary.values, np.float64)
        return pairs[..., 0] + 1j * pairs[..., 1]
    return np.array(summary.values).astype(np.float64)


def value_of(text: str | None, tensor: model.TensorSummary | None) -> Any:
    """Return the value of a line: an array for a tensor, else the value that its text states.

    >>> value_of("True", None), value_of("<torch.SubBackward0 object at 0x7f>", None), value_of("torch.Size([3])", None)
    (True, 'SubBackward0', array([3.]))
    """
    if tensor is not None:
        return array_of(tensor)
    if text is None or len(text) > MOST_TEXT:
        raise BindingError("The value is too long to be recorded.")
    if found := _OBJECT.fullmatch(text):
        return found[1]
    if found := _SIZE.fullmatch(text):
        text = found[1]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    if isinstance(value, bool | str) or value is None:
        return value
    try:
        return np.array(value, np.complex128 if isinstance(value, complex) else np.float64)
    except (TypeError, ValueError, OverflowError):
        return text


def attribute_of(text: str | None, tensor: model.TensorSummary | None, chain: Sequence[str | int]) -> Any:
    """Return attributes and elements of a recorded value."""
    if not chain:
        return None if text is None and tensor is None else value_of(text, tensor)
    first, rest = chain[0], chain[1:]
    if isinstance(first, int):
        value = value_of(text, tensor)
        for index in chain:
            if not isinstance(index, int):
                raise BindingError(f"`.{index}` of an element was not recorded.")
            value = value[index]
        return value
    if tensor is None or rest or first not in OF_TENSOR:
        raise BindingError(f"`.{first}` was not recorded there.")
    found = getattr(tensor, first)
    return np.array(found, np.float64) if first == "shape" else found
