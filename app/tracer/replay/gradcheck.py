"""Check recorded gradients against finite differences of the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ... import wire
from ..tensors.handles import elements_of
from .operands import CannotReplay
from .point import Point
from .precision import largest
from .rounding import Rounding
from .slopes import Slopes, real


@dataclass
class LeafCheck:
    """The results of the check for the elements of one leaf."""

    elements: list[int] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    central: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)
    tolerance: list[float] = field(default_factory=list)
    verdict: list[int] = field(default_factory=list)
    definitions: set[str] = field(default_factory=set)

    def event(self, index: int, parameter: int, precision: str, own: str, functions: list[str]) -> wire.Checked:
        """Return the results as an event."""
        numbers = (self.recorded, self.central, self.left, self.right, self.tolerance)
        recorded, central, left, right, tolerance = (np.array(column, "<f8").tobytes() for column in numbers)
        elements, verdict = np.array(self.elements, "<i8").tobytes(), bytes(self.verdict)
        columns = (elements, recorded, central, left, right, tolerance, verdict)
        return wire.Checked(index, parameter, precision, *columns, functions, own, sorted(self.definitions))


class Element(NamedTuple):
    """An element of a leaf, with its recorded gradient and, if possible, the gradient of the same calls in float64."""

    leaf: Tensor
    parameter: int
    position: int
    recorded: float
    formula: float | None
    largest: float
    """The magnitude of the leaf's largest gradient in float64; infinite if unknown."""


class Judgement(NamedTuple):
    """A verdict with the slopes that it is based on (central, left, right) and the tolerance of the gradient."""

    verdict: int
    slopes: tuple[float, float, float]
    tolerance: float


