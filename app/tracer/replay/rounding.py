"""Know how far rounding may have taken the gradients of a pass from the slopes of its loss."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from ..tensors.handles import elements_of
from .operands import CannotReplay
from .point import RecordedPoint
from .precision import PrecisionMode, largest, unit

RELATIVE: Final = {torch.float64: 1e-5, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 5e-2}
"""How far a gradient may be from the slope, as a part of the larger of the two, by the precision that it was computed in."""
RELATIVE_NARROW: Final = 5e-2
"""The same, at least, where the differences themselves are computed in the program's own precision."""
MOVES: Final = 4
"""Pairs of moves of all leaves, by which a coarse precision shows what its rounding comes to."""


class Rounding:
    """What rounding comes to in a pass: ``dtype`` is the coarsest precision that it went through, forward or backward.

    No gradient is known better than that. The dtype of a leaf does not tell it: autocast has a network of float32 multiply in
    bfloat16, and programs cast. ``coarse`` are those with two or three digits. ``shaking`` is what that made of the loss.
    """

    def __init__(self, point: RecordedPoint) -> None:
        self._point = point
        self.dtype, self._on_the_way = _seen(point)
        self.coarse = unit(self.dtype) > unit(torch.float32)
        self._scales = {parameter: largest(each) for parameter, each in point.gradients.items() if each is not None}
        self._scale = max((scale for scale in self._scales.values() if math.isfinite(scale)), default=0.0)
        self.shaking = 0.0
        self._trembling = self._tremble()

    def of_gradient(self, parameter: int, size: float, reach: float, formulas: float, *, wide: bool) -> float:
        """How far a recorded gradient of this size may be off; ``reach`` is the loss over the size of the element.

        ``formulas`` is the size of the leaf's largest gradient in float64, infinite where nobody knows it.

        Sums of large numbers that cancel are off by units of these and not of what is left: hence the parts that go by the
        largest gradients, of leaves and on the way to them. In a coarse precision these are those of the same leaf, for the
        most part: else nothing that is small in one layer could be wrong beside what is large in another.
        """
        relative = RELATIVE.get(self.dtype, 0.5)
        if not wide:
            relative = max(relative, RELATIVE_NARROW)
        allowed = relative * size + (3 if self.coarse else 8) * self._trembling.get(parameter, 0.0)
        if self.coarse:
            cancels = formulas < unit(self.dtype) * self._on_the_way  # then rounding is all there is
            return (
                allowed
                + self._sums(parameter, self.dtype)
                + 2 * unit(self.dtype if cancels else torch.float32) * self._on_the_way
            )
        return allowed + unit(self.dtype) * (32 * (self._scale + reach) + 2 * self._on_the_way)

    def of_formula(self, parameter: int, size: float, dtype: torch.dtype) -> float:
        """How far a gradient may be off that the same calls gave in this precision, from leaves in float64."""
        dtype = max(dtype, torch.float32, key=unit)
        return RELATIVE.get(dtype, 0.5) * size + self._sums(parameter, dtype) + 2 * unit(dtype) * self._on_the_way

    def of_losses(self, size: float, *, wide: bool) -> float:
        """How far two losses of about this size may be off from each other, when they are the same."""
        whole = 64 * unit(torch.float64 if wide else self.dtype) * size
        return min(whole, self.shaking) if self.coarse and not wide else whole

    def _sums(self, parameter: int, dtype: torch.dtype) -> float:
        scale = self._scales.get(parameter, 0.0)
        return unit(dtype) * (8 * (scale if math.isfinite(scale) else 0.0) + 2 * self._scale)

    def _tremble(self) -> dict[int, float]:
        """How much the gradient of each parameter changes when every leaf moves by one unit in its last place.

        A gradient is not known better than that: near a minimum it is what rounding has left of large numbers. Of two
        opposite moves, the smaller change of each element counts, so that a kink on one side does not hide. In a coarse
        precision the largest of several moves does: there, rounding itself takes what is close to a kink to its other side.
        """
        point, changes = self._point, dict[int, list[Tensor]]()
        signs = torch.Generator().manual_seed(0)
        for _ in range(MOVES if self.coarse else 1):
            way = {key: torch.rand(leaf.shape, generator=signs) < 0.5 for key, leaf in point.stand_ins().items()}
            for up in (way, {key: ~each for key, each in way.items()}):
                moved = {key: _moved_by_a_unit(leaf, up[key], self.dtype) for key, leaf in point.stand_ins().items()}
                if self.coarse:
                    change = abs(point.loss(moved) - point.recorded)
                    self.shaking = max(self.shaking, change if math.isfinite(change) else 0.0)
                for parameter, found in point.slopes(moved).items():
                    gradient = point.gradients[parameter]
                    if found is not None and gradient is not None:
                        changes.setdefault(parameter, []).append((elements_of(found) - elements_of(gradient.detach())).abs())
        told: dict[int, float] = {}
        for parameter, each in changes.items():
            change = largest(torch.stack(each).amax(0) if self.coarse else torch.stack(each).amin(0))
            told[parameter] = change if math.isfinite(change) else 0.0
        return told


def _seen(point: RecordedPoint) -> tuple[torch.dtype, float]:
    """The coarsest precision, and the size of the largest gradient on the way."""
    dtypes = [leaf.dtype for leaf in point.leaves] + [root.dtype for root in point.roots]
    seen = PrecisionMode(dtypes)
    stand_ins = {key: leaf.requires_grad_() for key, leaf in point.stand_ins().items()}
    try:
        with seen:
            roots = point.section.evaluate(stand_ins)
            seen.sized = True
            point.slopes(stand_ins, roots)
    except CannotReplay:
        raise
    except Exception:  # there are tensors that no mode can stand at: what is known of leaves and roots has to do
        return PrecisionMode(dtypes).dtype, 0.0
    return seen.dtype, seen.largest


def _moved_by_a_unit(leaf: Tensor, up: Tensor, precision: torch.dtype) -> Tensor:
    """A leaf with each element moved to the next number, up or down, that this precision has."""
    if leaf.is_complex():
        real = torch.view_as_real(leaf.resolve_conj())
        return torch.view_as_complex(_moved_by_a_unit(real, up.unsqueeze(-1).expand(real.shape), precision).contiguous())
    if unit(leaf.dtype) < unit(precision):
        return leaf + torch.where(up, unit(precision), -unit(precision)).to(leaf.dtype) * leaf.abs()
    ends = torch.where(up, float("inf"), float("-inf")).to(leaf.dtype)
    return torch.nextafter(leaf, ends)
