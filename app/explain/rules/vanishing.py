"""Tell of gradients that vanish on their way through the layers of a network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import log10, prod, sqrt

from ... import model
from ...recording import PassNumbers, Recording
from ..syntax import Syntax
from ..wording import short

STEPS = 5
"""The first steps, in all of which they must vanish; as many later ones, in which they must not have come back."""
LAYERS = 5
"""Layers that a network must have for its gradients to have a way."""
ORDERS = 5
"""Orders of magnitude between the gradients at its two ends, in the first step."""
STEADY = 0.75
"""Share of the layers in which they must have become smaller."""
NODES = 5_000
"""Nodes of a graph above which it is not looked through."""


def vanishing(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """The gradients of weights fall from layer to layer by many orders of magnitude, and the first layers never get more."""
    count = recording.log.counts()[2]
    if count < STEPS:
        return
    later = [STEPS - 1 + round(at * (count - STEPS) / STEPS) for at in range(1, STEPS + 1)]
    mains = [recording.log.step(index).main for index in (*range(STEPS), *later)]
    graphs = {recording.log.pass_(main).graph for main in mains if main >= 0}
    if min(mains) < 0 or len(graphs) != 1 or (graph := graphs.pop()) < 0 or len(recording.graph(graph).nodes) > NODES:
        return
    depths = _depths(recording.numbers(mains[0]))
    layers = [_layers(recording.numbers(main), depths) for main in mains]
    if not _falls(layers[0], ORDERS) or not all(_falls(each, ORDERS / 2) for each in layers[1:STEPS]):
        return
    (last, large), (first, small) = layers[0][0], layers[0][-1]
    if any(not each or each[-1][1] > large / 10 ** (ORDERS - 1) for each in layers):
        return
    nodes = recording.graph(graph).nodes
    low, high = nodes[first].name or "the first weights", nodes[last].name or "the last ones"
    yield model.Finding(
        code="vanishing",
        severity="warning",
        file=None,
        line=_line(recording.numbers(mains[0]), first),
        step=0,
        node=nodes[first].id,
        message="The gradient vanishes on its way to the first layers: "
        f"{short(large)} an element in {high}, {short(small)} in {low}.",
        why="Each layer multiplies it by its own slopes and weights, and the product is so small that the first layers do not "
        "learn. Relu in the place of a sigmoid, other initial weights, normalisation or a residual connection keep it up.",
        pass_=mains[0],
    )


_Layer = tuple[int, float]


def _layers(numbers: PassNumbers, depths: list[int]) -> list[_Layer]:
    """The weights of a network, the last layer first, and the size of an element of their gradients."""
    found: dict[int, _Layer] = {}
    for place, node in enumerate(numbers.graph.nodes):
        gradient = numbers.used(place) if node.kind == "leaf" else None
        if gradient is None or len(gradient.shape) < 2 or not isinstance(gradient.norm, float) or gradient.nan or gradient.inf:
            continue
        found.setdefault(depths[place], (place, gradient.norm / sqrt(prod(gradient.shape))))
    return [found[each] for each in sorted(found)]


def _falls(layers: list[_Layer], orders: float) -> bool:
    """Whether gradients become smaller by so many orders of magnitude to the first layer, without being zero."""
    if len(layers) < LAYERS or min(size for _, size in layers) <= 0:
        return False
    falling = sum(after[1] < before[1] for before, after in pairwise(layers))
    return log10(layers[0][1]) - log10(layers[-1][1]) >= orders and falling >= STEADY * (len(layers) - 1)


def _depths(numbers: PassNumbers) -> list[int]:
    """How many nodes lie between the root and each node, by the longest way."""
    down: dict[int, list[int]] = {}
    waits = [0] * len(numbers.graph.nodes)
    for edge in numbers.graph.edges:
        source, target = numbers.node_index(edge.source), numbers.node_index(edge.target)
        down.setdefault(source, []).append(target)
        waits[target] += 1
    depth = [0] * len(waits)
    ready = [place for place, count in enumerate(waits) if not count]
    while ready:
        at = ready.pop()
        for each in down.get(at, ()):
            depth[each] = max(depth[each], depth[at] + 1)
            waits[each] -= 1
            if not waits[each]:
                ready.append(each)
    return depth


def _line(numbers: PassNumbers, leaf: int) -> int | None:
    """The line that uses a leaf."""
    nodes, waiting = numbers.graph.nodes, [leaf]
    for _ in range(4):
        above = [numbers.node_index(edge.source) for edge in numbers.graph.edges if numbers.node_index(edge.target) in waiting]
        for each in above:
            if nodes[each].line is not None:
                return nodes[each].line
        waiting = above
    return None
