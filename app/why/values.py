"""Explain the value of a node's result: the terms of a sum, or the numbers that an operation read."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final

import numpy as np

from ..formulas.latex import latex, named, number
from .address import NumberAddress
from .answer import Why, WhyLink, WhyTerm
from .gradients import of_node, sizes
from .local import rounding_bound
from .mathml import formula
from .names import number_of, shown, with_element
from .scene import PassScene, Scene
from .sums import SumOfTerms
from .unrecorded import elements_of, unrecorded

MOST_READS: Final = 24
"""Largest number of operands' elements that are listed for a function."""


def explain_value(scenes: Scene, scene: PassScene, node: int, flat: int, output: int = 0) -> Why:
    """Return why an element of a node's result is what it is."""
    there, result, place, skipped = scene.behind_value(node, flat, output)
    array = scene.numbers.array("value", node) if output == 0 else None
    form = scene.numbers.form("arrived", node, output) if array is None else None
    shape = tuple(array.shape) if array is not None else tuple(form.shape) if form is not None else ()
    address = NumberAddress("node", "value", node, output=output, step=scene.event.step, pass_=scene.index).at(flat, shape)
    common: dict[str, Any] = {
        "of": address.of, "name": with_element(scene.name(node, output), flat, shape), "step": scene.event.step,
        "pass_": scene.index, "element": list(address.element or ()),
    }  # fmt: skip
    if output and result:
        sentence = "Of this operation, the recording has the value of the first result only."
        return Why(kind="unknown", value=None, sentence=sentence, **common, **of_node(scene, node))
    if array is None and not output:
        summary = scene.numbers.value(node)
        fields = (
            {"sentence": "This value was not recorded."} if summary is None
            else unrecorded(scene.recording, summary, scene.event.step)
        )  # fmt: skip
        return Why(kind="unknown", value=None, **fields, **common, **of_node(scene, node))
    whole = scene.numbers.array("value", there)
    assert whole is not None
    value = whole.reshape(-1)[place]
    common |= {"value": number_of(float(value.real)), "path": skipped, **of_node(scene, there)}
    found = scene.graph.nodes[there]
    if found.kind != "op":
        return _made(scenes, scene, there, place, common)
    answer = _sum(scene, there, place, float(value.real), common)
    return answer if answer is not None else _function(scene, there, place, common)


def _made(scenes: Scene, scene: PassScene, node: int, flat: int, common: dict[str, Any]) -> Why:
    """Return the answer for a leaf or a constant: the program made it, or the update of the step before left it."""
    found = scene.graph.nodes[node]
    line = f" on line {found.line}" if found.line is not None else ""
    if found.kind == "leaf" and found.parameter is not None and scene.event.step > 0:
        name = found.name or found.parameter
        here = scenes.recording.step_parameters(scene.event.step - 1, 0)
        row = next((each for each in here if each.id == found.parameter), None)
        if row is not None and row.value_after is not None and row.value_after.values is not None:
            before = float(np.array(row.value_after.values, dtype=float).reshape(-1)[flat])
            if number_of(before) == common["value"]:
                address = NumberAddress("name", "after", name=found.parameter, step=scene.event.step - 1)
                address = address.at(flat, tuple(row.value_after.shape))
                label = f"{with_element(name, flat, row.value_after.shape)} after step {scene.event.step - 1}"
                link = WhyLink(address.of, label, number_of(before), address.href, address.step, address.pass_)
                total = SumOfTerms(before)
                total.add(WhyTerm(number_of(before), 1.0, 1.0, shown(before), link), before)
                return total.answer(sentence=f"It is the value that the update of step {scene.event.step - 1} left.", **common)
    made = "The program made it" if found.kind == "constant" else "It is a leaf: the program made it"
    return Why(kind="input", sentence=f"{made}{line}.", **common)


def _sum(scene: PassScene, node: int, flat: int, value: float, common: dict[str, Any]) -> Why | None:
    """Return the answer for a sum of products; ``None`` for any other operation, or if its operands were not recorded."""
    local = scene.local(node)
    rule = local.rule
    if rule is None or not rule.sums:
        return None
    total = SumOfTerms(value)
    missing = [operand for operand in rule.sums if operand not in local.edges or operand not in local.known]
    if missing and not (len(missing) == 1 and len(rule.sums) == 2):
        return None
    for operand in rule.sums:
        if operand in missing:
            continue
        entries, target, array = local.row(operand, flat), local.target(operand), local.known[operand]
        if entries is None or target is None:
            return None
        for at, factor in entries:
            product = factor * float(array.reshape(-1)[at])
            total.add(partial(_term, scene, node, operand, flat, at, factor, product), product)
    dtype = summary.dtype if (summary := scene.numbers.value(node)) is not None else "float32"
    if missing:
        rest = total.error
        total.add(WhyTerm(number_of(rest), 0.0, None, f"{shown(rest)}, a number in the program", None), rest)
    elif math.isfinite(value) and abs(total.error) > rounding_bound(dtype, local.row_length(flat), total.size):
        return None
    return total.answer(
        sentence="It is a sum of products." if len(rule.gradients) > 1 else "It is a sum.", rule=_rule(scene, node), **common
    )


