"""Remember tensors that were made to require a gradient after they may have been used."""

from __future__ import annotations

from collections.abc import Container, Iterator

from torch import Tensor

from ... import wire
from ..tensors.references import WeakTensor, weak

MOST = 20
"""Largest number of tensors that are remembered."""


class LateGradients:
    """The named tensors that required a gradient late, each with a signal that is emitted if no pass reaches the tensor."""

    def __init__(self) -> None:
        self._late: list[tuple[WeakTensor, wire.Signal]] = []

    @property
    def full(self) -> bool:
        """True once :data:`MOST` tensors are remembered."""
        return len(self._late) >= MOST

    def add(self, tensor: Tensor, signal: wire.Signal) -> None:
        """Remember a tensor and its signal."""
        self._late.append((weak(tensor), signal))

    def forget(self, tensor: Tensor) -> None:
        """Forget a tensor that a pass has reached."""
        self._late = [entry for entry in self._late if entry[0].get() is not tensor]

    def unreached(self, parameters: Container[object]) -> Iterator[wire.Signal]:
        """Yield the signals of the tensors that no pass has reached. ``parameters`` are the leaves that passes have reached."""
        for reference, signal in self._late:
            tensor = reference.get()
            if tensor is None or (tensor.requires_grad and tensor not in parameters):
                yield signal
