"""Compute the loss of a pass on a grid of values of one or two parameter elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ... import wire
from .operands import CannotReplay
from .point import RecordedPoint


def surface(order: wire.ReplayOrder, point: RecordedPoint) -> wire.Surface:
    """Return the losses on the grid of ``order``. Where a call raises, the loss is NaN and marked as failed.

    Raises :class:`CannotReplay` if a target is not an element of a leaf of the pass.
    """
    facts = point.begun.facts
    targets = order.targets
    leaves = [facts.leaves.get(target.parameter) for target in targets]
    elements: list[tuple[Tensor, tuple[int, ...]]] = []
    for leaf, target in zip(leaves, targets, strict=True):
        if leaf is None or not 0 <= target.element < leaf.numel() or not leaf.is_floating_point():
            raise CannotReplay("the parameter took no part in it, or has no such element")
        index = tuple(int(at) for at in np.unravel_index(target.element, tuple(leaf.shape))) if leaf.ndim else ()
        elements.append((leaf, index))
    recorded = point.stand_ins()
    values_there = [recorded[id(leaf)][index].item() for leaf, index in elements]
    slopes: list[float] = []
    for (_, index), target in zip(elements, targets, strict=True):
        gradient = point.gradients.get(target.parameter)
        slopes.append(float("nan") if gradient is None else gradient[index].item())
    axes = [
        _axis(leaf, value, target, order.points)
        for (leaf, _), value, target in zip(elements, values_there, targets, strict=True)
    ]
    losses: list[float] = []
    failed = bytearray()
    for values in _grid(axes):
        stand_ins = point.stand_ins()
        with torch.no_grad():
            for (leaf, index), value in zip(elements, values, strict=True):
                stand_ins[id(leaf)][index] = value
        try:
            losses.append(point.loss(stand_ins))
            failed.append(0)
        except CannotReplay:
            raise
        except Exception:  # the loss has no value here, for example because a matrix is singular
            losses.append(float("nan"))
            failed.append(1)
    columns = [axis.double().numpy().astype("<f8").tobytes() for axis in axes]
    packed = np.array(losses, "<f8").tobytes()
    return wire.Surface(facts.index, values_there, point.recorded_loss, slopes, columns, packed, bytes(failed))


def _axis(leaf: Tensor, value: float, target: wire.SweepTarget, points: int) -> Tensor:
    """Return the values that an element takes, rounded to its dtype; by default an interval around ``value``."""
    width = max(abs(value), 1.0) if np.isfinite(value) else 1.0
    centre = value if np.isfinite(value) else 0.0
    low = centre - width if target.low is None else target.low
    high = centre + width if target.high is None else target.high
    return torch.linspace(low, high, points, dtype=torch.float64).to(leaf.dtype)


def _grid(axes: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    if len(axes) == 1:
        yield from ((value,) for value in axes[0])
    else:
        yield from ((first, second) for first in axes[0] for second in axes[1])
