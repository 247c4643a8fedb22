"""Check recorded gradients against differences of the loss, computed in float64 where the calls allow it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .. import wire
from .handles import elements
from .point import Point
from .section import CannotRepeat, widened

RELATIVE = {torch.float64: 1e-5, torch.complex128: 1e-5, torch.float16: 3e-2, torch.bfloat16: 5e-2}
"""How far a gradient may be from the slope, as a part of the larger of the two; 1e-3 for float32."""
NARROW = 5e-2
"""The same where the differences themselves are computed in the program's own precision."""
WIDTHS = (1e-6, 1e-8)
"""Steps to either side, in float64, as a part of the element (of 1, for a smaller one)."""


@dataclass
class Found:
    """What differences say of the elements of one leaf."""

    elements: list[int] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    central: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)
    tolerance: list[float] = field(default_factory=list)
    verdict: list[int] = field(default_factory=list)

    def told(self, index: int, parameter: int, precision: str, functions: list[str]) -> wire.Checked:
        """As it crosses the wire."""
        numbers = (self.recorded, self.central, self.left, self.right, self.tolerance)
        recorded, central, left, right, tolerance = (np.array(column, "<f8").tobytes() for column in numbers)
        elements, verdict = np.array(self.elements, "<i8").tobytes(), bytes(self.verdict)
        return wire.Checked(
            index, parameter, precision, elements, recorded, central, left, right, tolerance, verdict, functions
        )


