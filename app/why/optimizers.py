"""Explain what an optimizer did: the update of a parameter, and the state that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ..formulas.latex import named, number
from .answer import Why
from .local import rounding_bound
from .mathml import formula
from .names import shown
from .parameter import ParameterInStep, array_of, closes, dtype_of, scaled_term
from .sums import SumOfTerms

MOST_STEPS: Final = 12
"""Largest number of steps whose gradients are terms of a running average."""


def explain_update(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    group, gradient = here.group(), here.number("grad_used")
    common["program_line"] = _update_line(here)
    common["source"] = here.scenes.recording.source(common["program_line"])
    if gradient is None:
        return Why(kind="unknown", sentence="The gradient that the update used was not recorded.", **common)
    own = named(here.name)
    if group is None:
        return _by_hand(here, value, gradient, common)
    name, options = group
    lr, decay = _float(options, "lr"), _float(options, "weight_decay")
    before = here.number("value")
    if name == "SGD" and lr is not None:
        sign = -1.0 if not options.get("maximize") else 1.0
        total = SumOfTerms(value)
        momentum = _float(options, "momentum")
        if decay and not momentum and before is not None:
            total.add(scaled_term(-lr * decay, before, here.link("value")), -lr * decay * before)
        if not momentum:
            total.add(scaled_term(sign * lr, gradient, here.link("grad_used")), sign * lr * gradient)
            rule = rf"\Delta {own} = {'' if sign > 0 else '-'}{number(lr)} \cdot {own}.\mathrm{{grad}}"
            if decay:
                rule += rf" - {number(lr * decay)} \cdot {own}"
        elif options.get("nesterov") and not options.get("maximize"):
            _add_gradient(here, total, -lr, decay)
            _open(here, total, -lr * momentum, "momentum_buffer", momentum, 1 - _float(options, "dampening"), decay)
            rule = (
                rf"\Delta {own} = -{number(lr)} \cdot ({own}.\mathrm{{grad}} + {number(momentum)} \cdot b), "
                rf"\quad b \leftarrow {number(momentum)} \cdot b + {own}.\mathrm{{grad}}"
            )
        elif not options.get("maximize"):
            _open(here, total, -lr, "momentum_buffer", momentum, 1 - _float(options, "dampening"), decay)
            rule = (
                rf"\Delta {own} = -{number(lr)} \cdot b, \quad b \leftarrow {number(momentum)} \cdot b + {own}.\mathrm{{grad}}"
            )
        else:
            rule = ""
        if rule and closes(here, total, value, moved=True):
            return total.answer(
                sentence=f"{name} computed it from the gradient with the learning rate {shown(lr)}.",
                rule=formula(rule),
                **common,
            )
    if name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax") and "exp_avg" in (here.row.state if here.row else {}):
        return _adam(here, name, options, value, common)
    average = {"RMSprop": "square_avg", "Adagrad": "sum"}.get(name)
    if average is not None and not _float(options, "momentum") and not options.get("centered"):
        return _scaled(here, name, options, average, value, common)
    return _through_state(here, name, value, common)


def _scaled(
    here: ParameterInStep, name: str, options: Mapping[str, Any], average: str, value: float, common: dict[str, Any]
) -> Why:
    """Return the answer for an update that divides the gradient by the root of a state, which sums or averages its squares."""
    gradient, decay = here.number("grad_used") or 0.0, _float(options, "weight_decay")
    whole = gradient + decay * (here.number("value") or 0.0)
    if not whole or here.number("state", average) is None:
        return _through_state(here, name, value, common)
    scale, total = value / whole, SumOfTerms(value)
    _add_gradient(here, total, scale, decay)
    what = "running average" if average == "square_avg" else "sum"
    sentence = (
        f"{name} multiplies the gradient by {shown(scale)}. This factor comes from the learning rate "
        f"{shown(_float(options, 'lr'))} and the root of the {what} of the squared gradients."
    )
    own = named(here.name)
    rule = rf"\Delta {own} = -{number(_float(options, 'lr'))} \cdot \frac{{{own}.\mathrm{{grad}}}}{{\sqrt{{v}} + \varepsilon}}"
    return total.answer(sentence=sentence, rule=formula(rule), reads=[here.link("state", average)], **common)


def _add_gradient(here: ParameterInStep, total: SumOfTerms, scale: float, decay: float) -> None:
    """Add a multiple of the gradient that an update used, and of the value for weight decay."""
    gradient, value = here.number("grad_used"), here.number("value")
    if gradient is not None:
        total.add(scaled_term(scale, gradient, here.link("grad_used")), scale * gradient)
    if decay and value is not None:
        total.add(scaled_term(scale * decay, value, here.link("value")), scale * decay * value)


def _adam(here: ParameterInStep, name: str, options: Mapping[str, Any], value: float, common: dict[str, Any]) -> Why:
    """Return the answer for an update of Adam: the scaled average of its gradients, and the part of weight decay."""
    lr, decay, before = _float(options, "lr"), _float(options, "weight_decay"), here.number("value")
    average, betas = here.number("state", "exp_avg"), options.get("betas")
    decoupled = name == "AdamW" or bool(options.get("decoupled_weight_decay"))
    if average is None or not isinstance(betas, list | tuple) or lr is None or before is None or not average:
        return _through_state(here, name, value, common)
    total = SumOfTerms(value)
    if decay and decoupled:
        total.add(scaled_term(-lr * decay, before, here.link("value")), -lr * decay * before)
    scale = total.error / average
    _open(here, total, scale, "exp_avg", float(betas[0]), 1 - float(betas[0]), 0.0 if decoupled else decay)
    squares = [here.link("state", "exp_avg_sq")] if here.number("state", "exp_avg_sq") is not None else []
    own = named(here.name)
    rule = rf"\Delta {own} = -{number(lr)} \cdot \frac{{\hat m}}{{\sqrt{{\hat v}} + \varepsilon}}"
    if not closes(here, total, value, moved=True):
        return _through_state(here, name, value, common)
    sentence = (
        f"{name} multiplies its running average of the gradients by {shown(scale)}. This factor comes from the learning rate "
        f"{shown(lr)} and the root of the running average of the squared gradients."
    )
    return total.answer(sentence=sentence, rule=formula(rule), reads=squares, **common)


def _through_state(here: ParameterInStep, name: str, value: float, common: dict[str, Any]) -> Why:
    """Return the answer for an update that no rule here explains: the numbers that the optimizer read."""
    states = [here.link("state", key) for key in (here.row.state if here.row else {}) if here.number("state", key) is not None]
    links = [here.link("grad_used"), here.link("value"), *states]
    return Why(kind="function", sentence=f"{name} computed it from these numbers.", reads=links, **common)


def _by_hand(here: ParameterInStep, value: float, gradient: float, common: dict[str, Any]) -> Why:
    """Return the answer for an update that the program wrote itself: a multiple of the gradient, if it is one."""
    updates, gradients = array_of(here.tensor("update")), array_of(here.tensor("grad_used"))
    if updates is None or gradients is None or not gradient:
        sentence = "The gradient is 0 here." if gradient == 0 else "The program computed it."
        return Why(kind="function", sentence=sentence, reads=[here.link("grad_used"), here.link("value")], **common)
    there = gradients != 0
    ratios = updates[there] / gradients[there]
    ratio = float(np.median(ratios))
    rounded = float(f"{ratio:.6g}")
    before = here.number("value") or 0.0
    slack = rounding_bound(dtype_of(here, "update"), 4, abs(before) + abs(value)) * 4
    if np.any(np.abs(updates - rounded * gradients) > slack + 1e-6 * np.abs(updates)):
        reads = [here.link("grad_used"), here.link("value")]
        return Why(kind="function", sentence="The program computed it from the gradient.", reads=reads, **common)
    total = SumOfTerms(value)
    total.add(scaled_term(rounded, gradient, here.link("grad_used")), rounded * gradient)
    own = named(here.name)
    rule = formula(rf"\Delta {own} = {number(rounded)} \cdot {own}.\mathrm{{grad}}")
    return total.answer(sentence=f"The program adds {shown(rounded)} times the gradient.", rule=rule, **common)


def _open(here: ParameterInStep, total: SumOfTerms, scale: float, state: str, kept: float, added: float, decay: float) -> None:
    """Add the terms of a running average: the gradients of this step and of earlier ones, and the average before them.

    The average after a step is ``kept`` times the one before, plus ``added`` times the gradient, which includes ``decay`` times
    the value. The first average of a momentum buffer is the gradient itself.
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
            total.add(scaled_term(factor * weight, gradient, now.link("grad_used")), factor * weight * gradient)
            own = weight * (decay or 0.0) * (value or 0.0)
            if own:
                total.add(scaled_term(factor * weight * decay, value or 0.0, now.link("value")), factor * own)
            remains = buffer - weight * gradient - own
            total.add(scaled_term(factor, remains, earlier.link("state", state)), factor * remains)
            return
        expected = weight * (gradient + (decay or 0.0) * (value or 0.0)) + kept * (previous or 0.0)
        size = (
            abs(buffer) + abs(weight * gradient) + abs(kept * (previous or 0.0)) + abs(weight * (decay or 0) * (value or 0.0))
        )
        if abs(expected - buffer) > rounding_bound(dtype_of(here, "update"), 8, size):
            break
        total.add(scaled_term(factor * weight, gradient, now.link("grad_used")), factor * weight * gradient)
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
        decay = 0.0 if decoupled else _float(options, "weight_decay") or 0.0
        total = SumOfTerms(value)
        if state in ("momentum_buffer", "exp_avg"):
            kept = _float(options, "momentum") if state == "momentum_buffer" else pair[0]
            if kept is not None:
                added = 1 - (_float(options, "dampening") or 0.0) if state == "momentum_buffer" else 1 - float(kept)
                _open(here, total, 1.0, state, float(kept), added, decay)
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


def _update_line(here: ParameterInStep) -> int | None:
    lines = here.scenes.recording.log.step(here.step).update
    return lines[0] if lines else None


def _float(options: Mapping[str, Any], name: str) -> float:
    value = options.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
