"""Explain the update that an optimizer made of a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ..formulas.latex import named, number
from .answer import Why
from .averages import open_average, option, sign_of
from .local import rounding_bound
from .mathml import formula
from .names import shown
from .parameter import ParameterInStep, array_of, closes, dtype_of, scaled_term
from .sums import SumOfTerms


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
    lr, decay = option(options, "lr"), option(options, "weight_decay")
    before = here.number("value")
    if name == "SGD":
        sign = 1.0 if options.get("maximize") else -1.0
        total, minus = SumOfTerms(value), "-" if sign > 0 else ""
        momentum = option(options, "momentum")
        if decay and not momentum and before is not None:
            total.add(scaled_term(-lr * decay, before, here.link("value")), -lr * decay * before)
        if not momentum:
            total.add(scaled_term(sign * lr, gradient, here.link("grad_used")), sign * lr * gradient)
            rule = rf"\Delta {own} = {'' if sign > 0 else '-'}{number(lr)} \cdot {own}.\mathrm{{grad}}"
            if decay:
                rule += rf" - {number(lr * decay)} \cdot {own}"
        elif options.get("nesterov"):
            _add_gradient(here, total, -lr, decay, sign_of(options))
            open_average(
                here,
                total,
                -lr * momentum,
                "momentum_buffer",
                momentum,
                1 - option(options, "dampening"),
                decay,
                sign_of(options),
            )
            rule = (
                rf"\Delta {own} = -{number(lr)} \cdot ({minus}{own}.\mathrm{{grad}} + {number(momentum)} \cdot b), "
                rf"\quad b \leftarrow {number(momentum)} \cdot b {'-' if minus else '+'} {own}.\mathrm{{grad}}"
            )
        else:
            open_average(
                here, total, -lr, "momentum_buffer", momentum, 1 - option(options, "dampening"), decay, sign_of(options)
            )
            rule = (
                rf"\Delta {own} = -{number(lr)} \cdot b, "
                rf"\quad b \leftarrow {number(momentum)} \cdot b {'-' if minus else '+'} {own}.\mathrm{{grad}}"
            )
        if closes(here, total, value, moved=True):
            return total.answer(
                sentence=f"{name} computed it from the gradient with the learning rate {shown(lr)}.",
                rule=formula(rule),
                **common,
            )
    if name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax") and "exp_avg" in (here.row.state if here.row else {}):
        return _adam(here, name, options, value, common)
    if name in _SCALING:
        return _scaled(here, name, options, value, common)
    if name == "Rprop":
        return _bysign_of(here, value, common)
    return _through_state(here, name, value, common)


_SCALING: Final = {
    "RMSprop": (
        ("square_avg", "grad_avg"),
        "the learning rate {lr} and the root of the running average of the squared gradients",
    ),
    "Adagrad": (("sum",), "the learning rate {lr} and the root of the sum of the squared gradients"),
    "Adadelta": (
        ("square_avg", "acc_delta"),
        "the learning rate {lr} and the roots of two running averages, of the squared updates and of the squared gradients",
    ),
}
"""The optimizers that multiply the gradient by a factor: the states from which it comes, and a text about it."""


def _scaled(here: ParameterInStep, name: str, options: Mapping[str, Any], value: float, common: dict[str, Any]) -> Why:
    """Return the answer for an update that multiplies the gradient by a factor from the state, and may add momentum."""
    states, origin = _SCALING[name]
    lr, momentum, decay = option(options, "lr"), option(options, "momentum"), option(options, "weight_decay")
    whole = sign_of(options) * (here.number("grad_used") or 0.0) + decay * (here.number("value") or 0.0)
    if not whole or here.number("state", states[0]) is None:
        return _through_state(here, name, value, common)
    total, carried, earlier = SumOfTerms(value), 0.0, here.at(here.step - 1) if momentum and here.step > 0 else None
    if earlier is not None and earlier.tensor("state", "momentum_buffer") is not None:
        before = earlier.number("state", "momentum_buffer")
        if before is None:
            return _through_state(here, name, value, common)
        carried = -lr * momentum * before
        total.add(scaled_term(-lr * momentum, before, earlier.link("state", "momentum_buffer")), carried)
    scale = (value - carried) / whole
    _add_gradient(here, total, scale, decay, sign_of(options))
    about = f"This factor comes from {origin.format(lr=shown(lr))}."
    sentence = f"{name} multiplies the gradient by {shown(sign_of(options) * scale)}. {about}"
    if carried:
        sentence += f" It adds {shown(momentum)} times the update before."
    own = named(here.name)
    gradient = rf"{own}.\mathrm{{grad}}"
    if name == "Adadelta":
        roots = r"\frac{\sqrt{d + \varepsilon}}{\sqrt{v + \varepsilon}}"
        rule = rf"\Delta {own} = -{number(lr)} \cdot {roots} \cdot {gradient}"
    else:
        root = rf"\frac{{{gradient}}}{{\sqrt{{{'v - m^2' if options.get('centered') else 'v'}}} + \varepsilon}}"
        rule = rf"\Delta {own} = -{number(lr)} \cdot {root}"
        if momentum:
            rule = rf"\Delta {own} = -{number(lr)} \cdot b, \quad b \leftarrow {number(momentum)} \cdot b + {root}"
    reads = [here.link("state", state) for state in states if here.number("state", state) is not None]
    return total.answer(sentence=sentence, rule=formula(rule), reads=reads, **common)


def _bysign_of(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    """Return the answer for an update of Rprop: its own step size, against the sign of the gradient."""
    size, total = here.number("state", "step_size"), SumOfTerms(value)
    if size is None or not value:
        return _through_state(here, "Rprop", value, common)
    factor = float(np.sign(value))
    total.add(scaled_term(factor, size, here.link("state", "step_size")), factor * size)
    if not closes(here, total, value, moved=True):
        return _through_state(here, "Rprop", value, common)
    own = named(here.name)
    rule = rf"\Delta {own} = -\operatorname{{sign}}({own}.\mathrm{{grad}}) \cdot \mathrm{{step\_size}}"
    sentence = "Rprop uses only the sign of the gradient: it moves by the step size that it keeps for this element."
    return total.answer(sentence=sentence, rule=formula(rule), reads=[here.link("grad_used")], **common)


def _add_gradient(here: ParameterInStep, total: SumOfTerms, scale: float, decay: float, sign: float = 1.0) -> None:
    """Add a multiple of the gradient that an update used, and of the value for weight decay."""
    gradient, value = here.number("grad_used"), here.number("value")
    if gradient is not None:
        total.add(scaled_term(sign * scale, gradient, here.link("grad_used")), sign * scale * gradient)
    if decay and value is not None:
        total.add(scaled_term(scale * decay, value, here.link("value")), scale * decay * value)


def _adam(here: ParameterInStep, name: str, options: Mapping[str, Any], value: float, common: dict[str, Any]) -> Why:
    """Return the answer for an update of Adam: the scaled average of its gradients, and the part of weight decay."""
    lr, decay, before = option(options, "lr"), option(options, "weight_decay"), here.number("value")
    average, betas = here.number("state", "exp_avg"), options.get("betas")
    decoupled = name == "AdamW" or bool(options.get("decoupled_weight_decay"))
    if average is None or not isinstance(betas, list | tuple) or before is None or not average:
        return _through_state(here, name, value, common)
    total = SumOfTerms(value)
    if decay and decoupled:
        total.add(scaled_term(-lr * decay, before, here.link("value")), -lr * decay * before)
    scale = total.error / average
    open_average(
        here, total, scale, "exp_avg", float(betas[0]), 1 - float(betas[0]), 0.0 if decoupled else decay, sign_of(options)
    )
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


def _update_line(here: ParameterInStep) -> int | None:
    lines = here.scenes.recording.log.step(here.step).update
    return lines[0] if lines else None
