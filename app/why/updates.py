"""Explain the numbers of a parameter in a step: its value, and its gradient before the passes, after them and as used."""

from __future__ import annotations

import math
from typing import Any

from msgspec import structs

from ..formulas.latex import named
from .address import Part
from .answer import Why, WhyLink, WhyTerm
from .averages import explain_state
from .gradients import explain_gradient
from .mathml import formula
from .names import number_of, shown
from .optimizers import explain_update
from .parameter import ParameterInStep, closes, scaled_term, single_term
from .sums import SumOfTerms
from .unrecorded import unrecorded


def explain_parameter(here: ParameterInStep, part: Part, state: str = "") -> Why:
    """Return why a number of a parameter is what it is."""
    value = here.number(part, state)
    address = here.address(part, state)
    common: dict[str, Any] = {
        "of": address.of, "name": here.label(part, state), "value": None if value is None else number_of(value),
        "element": list(address.element or ()), "step": here.step, "pass_": None,
        "program_line": here.parameter.line, "source": here.scenes.recording.source(here.parameter.line),
    }  # fmt: skip
    if value is None:
        return Why(kind="unknown", **_unrecorded(here, part, state), **common)
    match part:
        case "value":
            return _value(here, value, common)
        case "after":
            return _after(here, value, common)
        case "update":
            return explain_update(here, value, common)
        case "state":
            return explain_state(here, state, value, common)
        case "grad_used":
            return _used(here, value, common)
        case "grad_before":
            return _before(here, value, common)
        case _:
            return _grad(here, value, common)


def _unrecorded(here: ParameterInStep, part: Part, state: str) -> dict[str, Any]:
    tensor = here.tensor(part, state)
    if tensor is None:
        sentence = f"Step {here.step} has no such number: the parameter took no part in it, or nothing updated it."
        return {"sentence": sentence}
    return unrecorded(here.scenes.recording, tensor, here.step)


def _value(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    if here.step > 0:
        before = here.at(here.step - 1)
        if before.number("after") == value:
            return single_term(
                value, before.link("after"), f"It is the value that the update of step {here.step - 1} left.", common
            )
        if before.number("after") is not None:
            return Why(
                kind="input", sentence=f"The program changed it between step {here.step - 1} and step {here.step}.", **common
            )
    line = f" on line {here.parameter.line}" if here.parameter.line is not None else ""
    return Why(kind="input", sentence=f"It is a leaf: the program made it{line}.", **common)


def _after(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    before, update = here.number("value"), here.number("update")
    if before is None or update is None:
        sentence = f"Nothing updated it in step {here.step}."
        return (
            single_term(value, here.link("value"), sentence, common)
            if before == value
            else Why(kind="unknown", sentence="Its update was not recorded.", **common)
        )
    total = SumOfTerms(value)
    total.add(WhyTerm(0.0, 0.0, 1.0, f"{shown(before)}, the value before", here.link("value")), before)
    total.add(WhyTerm(0.0, 0.0, 1.0, f"{shown(update)}, the update", here.link("update")), update)
    own = named(here.name)
    return total.answer(
        sentence=f"It is the value before step {here.step} plus the update.",
        rule=formula(rf"{own}_{{\mathrm{{after}}}} = {own} + \Delta {own}"),
        **common,
    )


def _used(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    after = here.number("grad")
    if after is None:
        return Why(kind="unknown", sentence="The `.grad` that the passes left was not recorded.", **common)
    if after == value:
        return structs.replace(explain_parameter(here, "grad"), of=common["of"])
    total = SumOfTerms(value)
    factor = value / after if after else math.nan
    if math.isnan(factor):
        return Why(
            kind="function", sentence="The program changed the gradient before the update.", reads=[here.link("grad")], **common
        )
    total.add(scaled_term(factor, after, here.link("grad")), factor * after)
    sentence = f"The gradient was scaled by {shown(factor)} before the update, by clipping or by a scaler."
    return total.answer(sentence=sentence, **common)


def _before(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    for step in here.scenes.steps_before(here.step, 1):
        earlier = here.at(step)
        for part in ("grad", "grad_used"):
            if earlier.number(part) == value:
                sentence = f"It was left by step {step}: nothing cleared it."
                return single_term(value, earlier.link(part), sentence, common)
    return Why(
        kind="input", sentence="The program set it before the step." if value else "The program cleared it to 0.", **common
    )


def _grad(here: ParameterInStep, value: float, common: dict[str, Any]) -> Why:
    """Return the answer for a `.grad`: the gradient from before the step, and the gradient that each pass added."""
    event = here.scenes.recording.log.step(here.step)
    before = here.number("grad_before")
    links: list[tuple[WhyLink, float]] = []
    node_of_pass: list[tuple[int, int]] = []
    for index in event.passes:
        log = here.scenes.recording.log.pass_(index)
        if log.graph < 0 or log.kind == "grad":
            continue
        scene = here.scenes.pass_(index)
        node = next((at for at, each in enumerate(scene.graph.nodes) if each.parameter == here.parameter.id), None)
        array = scene.numbers.array("used", node, 0) if node is not None else None
        if node is not None and array is not None:
            links.append((scene.gradient(node, 0, here.flat), float(array.reshape(-1)[here.flat])))
            node_of_pass.append((index, node))
    if len(links) == 1 and not before and links[0][1] == value:
        index, node = node_of_pass[0]
        answer = explain_gradient(here.scenes.pass_(index), node, 0, here.flat)
        return structs.replace(answer, of=common["of"], name=common["name"], pass_=index)
    total = SumOfTerms(value)
    if before:
        total.add(WhyTerm(0.0, 0.0, 1.0, f"{shown(before)}, from before the step", here.link("grad_before")), before)
    for link, added in links:
        total.add(WhyTerm(0.0, 0.0, 1.0, f"{shown(added)}, added by a pass", link), added)
    if not closes(here, total, value):
        reads = [*([here.link("grad_before")] if before else []), *(link for link, _ in links)]
        return Why(kind="function", sentence="The program or a hook changed this gradient.", reads=reads, **common)
    what = "the earlier gradient and " if before else ""
    return total.answer(sentence=f"It is the sum of {what}the gradients of {len(links)} passes.", **common)
