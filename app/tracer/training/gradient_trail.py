"""Follow the tensors that are computed from a parameter's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..tensors.handles import tensors_in
from ..tensors.references import WeakTensor
from .parameters import Parameters

_SEQUENCES = frozenset({list, tuple})


class GradientTrail:
    """The living tensors that were computed from gradients, each with the parameters of these gradients.

    A parameter's index stands for its ``.grad``, and the complement ``~index`` for a gradient that ``autograd.grad`` returned.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self.followed: dict[int, tuple[WeakTensor, frozenset[int]]] = {}
        """The followed tensors by id. While there are none, calls need not be inspected."""

    def start(self, gradient: Tensor, parameter: int) -> None:
        """Follow a parameter's gradient. ``parameter`` is an index or its complement."""
        self._add(gradient, frozenset((parameter,)))

    def extend(self, out: Any, args: Sequence[Any]) -> None:
        """Follow the results of a call if any argument is followed."""
        followed, given = self.followed, self._parameters
        for argument in args:
            if id(argument) in followed:
                if argument not in given:
                    break
            elif type(argument) in _SEQUENCES:
                break
        else:
            return
        parameters: frozenset[int] = frozenset()
        for argument in tensors_in(args):
            entry = followed.get(id(argument))
            if entry is not None and entry[0].get() is argument and argument not in given:
                parameters |= entry[1]
        if parameters:
            for result in tensors_in(out):
                if isinstance(result, Tensor):
                    self._add(result, parameters)

    def sources(self, value: Any) -> frozenset[int]:
        """Return the parameters, as indices or complements, from whose gradients a value was computed."""
        entry = self.followed.get(id(value))
        return entry[1] if entry is not None and entry[0].get() is value else frozenset()

    def _add(self, tensor: Tensor, parameters: frozenset[int]) -> None:
        key = id(tensor)
        forget = self.followed.pop
        self.followed[key] = (WeakTensor(tensor, lambda _: forget(key, None)), parameters)
