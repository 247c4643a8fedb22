"""Check recorded gradients against differences of the loss, computed in float64 where the calls allow it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import wire
from .definitions import Defined
from .handles import elements
from .point import Point
from .precision import Precision, unit
from .rounding import Rounding
from .section import CannotRepeat, widened

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
    definitions: set[str] = field(default_factory=set)

    def told(self, index: int, parameter: int, precision: str, own: str, functions: list[str]) -> wire.Checked:
        """As it crosses the wire."""
        numbers = (self.recorded, self.central, self.left, self.right, self.tolerance)
        recorded, central, left, right, tolerance = (np.array(column, "<f8").tobytes() for column in numbers)
        elements, verdict = np.array(self.elements, "<i8").tobytes(), bytes(self.verdict)
        columns = (elements, recorded, central, left, right, tolerance, verdict)
        return wire.Checked(index, parameter, precision, *columns, functions, own, sorted(self.definitions))


class Element(NamedTuple):
    """An element of a leaf, with its gradient as it was recorded, and as the same calls give it in float64 where that helps."""

    leaf: Tensor
    parameter: int
    place: int
    recorded: float
    formula: float | None


class Judged(NamedTuple):
    """A verdict with the slopes that it rests on (central, left, right) and how far off the gradient might have been."""

    verdict: int
    slopes: tuple[float, float, float]
    tolerance: float


class Differences:
    """Slopes of the loss of one pass. ``most`` elements of each leaf are looked at, for ``seconds`` at most (0: no limit).

    Raises :class:`CannotRepeat` where the calls do not come to the recorded loss.
    """

    def __init__(self, point: Point, most: int, seconds: float) -> None:
        if any(leaf.layout is not torch.strided for leaf in point.leaves):
            raise CannotRepeat("one of its leaves is sparse, and where it has no element none can be moved")
        point.prove()
        self._point = point
        self._most = most
        self._until = time.monotonic() + seconds if seconds else math.inf
        self._start = point.stand_ins()
        self._definitions = point.section.definitions()
        self._rounding = Rounding(point)
        self._wide = self._can_be_wide()
        if self._wide:
            self._start = {key: widened(leaf) for key, leaf in self._start.items()}
        self.precision = _name(torch.float64 if self._wide else self._rounding.dtype)
        self.own = _name(self._rounding.dtype)
        self._here = point.loss(self._copies(), wide=self._wide)
        self._formulas_in = torch.float64
        self._formulas = self._formulas_alone() if self._wide and self._rounding.coarse else {}

    def _can_be_wide(self) -> bool:
        """Whether the calls can be carried out in float64 to the last, and come to about the same loss there.

        A function of the program's own may cast to a fixed dtype: it is one of stairs, and small steps see only these.
        """
        seen = Precision()
        try:
            with seen:
                found = self._point.loss({key: widened(leaf) for key, leaf in self._start.items()}, wide=True)
        except CannotRepeat:
            raise
        except Exception:
            return False
        recorded = self._point.recorded
        if not math.isfinite(recorded):
            return not math.isfinite(found)
        about = 1e-3 + 0.02 * max(abs(found), abs(recorded)) + 8 * self._rounding.shaking
        return math.isfinite(found) and abs(found - recorded) <= about and seen.dtype is torch.float64

    def _formulas_alone(self) -> dict[int, Tensor]:
        """The gradient that the same calls give in float64, by parameter; none where their backward cannot do that."""
        seen = Precision()
        try:
            with seen:
                found = self._point.slopes(self._copies(), wide=True)
        except CannotRepeat:
            raise
        except Exception:
            return {}
        self._formulas_in = seen.dtype
        return {
            parameter: _real(elements(slope.detach())).reshape(-1) for parameter, slope in found.items() if slope is not None
        }

    def _copies(self) -> dict[int, Tensor]:
        return {key: leaf.detach().clone() for key, leaf in self._start.items()}

    def of(self, parameter: int, leaf: Tensor) -> Found:
        """Look at a leaf, whose elements are taken evenly."""
        gradient = self._point.gradients[parameter]
        assert gradient is not None
        told = _real(elements(gradient.detach())).reshape(-1)
        count = told.numel()
        found = Found()
        places = range(count) if count <= self._most else np.linspace(0, count - 1, self._most).round().astype(int).tolist()
        formulas = self._formulas.get(parameter)
        for place in map(int, places):
            if found.elements and time.monotonic() > self._until:
                break
            formula = None if formulas is None else float(formulas[place])
            self._look(found, Element(leaf, parameter, place, float(told[place]), formula))
        return found

    def _look(self, found: Found, element: Element) -> None:
        judged = self._judged(element)
        if judged.verdict == wire.WRONG:
            for names in self._ways():
                if self._judged(element, names).verdict in (wire.RIGHT, wire.KINK):
                    judged = judged._replace(verdict=wire.DEFINED)
                    found.definitions.update(names)
                    break
        found.elements.append(element.place)
        found.recorded.append(element.recorded)
        columns = (found.central, found.left, found.right, found.tolerance)
        for column, number in zip(columns, (*judged.slopes, judged.tolerance), strict=True):
            column.append(number)
        found.verdict.append(judged.verdict)

    def _ways(self) -> Iterator[Set[str]]:
        """Each definition by itself, and all of them."""
        yield from ({name} for name in sorted(self._definitions))
        if len(self._definitions) > 1:
            yield self._definitions

    def _judged(self, element: Element, names: Set[str] = frozenset()) -> Judged:
        """What the slopes say of an element; ``names`` are definitions by which another function is differentiated."""
        judged = Judged(wire.UNKNOWN, (math.nan, math.nan, math.nan), math.nan)
        for width in WIDTHS if self._wide else (float(unit(self._rounding.dtype) ** (1 / 3)),):
            try:
                slopes, noise = self._slopes(element, width, names)
            except CannotRepeat:
                raise
            except Exception:
                break
            size = max(abs(element.recorded), abs(slopes[0]))
            reach = abs(self._here) / max(abs(self._at(element)), 1.0)
            tolerance = noise + self._rounding.of_gradient(element.parameter, size, reach, wide=self._wide)
            judged = Judged(_verdict(element.recorded, slopes, tolerance), slopes, tolerance)
            if element.formula is not None:
                judged = self._with_formula(judged, element, element.formula, noise)
            if judged.verdict == wire.RIGHT:
                break
        return judged

    def _with_formula(self, judged: Judged, element: Element, formula: float, noise: float) -> Judged:
        """A verdict on a gradient of a coarse precision, where the same calls gave ``formula`` in float64.

        A gradient that went through bfloat16 has two or three digits: what may be rounding in it would hide a backward that is
        wrong by a tenth. Both are told apart by the formula, which is held to what a gradient in float32 is held to; of the
        recorded one it remains to be asked whether it is that but for rounding.
        """
        size = max(abs(formula), abs(judged.slopes[0]))
        tight = noise + self._rounding.of_formula(element.parameter, size, self._formulas_in)
        verdict = _verdict(formula, judged.slopes, tight)
        if verdict == wire.WRONG:
            return Judged(wire.WRONG, judged.slopes, tight)
        if verdict == wire.KINK and judged.verdict != wire.UNKNOWN:
            _, left, right = judged.slopes
            between = min(left, right) - judged.tolerance <= element.recorded <= max(left, right) + judged.tolerance
            return judged._replace(verdict=wire.KINK if between else wire.WRONG)
        return judged

    def _slopes(self, element: Element, width: float, names: Set[str]) -> tuple[tuple[float, float, float], float]:
        """The slope by central differences, from the left and from the right; and how far off they may be themselves."""
        at = self._at(element)
        step = width * max(abs(at), 1.0)
        defined = Defined(names) if names else None
        here = self._here if defined is None else self._point.loss(self._copies(), wide=self._wide, defined=defined)
        (below, low), (above, high) = (self._moved(element, by, defined) for by in (-step, step))
        central = (above - below) / (high - low)
        left, right = (here - below) / (at - low), (above - here) / (high - at)
        size = max(abs(here), abs(below), abs(above))
        return (central, left, right), self._rounding.of_losses(size, wide=self._wide) / step

    def _at(self, element: Element) -> float:
        return float(_real(self._start[id(element.leaf)]).reshape(-1)[element.place])

    def _moved(self, element: Element, by: float, defined: Defined | None) -> tuple[float, float]:
        """The loss with an element moved, and where that then is."""
        copies = self._copies()
        moved = _real(copies[id(element.leaf)])
        at = tuple(int(index) for index in np.unravel_index(element.place, tuple(moved.shape))) if moved.ndim else ()
        moved[at] += by
        there = float(moved[at])
        return self._point.loss(copies, wide=self._wide, defined=defined), there


def _verdict(gradient: float, slopes: tuple[float, float, float], tolerance: float) -> int:
    central, left, right = slopes
    if not all(map(math.isfinite, (gradient, central, left, right))):
        return wire.UNKNOWN
    if abs(gradient - central) <= tolerance:
        return wire.RIGHT
    low, high = min(left, right), max(left, right)
    if high - low > 2 * tolerance and low - tolerance <= gradient <= high + tolerance:
        return wire.KINK
    return wire.WRONG


def _real(tensor: Tensor) -> Tensor:
    """A view of a complex tensor as pairs of real numbers; a real tensor as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
