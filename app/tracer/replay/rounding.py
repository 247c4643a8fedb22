"""Estimate how far rounding may have moved the gradients of a pass from the slopes of its loss."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from ..tensors.handles import elements_of
from .operands import CannotReplay
from .point import Point
from .precision import PrecisionMode, largest, unit

RELATIVE: Final = {torch.float64: 1e-5, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 5e-2}
"""The allowed relative difference between a gradient and a slope, by the precision of the computation."""
RELATIVE_NARROW: Final = 5e-2
"""The smallest allowed relative difference if the slopes are computed in the program's own precision."""
MOVES: Final = 4
"""Number of pairs of perturbations of all leaves, from which the rounding in a coarse precision is estimated."""


class Rounding:
    """The effect of rounding in a pass.

    ``dtype`` is the coarsest precision of the pass, forward or backward, which limits the accuracy of every gradient. The
    dtype of a leaf does not determine it: autocast multiplies float32 parameters in bfloat16, and programs cast. ``coarse``
    is true for precisions with two or three digits. ``loss_noise`` is the change of the loss by rounding in a coarse precision,
    else 0.
    """

    def __init__(self, point: Point) -> None:
        self._point = point
        self.dtype, self._largest_intermediate = _observed_precision(point)
        self.coarse = unit(self.dtype) > unit(torch.float32)
        self._scales = {parameter: largest(each) for parameter, each in point.gradients.items() if each is not None}
        self._scale = max((scale for scale in self._scales.values() if math.isfinite(scale)), default=0.0)
        self.loss_noise = 0.0
        self._gradient_noise = self._measure_noise()

    def of_gradient(self, parameter: int, size: float, reach: float, formulas: float, *, wide: bool) -> float:
        """Return the tolerance of a recorded gradient of magnitude ``size``.

        ``reach`` is the loss divided by the magnitude of the element. ``formulas`` is the magnitude of the leaf's largest
        gradient in float64, infinite if unknown.

        Sums of large numbers that cancel are inaccurate by units of those numbers, not of the result. The terms for the largest
        gradients, of leaves and of intermediate nodes, account for this. In a coarse precision, mostly gradients of the same
        leaf count. Otherwise an error in a layer with small gradients could hide behind a layer with large ones.
        """
        relative = RELATIVE.get(self.dtype, 0.5)
        if not wide:
            relative = max(relative, RELATIVE_NARROW)
        allowed = relative * size + (3 if self.coarse else 8) * self._gradient_noise.get(parameter, 0.0)
        if self.coarse:
            # True if the whole gradient may consist of rounding errors.
            cancels = formulas < unit(self.dtype) * self._largest_intermediate
            return (
                allowed
                + self._sums(parameter, self.dtype)
                + 2 * unit(self.dtype if cancels else torch.float32) * self._largest_intermediate
            )
        return allowed + unit(self.dtype) * (32 * (self._scale + reach) + 2 * self._largest_intermediate)

    def of_formula(self, parameter: int, size: float, dtype: torch.dtype) -> float:
        """Return the tolerance of a gradient that the same calls gave in this precision, for float64 leaves."""
        dtype = max(dtype, torch.float32, key=unit)
        return RELATIVE.get(dtype, 0.5) * size + self._sums(parameter, dtype) + 2 * unit(dtype) * self._largest_intermediate

    def of_losses(self, size: float, *, wide: bool) -> float:
        """Return the tolerance between two evaluations of a loss of about this size."""
        whole = 64 * unit(torch.float64 if wide else self.dtype) * size
        return min(whole, self.loss_noise) if self.coarse and not wide else whole

    def _sums(self, parameter: int, dtype: torch.dtype) -> float:
        scale = self._scales.get(parameter, 0.0)
        return unit(dtype) * (8 * (scale if math.isfinite(scale) else 0.0) + 2 * self._scale)

    def _measure_noise(self) -> dict[int, float]:
        """Return the change of each parameter's gradient when every leaf moves by one unit in its last place.

        No gradient is more accurate than this change. Near a minimum, a gradient is the remainder of large numbers that cancel.
        Of two opposite moves, the smaller change of each element counts, so that a kink on one side is not taken for noise. In
        a coarse precision the largest of several moves counts, since rounding itself moves values across kinks.
        """
        point, changes = self._point, dict[int, list[Tensor]]()
        signs = torch.Generator().manual_seed(0)
        for _ in range(MOVES if self.coarse else 1):
            directions = {key: torch.rand(leaf.shape, generator=signs) < 0.5 for key, leaf in point.stand_ins().items()}
            for up in (directions, {key: ~each for key, each in directions.items()}):
                moved = {key: _moved_by_a_unit(leaf, up[key], self.dtype) for key, leaf in point.stand_ins().items()}
                if self.coarse:
                    change = abs(point.loss(moved) - point.recorded_loss)
                    self.loss_noise = max(self.loss_noise, change if math.isfinite(change) else 0.0)
                for parameter, found in point.slopes(moved).items():
                    gradient = point.gradients[parameter]
                    if found is not None and gradient is not None:
                        changes.setdefault(parameter, []).append((elements_of(found) - elements_of(gradient.detach())).abs())
        noise: dict[int, float] = {}
        for parameter, each in changes.items():
            change = largest(torch.stack(each).amax(0) if self.coarse else torch.stack(each).amin(0))
            noise[parameter] = change if math.isfinite(change) else 0.0
        return noise


def _observed_precision(point: Point) -> tuple[torch.dtype, float]:
    """Return the coarsest precision of a pass, and the magnitude of its largest intermediate gradient."""
    dtypes = [leaf.dtype for leaf in point.leaves] + [root.dtype for root in point.roots]
    observed = PrecisionMode(dtypes)
    stand_ins = {key: leaf.requires_grad_() for key, leaf in point.stand_ins().items()}
    try:
        with observed:
            roots = point.section.evaluate(stand_ins)
            observed.sized = True
            point.slopes(stand_ins, roots)
    except CannotReplay:
        raise
    except Exception:  # some tensors do not support a mode: use the dtypes of leaves and roots
        return PrecisionMode(dtypes).dtype, 0.0
    return observed.dtype, observed.largest


def _moved_by_a_unit(leaf: Tensor, up: Tensor, precision: torch.dtype) -> Tensor:
    """Return a leaf with each element moved to the next number of this precision, up or down."""
    if leaf.is_complex():
        real = torch.view_as_real(leaf.resolve_conj())
        return torch.view_as_complex(_moved_by_a_unit(real, up.unsqueeze(-1).expand(real.shape), precision).contiguous())
    if unit(leaf.dtype) < unit(precision):
        return leaf + torch.where(up, unit(precision), -unit(precision)).to(leaf.dtype) * leaf.abs()
    limits = torch.where(up, float("inf"), float("-inf")).to(leaf.dtype)
    return torch.nextafter(leaf, limits)
