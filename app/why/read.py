"""Answer the question why a number of a recording is what it is."""

from __future__ import annotations

import numpy as np
from msgspec import structs

from .. import model
from ..errors import InvalidInput, NotFound
from ..recording import Recording
from .absent import explain_absent, why_no_leaf
from .address import NumberAddress, parse
from .answer import Why
from .gradients import explain_gradient
from .names import with_element
from .nudge import nudge_of
from .own_gradient import none_elsewhere
from .parameter import ParameterInStep, element_of
from .scene import PassScene, Scene
from .updates import explain_parameter
from .values import explain_value
from .whole_line import whole_line


def why(recording: Recording, of: str, step: int | None = None, pass_: int | None = None) -> Why:
    """Return why a number is what it is. ``of`` is its address, see :mod:`.address`.

    Without ``step``, the last step is used; without ``pass_``, the main pass of the step. Raises :class:`InvalidInput` and
    :class:`NotFound`.
    """
    scenes = Scene(recording)
    address = parse(of, step, pass_)
    _check_whole(recording, address)
    if address.owner == "name":
        return _of_name(scenes, address)
    scene = scenes.pass_(_pass(recording, address))
    if address.owner == "edge":
        return _of_edge(scene, address)
    node = address.index
    scene.numbers.node_index(f"n{node}")
    if address.part == "value":
        summary = scene.numbers.value(node) if address.output == 0 else scene.numbers.arrived(node, address.output)
        flat = element_of(summary, address.element, address.subject)
        return explain_value(scenes, scene, node, flat, address.output)
    asked = scene.numbers.arrived(node, address.output)
    flat = element_of(asked, address.element, address.subject)
    answer = explain_gradient(scene, node, address.output, flat)
    return _with_line(scenes, scene, node, flat, answer)


def _check_whole(recording: Recording, address: NumberAddress) -> None:
    """Raise :class:`InvalidInput` if the step of an address is summarized."""
    steps = recording.log.counts()[2]
    step = steps - 1 if address.step is None else address.step
    if address.pass_ is not None:
        step = recording.log.pass_(address.pass_).step
    if 0 <= step < steps and recording.log.step(step).summary:
        raise InvalidInput(
            f"Step {step} is summarized, so the terms of its numbers were not recorded. "
            f'Record it whole first: POST {{"what": "step", "step": {step}}} to the run\'s `replays`.',
            where="query.step",
        )


def _of_edge(scene: PassScene, address: NumberAddress) -> Why:
    if address.index >= len(scene.graph.edges):
        raise NotFound(f"Graph {scene.graph.id} has no edge e{address.index}.")
    edge = scene.graph.edges[address.index]
    flat = element_of(scene.numbers.edge(address.index), address.element, address.subject)
    answer = explain_gradient(scene, int(edge.target[1:]), edge.input, flat)
    terms = [term for term in answer.terms if term.edge == edge.id]
    array = scene.numbers.array("edge", address.index)
    if array is None or len(terms) == len(answer.terms):
        return answer
    value = float(array.reshape(-1)[flat])
    rounding = value - sum(float(term.value) for term in terms if isinstance(term.value, int | float))
    return structs.replace(answer, of=address.of, value=value, terms=terms, rounding=rounding)


def _pass(recording: Recording, address: NumberAddress) -> int:
    """Return the pass that an address is about."""
    if address.pass_ is not None:
        return address.pass_
    steps = recording.log.counts()[2]
    if not steps:
        raise InvalidInput("This run has no steps, so it has no numbers to explain.", where="query.of")
    step = recording.log.step(steps - 1 if address.step is None else address.step)
    if step.main < 0:
        raise InvalidInput(f"Step {step.index} has no pass: choose another step.", where="query.step")
    return step.main


def _of_name(scenes: Scene, address: NumberAddress) -> Why:
    steps = scenes.recording.log.counts()[2]
    name, part = address.name, address.part
    if part == "value" and name.endswith(".is_leaf"):
        return why_no_leaf(scenes, name.removesuffix(".is_leaf"), address.step)
    found = scenes.parameter(name)
    if found is None and part == "value" and steps and (node := _named(scenes, address)) is not None:
        return why(scenes.recording, structs.replace(node, element=address.element).of, address.step, node.pass_)
    if found is None and name in ("loss",) and steps:
        scene = scenes.pass_(_pass(scenes.recording, address))
        root = int(scene.graph.roots[0][1:])
        if part == "value":
            return explain_value(scenes, scene, root, element_of(scene.numbers.value(root), address.element, name))
    if found is None or not steps:
        return explain_absent(scenes, name, part, address.step)
    step = steps - 1 if address.step is None else address.step
    here = ParameterInStep(scenes, found, step, 0)
    if here.tensor(part, address.state) is None:
        return explain_absent(scenes, name, part, step)
    here.flat = element_of(here.tensor(part, address.state), address.element, address.subject)
    answer = explain_parameter(here, part, address.state)
    if part in ("grad", "grad_used") and answer.pass_ is not None:
        scene = scenes.pass_(answer.pass_)
        leaf = next(at for at, each in enumerate(scene.graph.nodes) if each.parameter == found.id)
        note = none_elsewhere(scenes, name, found, step, answer.pass_)
        return structs.replace(_with_line(scenes, scene, leaf, here.flat, answer), note=note)
    return answer


def _named(scenes: Scene, address: NumberAddress) -> NumberAddress | None:
    """Return the address of the node whose result has the name in ``address``, in the pass that ``address`` is about."""
    scene = scenes.pass_(_pass(scenes.recording, address))
    for at, node in enumerate(scene.graph.nodes):
        parts = (scene.parts(at) if node.outputs > 1 else []) or ([node.name] if node.name else [])
        if address.name in parts:
            output = parts.index(address.name)
            return NumberAddress("node", "value", at, output=output, step=scene.event.step, pass_=scene.index)
    return None


def _with_line(scenes: Scene, scene: PassScene, node: int, flat: int, answer: Why) -> Why:
    """Return the answer about a leaf's gradient, with its calculation in one line and a nudge that a replay can test."""
    leaf: model.Node = scene.graph.nodes[node]
    parameter = scenes.parameters.get(leaf.parameter or "")
    if leaf.kind != "leaf" or parameter is None:
        return answer
    array = scene.numbers.array("arrived", node, 0)
    shape = () if array is None else tuple(np.shape(array))
    own = with_element(f"{leaf.name or leaf.parameter}.grad", flat, shape)
    here = ParameterInStep(scenes, parameter, scene.event.step, flat)
    single = scene.graph.roots and len(scene.graph.roots) == 1
    return structs.replace(
        answer,
        line=whole_line(scene, node, flat, own),
        nudge=nudge_of(here, answer.value, scene.index) if single else None,
    )
