"""Read the numbers of one parameter in one step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import model
from ..errors import InvalidInput
from ..formulas.functions import Array
from .address import NumberAddress, Part
from .answer import Why, WhyLink, WhyTerm
from .local import rounding_bound
from .names import number_of, shown, with_element
from .scene import Scene
from .sums import SumOfTerms


class ParameterInStep:
    """A parameter in one step. ``flat`` is the position of the element that is explained."""

    def __init__(self, scenes: Scene, parameter: model.Parameter, step: int, flat: int) -> None:
        self.scenes = scenes
        self.parameter = parameter
        self.step = step
        self.flat = flat
        self.name = (parameter.names[-1] if parameter.names else None) or parameter.id
        self.row = next((each for each in scenes.recording.step_parameters(step, 0) if each.id == parameter.id), None)

    def at(self, step: int) -> ParameterInStep:
        """Return the same element in another step."""
        return ParameterInStep(self.scenes, self.parameter, step, self.flat)

    def tensor(self, part: Part, state: str = "") -> model.TensorSummary | None:
        """Return a tensor of the parameter in this step."""
        if self.row is None:
            return None
        if part == "state":
            return self.row.state.get(state)
        names: Mapping[str, str] = {"grad": "grad_after", "after": "value_after"}
        found: model.TensorSummary | None = getattr(self.row, names.get(part, part))
        return found

    def number(self, part: Part, state: str = "") -> float | None:
        """Return the element of a tensor of the parameter; ``None`` if it was not recorded."""
        array = array_of(self.tensor(part, state))
        if array is None:
            return None
        return float(array.reshape(-1)[self.flat if array.size > 1 else 0])

    def address(self, part: Part, state: str = "") -> NumberAddress:
        """Return the address of the element in a tensor of the parameter."""
        found = self.tensor(part, state)
        shape = tuple(found.shape) if found is not None else tuple(self.parameter.shape)
        address = NumberAddress("name", part, name=self.parameter.id, step=self.step, state=state)
        return address.at(self.flat, shape) if math.prod(shape) > 1 or self.flat == 0 else address

    def label(self, part: Part, state: str = "") -> str:
        """Return the name of the element for a person."""
        own = with_element(self.name, self.flat, self.parameter.shape)
        if part == "value":
            return f"{own} in step {self.step}"
        if part == "after":
            return f"{own} after step {self.step}"
        what = {"update": "update", "grad_used": "grad used", "grad_before": "grad before", "grad": "grad"}.get(part, state)
        return (
            f"{own}.{what.replace(' ', '_')} in step {self.step}" if part == "grad" else f"{what} of {own} in step {self.step}"
        )

    def link(self, part: Part, state: str = "") -> WhyLink:
        """Return the link to the explanation of a number of the parameter."""
        address, value = self.address(part, state), self.number(part, state)
        return WhyLink(
            address.of,
            self.label(part, state),
            None if value is None else number_of(value),
            address.href,
            address.step,
            address.pass_,
        )

    def group(self) -> tuple[str, Mapping[str, Any]] | None:
        """Return the name of the optimizer and its options for this parameter; ``None`` if no optimizer updated it."""
        event = self.scenes.recording.log.step(self.step)
        for group in event.groups:
            if int(self.parameter.id[1:]) in group.parameters:
                return group.optimizer, group.options
        if event.optimizer is not None and not event.groups:
            return str(event.optimizer.get("name")), event.optimizer
        return None


def array_of(tensor: model.TensorSummary | None) -> Array | None:
    """Return the elements of a recorded tensor of real numbers."""
    if tensor is None or tensor.values is None or "complex" in tensor.dtype:
        return None
    return np.array(tensor.values, dtype=float)


def element_of(tensor: model.TensorSummary | None, element: tuple[int, ...] | None, name: str) -> int:
    """Return the position of an element; by default, of the one with the greatest magnitude. Raises :class:`InvalidInput`."""
    shape = tuple(tensor.shape) if tensor is not None else ()
    if element is None:
        array = array_of(tensor)
        return (
            0 if array is None or array.size <= 1 else int(np.argmax(np.abs(np.nan_to_num(array, posinf=3e38, neginf=-3e38))))
        )
    if len(element) != len(shape) or any(at >= size for at, size in zip(element, shape, strict=True)):
        raise InvalidInput(f"`{name}` has the shape {list(shape)}, so it has no element {list(element)}.", where="query.of")
    return int(np.ravel_multi_index(element, shape)) if shape else 0


def scaled_term(factor: float, value: float, link: WhyLink) -> WhyTerm:
    text = shown(value) if factor == 1 else f"{shown(factor)}·{f'({shown(value)})' if value < 0 else shown(value)}"
    return WhyTerm(0.0, 0.0, number_of(factor), text, link)


def closes(here: ParameterInStep, total: SumOfTerms, value: float, *, moved: bool = False) -> bool:
    """Return whether the terms add up to the number, up to the rounding of the parameter's dtype.

    With ``moved``, the number is an update: a difference of two values, so it has their rounding too.
    """
    size = total.size + abs(value) + (abs(here.number("value") or 0.0) if moved else 0.0)
    return math.isfinite(total.error) and abs(total.error) <= 4 * rounding_bound(dtype_of(here, "update"), 16, size)


def dtype_of(here: ParameterInStep, part: Part) -> str:
    tensor = here.tensor(part)
    return tensor.dtype if tensor is not None else here.parameter.dtype.removeprefix("torch.")


def single_term(value: float, link: WhyLink, sentence: str, common: dict[str, Any]) -> Why:
    total = SumOfTerms(value)
    total.add(WhyTerm(number_of(value), 0.0, 1.0, shown(value), link), value)
    return total.answer(sentence=sentence, **common)