def _term(scene: PassScene, node: int, operand: str, result: int, element: int, factor: float, product: float) -> WhyTerm:
    """Return a product in a sum: an element of an operand, times the derivative of the result with respect to it."""
    target = scene.local(node).target(operand)
    assert target is not None
    there, output, place, _ = scene.behind_value(target[0], element, target[1])
    link = scene.value(there, place, output)
    text = link.name if factor == 1 else f"−{link.name}" if factor == -1 else f"{shown(factor)}·{link.name}"
    return WhyTerm(number_of(product), 0.0, number_of(factor), text, link, _reads(scene, node, operand, result, element))


def _reads(scene: PassScene, node: int, operand: str, result: int, element: int) -> list[WhyLink]:
    local = scene.local(node)
    found: list[WhyLink] = []
    for name, place in local.reads(operand, result, element, "row"):
        target = local.target(name)
        if target is not None:
            there, output, at, _ = scene.behind_value(target[0], place, target[1])
            found.append(scene.value(there, at, output))
    return found


def _rule(scene: PassScene, node: int) -> Any:
    local = scene.local(node)
    if local.rule is None:
        return None
    names = {name: named(scene.name(*target)) for name in local.edges if (target := local.target(name))}
    names |= {name: number(float(value)) for name, value in (local.options or {}).items() if isinstance(value, int | float)}
    for name, array in local.known.items():
        if name not in names and np.size(array) == 1 and name != "result":
            names[name] = number(float(array.reshape(-1)[0]))
    names |= sizes(local, names)
    return formula(rf"{named(scene.name(node))} = {latex(local.rule.value, names)}")


def _function(scene: PassScene, node: int, flat: int, common: dict[str, Any]) -> Why:
    """Return the answer for an operation that is not a sum: the elements that influence the result, the strongest first."""
    local = scene.local(node)
    found: dict[str, tuple[float, WhyLink]] = {}
    for operand in local.edges:
        target, array = local.target(operand), local.known.get(operand)
        if target is None or array is None:
            continue
        entries = local.row(operand, flat)
        places = [(at, abs(factor)) for at, factor in entries] if entries else _same_place(array, scene, node, flat)
        for at, size in places:
            there, output, place, _ = scene.behind_value(target[0], at, target[1])
            link = scene.value(there, place, output)
            found[link.of] = (size, link)
    if local.rule is None or not local.edges:
        for _, edge in scene.numbers.edges_from(node):
            array = scene.numbers.array("value", int(edge.target[1:]))
            if array is not None and array.size:
                link = scene.value(int(edge.target[1:]), min(flat, array.size - 1) if array.size > 1 else 0)
                found[link.of] = (1.0, link)
    links = [link for _, link in sorted(found.values(), key=lambda each: -each[0])][:MOST_READS]
    op = scene.graph.nodes[node]
    what = f"`{op.call}`" if op.call else f"`{op.op}`"
    sentence = (
        f"{what} computed it from {len(links)} number{'s' if len(links) != 1 else ''}." if links else f"{what} computed it."
    )
    if (lacks := scene.lacks_elements(node)) and len(links) < len(scene.numbers.edges_from(node)):
        sentence += " Others were not recorded. A replay records them."
    replay = elements_of(scene.event.step) if lacks else None
    return Why(kind="function", sentence=sentence, rule=_rule(scene, node), reads=links, replay=replay, **common)


def _same_place(array: Any, scene: PassScene, node: int, flat: int) -> list[tuple[int, float]]:
    """Return the element at the same index, or else the largest one, for an operation whose derivatives are not known."""
    result = scene.numbers.array("value", node)
    if result is not None and result.shape == array.shape:
        return [(flat, 1.0)]
    return [(int(np.nanargmax(np.abs(np.nan_to_num(array.reshape(-1))))), 1.0)] if array.size else []