class Differences:
    """Slopes of the loss of one pass. ``most`` elements of each leaf are looked at, for ``seconds`` at most (0: no limit).

    Raises :class:`CannotRepeat` where the calls do not come to the recorded loss.
    """

    def __init__(self, point: Point, most: int, seconds: float) -> None:
        point.prove()
        self._point = point
        self._most = most
        self._until = time.monotonic() + seconds if seconds else math.inf
        self._start = point.stand_ins()
        self._wide = self._can_be_wide()
        if self._wide:
            self._start = {key: widened(leaf) for key, leaf in self._start.items()}
        self.precision = "float64" if self._wide else _name(point)
        self._here = point.loss(self._copies(), wide=self._wide)
        sizes = [_largest(gradient) for gradient in point.gradients.values() if gradient is not None]
        self._scale = max((size for size in sizes if math.isfinite(size)), default=0.0)
        self._trembling = self._tremble()

    def _can_be_wide(self) -> bool:
        """Whether the calls can be carried out in float64, and come to about the same loss there."""
        if self._point.roots[0].dtype is torch.float64 and all(leaf.dtype is torch.float64 for leaf in self._point.leaves):
            return True
        try:
            found = self._point.loss({key: widened(leaf) for key, leaf in self._start.items()}, wide=True)
        except CannotRepeat:
            raise
        except Exception:
            return False
        recorded = self._point.recorded
        return math.isfinite(found) and abs(found - recorded) <= 1e-3 + 0.02 * max(abs(found), abs(recorded))

    def _tremble(self) -> dict[int, float]:
        """How much the gradient of each parameter changes when every leaf moves by one unit in its last place.

        A gradient is not known better than that: near a minimum it is what rounding has left of large numbers. Of two
        opposite moves, the smaller change of each element counts, so that a kink on one side does not hide.
        """
        signs = torch.Generator().manual_seed(0)
        way = {key: torch.rand(leaf.shape, generator=signs) < 0.5 for key, leaf in self._point.stand_ins().items()}
        changes: dict[int, list[Tensor]] = {}
        for up in (way, {key: ~each for key, each in way.items()}):
            moved = {key: _moved_by_a_unit(leaf, up[key]) for key, leaf in self._point.stand_ins().items()}
            for parameter, found in self._point.slopes(moved).items():
                gradient = self._point.gradients[parameter]
                if found is not None and gradient is not None:
                    changes.setdefault(parameter, []).append((elements(found) - elements(gradient.detach())).abs())
        return {
            parameter: change if math.isfinite(change) else 0.0
            for parameter, (one, other) in changes.items()
            for change in [_largest(torch.minimum(one, other))]
        }

    def _copies(self) -> dict[int, Tensor]:
        return {key: leaf.detach().clone() for key, leaf in self._start.items()}

    def of(self, parameter: int, leaf: Tensor) -> Found:
        """Look at a leaf, whose elements are taken evenly."""
        gradient = self._point.gradients[parameter]
        assert gradient is not None
        told = _real(elements(gradient.detach()))
        count = told.numel()
        found = Found()
        places = range(count) if count <= self._most else np.linspace(0, count - 1, self._most).round().astype(int).tolist()
        for place in places:
            if found.elements and time.monotonic() > self._until:
                break
            self._look(found, leaf, parameter, int(place), float(told.reshape(-1)[int(place)]))
        return found

    def _look(self, found: Found, leaf: Tensor, parameter: int, place: int, recorded: float) -> None:
        verdict, numbers = wire.UNKNOWN, (math.nan, math.nan, math.nan, math.nan)
        for width in WIDTHS if self._wide else (_narrow_width(leaf),):
            try:
                central, left, right, tolerance = self._slopes(leaf, place, width, recorded)
                numbers = (central, left, right, tolerance + 8 * self._trembling.get(parameter, 0.0))
            except CannotRepeat:
                raise
            except Exception:
                break
            verdict = self._judged(recorded, *numbers)
            if verdict == wire.RIGHT:
                break
        found.elements.append(place)
        found.recorded.append(recorded)
        for column, number in zip((found.central, found.left, found.right, found.tolerance), numbers, strict=True):
            column.append(number)
        found.verdict.append(verdict)

    def _slopes(self, leaf: Tensor, place: int, width: float, recorded: float) -> tuple[float, float, float, float]:
        """The slope by central differences, from the left, from the right, and how far off the gradient may be."""
        here = float(_real(self._start[id(leaf)]).reshape(-1)[place])
        step = width * max(abs(here), 1.0)
        (below, low), (above, high) = self._moved(leaf, place, -step), self._moved(leaf, place, step)
        central = (above - below) / (high - low)
        left, right = (self._here - below) / (here - low), (above - self._here) / (high - here)
        epsilon = torch.finfo(torch.float64 if self._wide else leaf.dtype).eps
        noise = 64 * epsilon * max(abs(self._here), abs(below), abs(above)) / step
        own = torch.finfo(leaf.dtype).eps
        noise += 32 * own * (self._scale + abs(self._here) / max(abs(here), 1.0))
        relative = RELATIVE.get(leaf.dtype, 1e-3) if self._wide else NARROW
        return central, left, right, noise + relative * max(abs(recorded), abs(central))

    def _moved(self, leaf: Tensor, place: int, by: float) -> tuple[float, float]:
        """The loss with one element moved, and where that element then is."""
        copies = self._copies()
        moved = _real(copies[id(leaf)])
        at = tuple(int(index) for index in np.unravel_index(place, tuple(moved.shape))) if moved.ndim else ()
        moved[at] += by
        there = float(moved[at])
        return self._point.loss(copies, wide=self._wide), there

    def _judged(self, recorded: float, central: float, left: float, right: float, tolerance: float) -> int:
        if not all(map(math.isfinite, (recorded, central, left, right))):
            return wire.UNKNOWN
        if abs(recorded - central) <= tolerance:
            return wire.RIGHT
        low, high = min(left, right), max(left, right)
        if high - low > 2 * tolerance and low - tolerance <= recorded <= high + tolerance:
            return wire.KINK
        return wire.WRONG


def _real(tensor: Tensor) -> Tensor:
    """A view of a complex tensor as pairs of real numbers; a real tensor as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _largest(gradient: Tensor) -> float:
    gradient = elements(gradient.detach())
    return float(gradient.abs().max()) if gradient.numel() else 0.0


def _moved_by_a_unit(leaf: Tensor, up: Tensor) -> Tensor:
    """A leaf with each element moved to the next number, up or down."""
    if leaf.is_complex():
        real = torch.view_as_real(leaf.resolve_conj())
        return torch.view_as_complex(_moved_by_a_unit(real, up.unsqueeze(-1).expand(real.shape)).contiguous())
    ends = torch.where(up, float("inf"), float("-inf")).to(leaf.dtype)
    return torch.nextafter(leaf, ends)


def _narrow_width(leaf: Tensor) -> float:
    return float(torch.finfo(leaf.dtype).eps ** (1 / 3))


def _name(point: Point) -> str:
    return str(point.roots[0].dtype).removeprefix("torch.")
