"""Evaluate the expressions of rules with NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

from .functions import FUNCTIONS, Array
from .rule import LocalRule


def gradient(rule: LocalRule, operand: str, grad: Array | None, known: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    """Return the gradient that a node sends to an operand of this shape, given the gradient ``grad`` of its result.

    ``known`` has the operands, the saved tensors, ``result``, the options and the gradients of other outputs by name. A text in
    it is an expression of other names. Raises :class:`KeyError` for a missing name, and NumPy's exceptions for operands that do
    not fit.
    """
    return summed_to(np.asarray(evaluate(rule.gradients[operand], {**known, "grad": grad})), shape)


def evaluate(code: str, known: Mapping[str, Any], functions: Mapping[str, Any] = FUNCTIONS) -> Any:
    """Return the value of an expression of a rule. Raises :class:`KeyError` for a name that is not known."""
    try:
        with np.errstate(all="ignore"):
            return eval(_compiled(code), {"__builtins__": {}}, _KnownNames(known, functions))  # the rules are our own text
    except NameError as error:
        raise KeyError(error.name) from None


class _KnownNames(dict[str, Any]):
    """The values of names in an expression. They take precedence over functions. A text is evaluated whenever it is read."""

    def __init__(self, known: Mapping[str, Any], functions: Mapping[str, Any]) -> None:
        super().__init__(known)
        self._functions = functions

    def __missing__(self, name: str) -> Any:
        return self._functions[name]

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        return evaluate(found, self, self._functions) if isinstance(found, str) else found


@lru_cache(maxsize=1024)
def _compiled(code: str) -> CodeType:
    return compile(code, "<rule>", "eval")


def summed_to(value: Array, shape: tuple[int, ...]) -> Array:
    """Return a gradient summed over the dimensions along which an operand of this shape was broadcast."""
    if value.shape == shape:
        return value
    if value.ndim < len(shape):  # an expression without the gradient, such as 0, has fewer dimensions
        return np.broadcast_to(value, shape)
    extra = value.ndim - len(shape)
    dims = [*range(extra), *(at + extra for at, size in enumerate(shape) if size == 1 and value.shape[at + extra] != 1)]
    return np.asarray(value.sum(axis=tuple(dims))).reshape(shape)
