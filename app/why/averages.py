"""Explain the state that an optimizer keeps: the running averages of the gradients of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .answer import Why
from .local import rounding_bound
from .names import shown
from .parameter import ParameterInStep, closes, dtype_of, scaled_term
from .sums import SumOfTerms

MOST_STEPS: Final = 12
"""Largest number of steps whose gradients are terms of a running average."""


def open_average(
    here: ParameterInStep,
    total: SumOfTerms,
    scale: float,
    state: str,
    kept: float,
    added: float,
    decay: float,
    sign: float = 1.0,
) -> None:
    """Add the terms of a running average: the gradients of this step and of earlier ones, and the average before them.

    The average after a step is ``kept`` times the one before, plus ``added`` times the gradient, which ``sign``
    multiplies and to which ``decay`` times the value is added. The first average of a momentum buffer is the gradient itself.
    """
    factor, step = scale, here.step
    for count in range(MOST_STEPS):
        now = here.at(step)
        buffer, gradient, value = now.number("state", state), now.number("grad_used"), now.number("value")
        if buffer is None or gradient is None:
            break
        earlier = here.at(step - 1) if step > 0 else None
        previous = earlier.number("state", state) if earlier is not None else None
        unknown = previous is None and earlier is not None and earlier.tensor("state", state) is not None
        weight = added if previous is not None or unknown or state != "momentum_buffer" else 1.0
        if unknown and earlier is not None:  # a replay can record the earlier state; until then, add what remains
            total.add(scaled_term(factor * weight * sign, gradient, now.link("grad_used")), factor * weight * sign * gradient)
            own = weight * decay * (value or 0.0)
            if own:
                total.add(scaled_term(factor * weight * decay, value or 0.0, now.link("value")), factor * own)
            remains = buffer - weight * sign * gradient - own
            total.add(scaled_term(factor, remains, earlier.link("state", state)), factor * remains)
            return
        expected = weight * (sign * gradient + decay * (value or 0.0)) + kept * (previous or 0.0)
        size = abs(buffer) + abs(weight * gradient) + abs(kept * (previous or 0.0)) + abs(weight * decay * (value or 0.0))
        if abs(expected - buffer) > rounding_bound(dtype_of(here, "update"), 8, size):
            break
        total.add(scaled_term(factor * weight * sign, gradient, now.link("grad_used")), factor * weight * sign * gradient)
        if decay and value is not None:
            total.add(scaled_term(factor * weight * decay, value, now.link("value")), factor * weight * decay * value)
        if previous is None or not previous:
            return
        factor, step = factor * kept, step - 1
        if count == MOST_STEPS - 1:
            break
    left = here.at(step)
    rest = left.number("state", state)
    if rest is not None:
        total.add(scaled_term(factor, rest, left.link("state", state)), factor * rest)


def explain_state(here: ParameterInStep, state: str, value: float, common: dict[str, Any]) -> Why:
    group = here.group()
    options = group[1] if group is not None else {}
    gradient, betas = here.number("grad_used"), options.get("betas")
    pair = betas if isinstance(betas, list | tuple) and len(betas) > 1 else (None, None)
    previous = here.at(here.step - 1).number("state", state) if here.step > 0 else None
    if gradient is not None:
        decoupled = group is not None and (group[0] == "AdamW" or bool(options.get("decoupled_weight_decay")))
        decay = 0.0 if decoupled else option(options, "weight_decay")
        total = SumOfTerms(value)
        if state in ("momentum_buffer", "exp_avg"):
            kept = option(options, "momentum") if state == "momentum_buffer" else pair[0]
            if kept is not None:
                added = 1 - option(options, "dampening") if state == "momentum_buffer" else 1 - float(kept)
                open_average(here, total, 1.0, state, float(kept), added, decay, sign_of(options))
                if closes(here, total, value):
                    sentence = f"Each step multiplies it by {shown(float(kept))} and adds the gradient."
                    return total.answer(sentence=sentence, **common)
        square = pair[1] if state == "exp_avg_sq" else options.get("alpha") if state == "square_avg" else None
        if isinstance(square, int | float) and not decay:
            added = (1 - float(square)) * gradient
            total.add(scaled_term(added, gradient, here.link("grad_used")), added * gradient)
            if previous:
                earlier = here.at(here.step - 1).link("state", state)
                total.add(scaled_term(float(square), previous, earlier), float(square) * previous)
            if closes(here, total, value):
                return total.answer(sentence="It is a running average of the squares of the gradients.", **common)
    links = [here.link("grad_used")] if gradient is not None else []
    if previous is not None:
        links.append(here.at(here.step - 1).link("state", state))
    return Why(kind="function", sentence="The optimizer keeps it.", reads=links, **common)


def sign_of(options: Mapping[str, Any]) -> float:
    """Return the sign of the gradient in the sums of an optimizer: −1 if it maximizes."""
    return -1.0 if options.get("maximize") else 1.0


def option(options: Mapping[str, Any], name: str) -> float:
    """Return an option of an optimizer that is a number, 0 if there is none."""
    value = options.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
