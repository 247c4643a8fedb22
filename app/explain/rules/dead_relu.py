"""Tell of a relu that gives nothing but zeros any more, so that nothing below it learns."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ... import model
from ...recording import PassNumbers, Recording
from ..syntax import Syntax
from ..wording import listed

STEPS = 20
"""The last steps of a run, in all of which a relu must have been dead."""
NODES = 2_000
"""Nodes of a graph above which it is not looked through."""
_RELUS = ("Relu", "ClampMin")
_LAYERS = ("Addmm", "Mm", "Bmm", "Mv", "Convolution", "ConvolutionOverrideable", "MkldnnLinear")
"""What weighs the outputs of a relu: one that has no layer behind it is part of a loss, and may be zero."""


def dead_relu(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """All outputs of a relu are zero in each of the last steps, and so is every gradient below it."""
    count = recording.log.counts()[2]
    mains = [recording.log.step(index).main for index in range(max(0, count - STEPS), count)]
    if len(mains) < STEPS or min(mains) < 0:
        return
    graphs = {recording.log.pass_(main).graph for main in mains}
    if len(graphs) != 1 or (graph := graphs.pop()) < 0 or len(recording.graph(graph).nodes) > NODES:
        return
    nodes = recording.graph(graph).nodes
    dead = [place for place, node in enumerate(nodes) if node.kind == "op" and node.op.startswith(_RELUS)]
    ways = _Ways(recording.numbers(mains[0])) if dead else None
    below = {place: ways.leaves(place) for place in dead if ways.is_weighed(place)} if ways else {}
    for main in mains:
        if not dead:
            return
        numbers = recording.numbers(main)
        learns = any(_norm(numbers, place) for place, node in enumerate(nodes) if node.kind == "leaf")
        dead = [each for each in dead if learns and each in below and _is_dead(numbers, each, below[each])]
    for place in dead:
        node = nodes[place]
        names = [nodes[leaf].name or nodes[leaf].op for leaf in below[place]]
        yield model.Finding(
            code="dead-relu",
            severity="warning",
            file=None,
            line=node.line,
            step=count - 1,
            node=node.id,
            message=f"This relu gave nothing but zeros in each of the last {STEPS} steps: {listed(names)} "
            f"{'does' if len(names) == 1 else 'do'} not learn any more.",
            why="Where relu gives zero its slope is zero, and no gradient comes through to raise what is below. "
            "Shorter steps, other initial weights or leaky_relu keep it alive.",
            pass_=mains[-1],
        )


def _is_dead(numbers: PassNumbers, place: int, leaves: list[int]) -> bool:
    value = numbers.value(place)
    if value is None or value.zeros is None or not leaves:
        return False
    return value.zeros == prod(value.shape) > 1 and all(_norm(numbers, leaf) == 0 for leaf in leaves)


def _norm(numbers: PassNumbers, leaf: int) -> float | None:
    gradient = numbers.used(leaf)
    return gradient.norm if gradient is not None and isinstance(gradient.norm, float) else None


class _Ways:
    """The ways up and down from a node."""

    def __init__(self, numbers: PassNumbers) -> None:
        self._nodes = numbers.graph.nodes
        self._up: dict[int, list[int]] = {}
        self._down: dict[int, list[int]] = {}
        for edge in numbers.graph.edges:
            if edge.gradient:
                source, target = numbers.node_index(edge.source), numbers.node_index(edge.target)
                self._up.setdefault(target, []).append(source)
                self._down.setdefault(source, []).append(target)

    def leaves(self, place: int) -> list[int]:
        """The leaves below a node."""
        return sorted(each for each in _reached(place, self._down) if self._nodes[each].kind == "leaf")

    def is_weighed(self, place: int) -> bool:
        """Whether a layer stands between a node and the root."""
        return any(self._nodes[each].op.startswith(_LAYERS) for each in _reached(place, self._up))


def _reached(place: int, ways: dict[int, list[int]]) -> set[int]:
    seen, waiting = {place}, [place]
    while waiting:
        for each in ways.get(waiting.pop(), ()):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return seen - {place}
