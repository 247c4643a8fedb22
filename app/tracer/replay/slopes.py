"""Compute slopes of the loss of a pass by finite differences, in float64 where the calls allow it."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..tensors.handles import elements_of
from .definitions import SurrogateFunctions
from .evaluate import widened
from .operands import CannotReplay
from .point import Point
from .precision import PrecisionMode, unit
from .rounding import Rounding

WIDTHS = (1e-6, 1e-8)
"""Step sizes in float64, relative to the element (to 1 for a smaller element)."""

NEAR_POINTS, NEAR_DISTANCE = 3, 1e-3
"""The number of points near the recorded one, and their distance from it, relative to the element (to 1 for a smaller one)."""


class EvaluatedPoint(NamedTuple):
    """The values of all leaves, the loss at these values, and the loss's gradients.

    ``formulas`` are the gradients that the calls' own backward gives in ``precision``, by the parameter's index.
    """

    leaves: dict[int, Tensor]
    loss: float
    formulas: dict[int, Tensor]
    precision: torch.dtype

    def value(self, leaf: Tensor, index: int) -> float:
        """Return the value of an element of a leaf."""
        return float(real(self.leaves[id(leaf)]).reshape(-1)[index])


class Slopes:
    """Computes slopes of a pass's loss by finite differences.

    ``wide`` is true if they are computed in float64. ``widths`` are the step sizes to try, and ``recorded`` is the
    recorded point.
    """

    def __init__(self, point: Point, rounding: Rounding) -> None:
        self._point = point
        self._rounding = rounding
        leaves = point.stand_ins()
        self.wide = self._can_be_wide(leaves)
        self.widths: tuple[float, ...] = WIDTHS if self.wide else (float(unit(rounding.dtype) ** (1 / 3)),)
        self.recorded = self._evaluate_at({key: widened(leaf) for key, leaf in leaves.items()} if self.wide else leaves)
        self._near: list[EvaluatedPoint] = []

    def _can_be_wide(self, leaves: dict[int, Tensor]) -> bool:
        """Return whether all calls can run in float64 and give about the same loss.

        A custom function may cast to a fixed dtype. Its result then changes in discrete steps, and small differences measure
        only those steps.
        """
        observed = PrecisionMode()
        try:
            with observed:
                found = self._point.loss({key: widened(leaf) for key, leaf in leaves.items()}, wide=True)
        except CannotReplay:
            raise
        except Exception:
            return False
        recorded_loss = self._point.recorded_loss
        if not math.isfinite(recorded_loss):
            return not math.isfinite(found)
        about = 1e-3 + 0.02 * max(abs(found), abs(recorded_loss)) + 8 * self._rounding.loss_noise
        return math.isfinite(found) and abs(found - recorded_loss) <= about and observed.dtype is torch.float64

    def _evaluate_at(self, leaves: dict[int, Tensor]) -> EvaluatedPoint:
        """Return the loss and its gradients at leaf values; no gradients if the calls' backward does not support float64."""
        loss = self._point.loss(_copies(leaves), wide=self.wide)
        observed = PrecisionMode()
        if not self.wide:
            return EvaluatedPoint(leaves, loss, {}, observed.dtype)
        try:
            with observed:
                slopes = self._point.slopes(_copies(leaves), wide=True)
        except CannotReplay:
            raise
        except Exception:
            return EvaluatedPoint(leaves, loss, {}, observed.dtype)
        found = {key: real(elements_of(slope.detach())).reshape(-1) for key, slope in slopes.items() if slope is not None}
        return EvaluatedPoint(leaves, loss, found, observed.dtype)

    def nearby(self) -> list[EvaluatedPoint]:
        """Return a few points around the recorded one, further away than the steps of the differences.

        Return none if the slopes are not computed in float64.
        """
        signs = torch.Generator().manual_seed(0)
        while self.wide and len(self._near) < NEAR_POINTS:
            moved = {
                key: leaf + NEAR_DISTANCE * leaf.abs().clamp(min=1) * torch.randn(leaf.shape, generator=signs, dtype=leaf.dtype)
                for key, leaf in self.recorded.leaves.items()
            }
            self._near.append(self._evaluate_at(moved))
        return self._near

    def at(
        self, point: EvaluatedPoint, leaf: Tensor, index: int, width: float, names: Set[str] = frozenset()
    ) -> tuple[tuple[float, float, float], float]:
        """Return the central, left and right slope for an element, and the tolerance of each.

        ``names`` are definitions whose surrogate functions are evaluated instead.
        """
        value = point.value(leaf, index)
        step = width * max(abs(value), 1.0)
        surrogates = SurrogateFunctions(names) if names else None
        loss = point.loss
        if surrogates is not None:
            loss = self._point.loss(_copies(point.leaves), wide=self.wide, calling=surrogates)
        (below, low), (above, high) = (self._moved(point, leaf, index, by, surrogates) for by in (-step, step))
        central = (above - below) / (high - low)
        left, right = (loss - below) / (value - low), (above - loss) / (high - value)
        size = max(abs(loss), abs(below), abs(above))
        return (central, left, right), self._rounding.of_losses(size, wide=self.wide) / step

    def _moved(
        self, point: EvaluatedPoint, leaf: Tensor, index: int, by: float, surrogates: SurrogateFunctions | None
    ) -> tuple[float, float]:
        """Return the loss with an element moved, and the element's new value."""
        copies = _copies(point.leaves)
        moved = real(copies[id(leaf)])
        at = tuple(int(each) for each in np.unravel_index(index, tuple(moved.shape))) if moved.ndim else ()
        moved[at] += by
        new_value = float(moved[at])
        return self._point.loss(copies, wide=self.wide, calling=surrogates), new_value


def _copies(leaves: dict[int, Tensor]) -> dict[int, Tensor]:
    return {key: leaf.detach().clone() for key, leaf in leaves.items()}


def real(tensor: Tensor) -> Tensor:
    """Return a complex tensor as a view of pairs of real numbers; a real tensor is returned unchanged."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