class GradientCheck:
    """Compares the gradients of one pass with slopes of its loss.

    At most ``most`` elements of each leaf are checked, for at most ``seconds`` (0: no limit). Raises :class:`CannotReplay`
    for a sparse leaf.
    """

    def __init__(self, point: Point, most: int, seconds: float) -> None:
        if any(leaf.layout is not torch.strided for leaf in point.leaves):
            raise CannotReplay("one of its leaves is sparse, and elements that the leaf does not store cannot be changed")
        self._point = point
        self._most = most
        self._until = time.monotonic() + seconds if seconds else math.inf
        self._definitions = point.section.definitions()
        self._rounding = Rounding(point)
        self._slopes = Slopes(point, self._rounding)
        self.precision = _name(torch.float64 if self._slopes.wide else self._rounding.dtype)
        self.own = _name(self._rounding.dtype)

    def of(self, parameter: int, leaf: Tensor) -> LeafCheck:
        """Check elements of a leaf, evenly spaced if there are too many."""
        gradient = self._point.gradients[parameter]
        assert gradient is not None
        gradients = real(elements_of(gradient.detach())).reshape(-1)
        found = LeafCheck()
        formulas = self._slopes.recorded.formulas.get(parameter)
        size = math.inf if formulas is None else largest(formulas)
        for index in spaced(gradients.numel(), self._most):
            if found.elements and time.monotonic() > self._until:
                break
            formula = None if formulas is None else float(formulas[index])
            self._check(found, Element(leaf, parameter, index, float(gradients[index]), formula, size))
        return found

    def _check(self, found: LeafCheck, element: Element) -> None:
        judged = self._judge(element)
        if judged.verdict == wire.WRONG:
            for names in self._definition_sets():
                if self._judge(element, names).verdict in (wire.RIGHT, wire.KINK):
                    judged = judged._replace(verdict=wire.DEFINED)
                    found.definitions.update(names)
                    break
            else:
                if self._right_around(element):
                    judged = judged._replace(verdict=wire.KINK)
        found.elements.append(element.position)
        found.recorded.append(element.recorded)
        columns = (found.central, found.left, found.right, found.tolerance)
        for column, number in zip(columns, (*judged.slopes, judged.tolerance), strict=True):
            column.append(number)
        found.verdict.append(judged.verdict)

    def _right_around(self, element: Element) -> bool:
        """Return whether a gradient that differs from the slope is right according to its formula in float64.

        The gradient must equal the formula, and the formula must equal the slopes at nearby points. Where several kinks meet,
        for example where equal largest elements are clamped, PyTorch's gradient need not lie between the slopes on either side.
        """
        if element.formula is None:
            return False
        size = max(abs(element.recorded), abs(element.formula))
        allowed = self._rounding.of_gradient(element.parameter, size, self._reach(element), element.largest, wide=True)
        if not abs(element.recorded - element.formula) <= allowed:
            return False
        for point in self._slopes.nearby():
            formulas = point.formulas.get(element.parameter)
            if formulas is None:
                return False
            formula = float(formulas[element.position])
            try:
                slopes, noise = self._slopes.at(point, element.leaf, element.position, self._slopes.widths[0])
            except CannotReplay:
                raise
            except Exception:
                return False
            size = max(abs(formula), abs(slopes[0]))
            tolerance = noise + self._rounding.of_formula(element.parameter, size, point.precision)
            if _verdict(formula, slopes, tolerance) != wire.RIGHT:
                return False
        return True

    def _definition_sets(self) -> Iterator[Set[str]]:
        """Yield each definition by itself, then all together."""
        yield from ({name} for name in sorted(self._definitions))
        if len(self._definitions) > 1:
            yield self._definitions

    def _judge(self, element: Element, names: Set[str] = frozenset()) -> Judgement:
        """Return the verdict on an element; ``names`` are definitions whose surrogate functions are evaluated instead."""
        judged = Judgement(wire.UNKNOWN, (math.nan, math.nan, math.nan), math.nan)
        for width in self._slopes.widths:
            try:
                slopes, noise = self._slopes.at(self._slopes.recorded, element.leaf, element.position, width, names)
            except CannotReplay:
                raise
            except Exception:
                break
            size = max(abs(element.recorded), abs(slopes[0]))
            tolerance = noise + self._rounding.of_gradient(
                element.parameter, size, self._reach(element), element.largest, wide=self._slopes.wide
            )
            judged = Judgement(_verdict(element.recorded, slopes, tolerance), slopes, tolerance)
            if element.formula is not None and self._rounding.coarse:
                judged = self._with_formula(judged, element, element.formula, noise)
            if judged.verdict == wire.RIGHT:
                break
        return judged

    def _with_formula(self, judged: Judgement, element: Element, formula: float, noise: float) -> Judgement:
        """Refine the verdict on a gradient of a coarse precision by ``formula``, the same gradient computed in float64.

        A gradient computed in bfloat16 has two or three digits. The tolerance for it would hide a formula that is wrong by a
        tenth. The formula in float64 is checked with the tolerance of float32, and the recorded gradient may differ from it by
        rounding.
        """
        size = max(abs(formula), abs(judged.slopes[0]))
        tight = noise + self._rounding.of_formula(element.parameter, size, self._slopes.recorded.precision)
        verdict = _verdict(formula, judged.slopes, tight)
        if verdict == wire.WRONG:
            return Judgement(wire.WRONG, judged.slopes, tight)
        if verdict == wire.KINK and judged.verdict != wire.UNKNOWN:
            _, left, right = judged.slopes
            between = min(left, right) - judged.tolerance <= element.recorded <= max(left, right) + judged.tolerance
            return judged._replace(verdict=wire.KINK if between else wire.WRONG)
        return judged

    def _reach(self, element: Element) -> float:
        return abs(self._slopes.recorded.loss) / max(abs(self._slopes.recorded.value(element.leaf, element.position)), 1.0)


def spaced(count: int, most: int) -> list[int]:
    """Return the indexes of at most ``most`` of ``count`` elements, evenly spaced, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, most).round()]


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


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
