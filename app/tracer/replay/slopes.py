"""Take slopes of the loss of a pass, at the recorded spot and around it, in float64 where the calls allow it."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..tensors.handles import elements_of
from .definitions import DefinedFunctions
from .evaluate import widened
from .operands import CannotReplay
from .point import RecordedPoint
from .precision import PrecisionMode, unit
from .rounding import Rounding

WIDTHS = (1e-6, 1e-8)
"""Steps to either side, in float64, as a part of the element (of 1, for a smaller one)."""

NEARBY, NEAR = 3, 1e-3
"""How many spots around the recorded one are looked at, and about how far away, as a part of an element as above."""


class EvaluatedPoint(NamedTuple):
    """Values of all leaves, the loss there, and its gradient by the same calls' own backward, computed in ``precision``."""

    leaves: dict[int, Tensor]
    loss: float
    formulas: dict[int, Tensor]
    precision: torch.dtype

    def value(self, leaf: Tensor, place: int) -> float:
        """Of an element of a leaf."""
        return float(real(self.leaves[id(leaf)]).reshape(-1)[place])


class Slopes:
    """``wide``: taken in float64. ``widths`` are the steps to take. ``here`` is the recorded spot."""

    def __init__(self, point: RecordedPoint, rounding: Rounding) -> None:
        self._point = point
        self._rounding = rounding
        leaves = point.stand_ins()
        self.wide = self._can_be_wide(leaves)
        self.widths: tuple[float, ...] = WIDTHS if self.wide else (float(unit(rounding.dtype) ** (1 / 3)),)
        self.here = self._spot_at({key: widened(leaf) for key, leaf in leaves.items()} if self.wide else leaves)
        self._near: list[EvaluatedPoint] = []

    def _can_be_wide(self, leaves: dict[int, Tensor]) -> bool:
        """Whether the calls can be carried out in float64 to the last, and come to about the same loss there.

        A function of the program's own may cast to a fixed dtype: it is one of stairs, and small steps see only these.
        """
        seen = PrecisionMode()
        try:
            with seen:
                found = self._point.loss({key: widened(leaf) for key, leaf in leaves.items()}, wide=True)
        except CannotReplay:
            raise
        except Exception:
            return False
        recorded = self._point.recorded
        if not math.isfinite(recorded):
            return not math.isfinite(found)
        about = 1e-3 + 0.02 * max(abs(found), abs(recorded)) + 8 * self._rounding.shaking
        return math.isfinite(found) and abs(found - recorded) <= about and seen.dtype is torch.float64

    def _spot_at(self, leaves: dict[int, Tensor]) -> EvaluatedPoint:
        """Stand where leaves have these values. There are no formulas where the calls' own backward cannot do float64."""
        loss = self._point.loss(_copies(leaves), wide=self.wide)
        seen = PrecisionMode()
        if not self.wide:
            return EvaluatedPoint(leaves, loss, {}, seen.dtype)
        try:
            with seen:
                slopes = self._point.slopes(_copies(leaves), wide=True)
        except CannotReplay:
            raise
        except Exception:
            return EvaluatedPoint(leaves, loss, {}, seen.dtype)
        found = {key: real(elements_of(slope.detach())).reshape(-1) for key, slope in slopes.items() if slope is not None}
        return EvaluatedPoint(leaves, loss, found, seen.dtype)

    def nearby(self) -> list[EvaluatedPoint]:
        """A few spots around the recorded one, further away than differences reach."""
        signs = torch.Generator().manual_seed(0)
        while self.wide and len(self._near) < NEARBY:
            moved = {
                key: leaf + NEAR * leaf.abs().clamp(min=1) * torch.randn(leaf.shape, generator=signs, dtype=leaf.dtype)
                for key, leaf in self.here.leaves.items()
            }
            self._near.append(self._spot_at(moved))
        return self._near

    def at(
        self, spot: EvaluatedPoint, leaf: Tensor, place: int, width: float, names: Set[str] = frozenset()
    ) -> tuple[tuple[float, float, float], float]:
        """The slope by an element: central, from the left and from the right; and how far off they may be themselves.

        ``names`` are definitions by which another function is differentiated.
        """
        value = spot.value(leaf, place)
        step = width * max(abs(value), 1.0)
        defined = DefinedFunctions(names) if names else None
        loss = spot.loss
        if defined is not None:
            loss = self._point.loss(_copies(spot.leaves), wide=self.wide, defined=defined)
        (below, low), (above, high) = (self._moved(spot, leaf, place, by, defined) for by in (-step, step))
        central = (above - below) / (high - low)
        left, right = (loss - below) / (value - low), (above - loss) / (high - value)
        size = max(abs(loss), abs(below), abs(above))
        return (central, left, right), self._rounding.of_losses(size, wide=self.wide) / step

    def _moved(
        self, spot: EvaluatedPoint, leaf: Tensor, place: int, by: float, defined: DefinedFunctions | None
    ) -> tuple[float, float]:
        """The loss with an element moved, and where that then is."""
        copies = _copies(spot.leaves)
        moved = real(copies[id(leaf)])
        at = tuple(int(index) for index in np.unravel_index(place, tuple(moved.shape))) if moved.ndim else ()
        moved[at] += by
        there = float(moved[at])
        return self._point.loss(copies, wide=self.wide, defined=defined), there


def _copies(leaves: dict[int, Tensor]) -> dict[int, Tensor]:
    return {key: leaf.detach().clone() for key, leaf in leaves.items()}


def real(tensor: Tensor) -> Tensor:
    """A view of a complex tensor as pairs of real numbers; a real tensor as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
