"""Tell a pass in labels, line by line: what the terminal prints, and what tests compare.

The account is the same text for the same recording, everywhere: ids are those of the recording, numbers have four decimals
and an ASCII minus.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..model import Graph, Node
from ..recording import PassNumbers
from . import labels, numerals


def describe(graph: Graph, numbers: PassNumbers | None, *, program: str = "") -> str:
    """A pass over a graph in labels; without ``numbers`` the structure only. Ends with a newline."""
    return "\n".join(_lines(graph, numbers, labels.ProgramText(program))) + "\n"


def _lines(graph: Graph, numbers: PassNumbers | None, source: labels.ProgramText) -> Iterator[str]:
    size = f"{numerals.count_of(len(graph.nodes), 'node')}, {numerals.count_of(len(graph.edges), 'edge')}"
    name = labels.graph_title(graph, source)
    places = {node.id: place for place, node in enumerate(graph.nodes)}
    if numbers is None:
        yield f"graph {graph.id} of {name}: {size}. No backward pass reached it: there are no gradients."
        order = list(range(len(graph.nodes)))
    else:
        event = numbers.event
        line = f" on line {event.line}" if event.line >= 0 else ""
        yield f"step {event.step}, pass {event.index}: {labels.PASS_NAMES[event.kind]}{line}, from {name}"
        for root in graph.roots:
            value = numbers.value(places[root])
            if value is not None:
                yield f"{source.title(graph.nodes[places[root]])}: {numerals.in_words(value)}"
        yield f"graph {graph.id}: {size}"
        order = np.frombuffer(event.order, "<i4").tolist()
    outgoing: dict[str, list[int]] = {}
    arriving: dict[tuple[str, int], int] = {}
    for at, edge in enumerate(graph.edges):
        outgoing.setdefault(edge.source, []).append(at)
        if edge.gradient:
            arriving[edge.target, edge.input] = arriving.get((edge.target, edge.input), 0) + 1
    told = [place for place in dict.fromkeys(order) if graph.nodes[place].kind == "op"]
    idle = [place for place, node in enumerate(graph.nodes) if node.kind == "op" and place not in set(told)]
    for place in (*told, *idle):
        node = graph.nodes[place]
        yield ""
        yield _heading(node, source) + (_idle(place, numbers) if numbers is not None and place in idle else "")
        yield from _numbers(node, place, numbers, arriving)
        for at in outgoing.get(node.id, ()):
            edge = graph.edges[at]
            target = graph.nodes[places[edge.target]]
            title = labels.clean(target.name or source.title(target), 60)
            output = f", output {edge.input}" if target.outputs > 1 else ""
            if not edge.gradient:
                yield f"  .. {edge.target} {title}: needs no gradient"
            elif numbers is None:
                yield f"  -> {edge.target} {title}{output}"
            else:
                yield f"  -> {edge.target} {title}{output}: {numerals.in_words(numbers.edge(at))}"
    for kind, heading in (("leaf", "leaves"), ("constant", "constants")):
        found = [place for place, node in enumerate(graph.nodes) if node.kind == kind]
        if found:
            yield ""
            yield heading
        for place in found:
            node = graph.nodes[place]
            yield f"  {_heading(node, source)}"
            for line in _numbers(node, place, numbers, arriving):
                yield f"  {line}"


def _idle(place: int, numbers: PassNumbers) -> str:
    return "  (raised: the pass stopped here)" if place == numbers.event.failed else "  (did not run in this pass)"


def _heading(node: Node, source: labels.ProgramText) -> str:
    title, second, where = source.title(node), labels.subtitle(node), labels.location(node)
    parts = [f"{node.id}  {title}", *([second] if node.kind == "op" and second != title else []), *([where] if where else [])]
    if node.backward_of is not None:
        parts.append(f"from {node.backward_of.node.id} in {node.backward_of.graph}")
    return "  ".join(parts)


def _numbers(node: Node, place: int, numbers: PassNumbers | None, arriving: dict[tuple[str, int], int]) -> Iterator[str]:
    if numbers is None:
        return
    value = numbers.value(place)
    if value is not None:
        yield f"  value {numerals.in_words(value)}  {numerals.shape_and_dtype(value)}"
    if node.kind == "constant":
        return
    label = labels.gradient_label(node, numbers.event.kind)
    for output in range(node.outputs):
        arrived, used = numbers.arrived(place, output), numbers.used(place, output)
        number = f" of output {output}" if node.outputs > 1 else ""
        count = arriving.get((node.id, output), 0)
        total = f"  (sum of {count})" if count > 1 else ""
        yield f"  {label}{number} {numerals.in_words(arrived)}{total}"
        if used is not None and used != arrived:
            yield f"  {label}{number} after hooks {numerals.in_words(used)}"
