"""Read stretches of the long lists of a recording: its graphs, and the nodes and edges of a graph or a pass."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from msgspec import structs

from .. import model, wire
from ..errors import NotFound
from .factors import edge_factor
from .recording import Recording, omitted
from .structure import read_edges, read_formulas, read_nodes, title
from .tensors import Tensors, starts

MOST_FLOWS: Final = 1_000
"""Largest number of edges to a node, and of edges from it, that are read together with the node."""
EDGES: Final = 4
"""Largest number of edges in an answer, per node."""


def line_count(recording: Recording) -> int:
    """Return the number of lines that have a value."""
    event = recording.log.lines()
    return 0 if event is None else len(event.rows)


def graph_sizes(recording: Recording, start: int, stop: int | None = None) -> Iterator[model.GraphSize]:
    """Yield the sizes of graphs."""
    for index, (nodes, edges) in enumerate(islice(recording.log.graph_sizes(), start, stop), start):
        yield model.GraphSize(f"g{index}", nodes, edges)


def graph(recording: Recording, index: int) -> model.Graph:
    """Return the structure of a graph; of a large one, the first ``answer_nodes`` nodes and four times as many edges."""
    most = recording.limits.answer_nodes
    event = recording.log.graph(index)
    counts = {"nodes": len(event.kind), "edges": len(event.gradient), "roots": len(event.roots) // 4}
    if counts["nodes"] <= most and counts["edges"] <= EDGES * most:
        return recording.graph(index)
    return model.Graph(
        f"g{index}",
        [f"n{root}" for root in wire.int32(event.roots, "roots")[:most].tolist()],
        nodes(recording, index, 0, most),
        edges(recording, index, 0, EDGES * most),
        omitted(nodes=counts["nodes"] - most, edges=counts["edges"] - EDGES * most, roots=counts["roots"] - most),
    )


def nodes(recording: Recording, graph: int, start: int, stop: int) -> list[model.Node]:
    """Return nodes of a graph, each with the node whose backward formula created it."""
    event = recording.log.graph(graph)
    found = read_nodes(event, start, stop, recording.origin)
    formulas = read_formulas(event)[start:stop]
    if not formulas:
        return found
    return [
        node if formula[0] < 0 else structs.replace(node, backward_of=recording.formula(*formula))
        for node, formula in zip(found, formulas, strict=True)
    ]


def excerpt(recording: Recording, index: int, selected: str | None) -> model.Graph:
    """Return a node of a graph, by default the first root, with its neighbours and the edges between them.

    Raises :class:`NotFound` for a node that the graph does not have.
    """
    event = recording.log.graph(index)
    roots = wire.int32(event.roots, "roots")
    node_index = index_of_node(event, selected) if selected is not None else int(roots[0]) if len(roots) else 0
    ends = _ends(event)
    own = np.flatnonzero((ends[0] == node_index) | (ends[1] == node_index))[:MOST_FLOWS]
    shown = sorted({node_index, *ends[0][own].tolist(), *ends[1][own].tolist()})
    return model.Graph(
        f"g{index}",
        [f"n{root}" for root in roots[:1].tolist()],
        [node for each in shown for node in nodes(recording, index, each, each + 1)],
        [edge for each in own.tolist() for edge in read_edges(event, each, each + 1)],
        omitted(nodes=len(event.kind) - len(shown), edges=len(event.gradient) - len(own), roots=len(roots) - 1),
    )


def index_of_node(event: wire.GraphEvent, node: str) -> int:
    """Return the index of the node with this id. Raises :class:`NotFound` if there is none."""
    digits = node[1:]
    if node[:1] == "n" and digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits) < len(event.kind):
        return int(digits)
    raise NotFound(f"Graph g{event.index} has no node {node[:40]!r}: its nodes are n0 to n{len(event.kind) - 1}.")


def _ends(event: wire.GraphEvent) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the source and the target of each edge."""
    return wire.int32(event.source, "source"), wire.int32(event.target, "target")


def edges(recording: Recording, graph: int, start: int, stop: int) -> list[model.Edge]:
    """Return edges of a graph."""
    return read_edges(recording.log.graph(graph), start, stop)


def node_numbers(recording: Recording, index: int, start: int, stop: int) -> Iterator[tuple[str, model.NodeNumbers]]:
    """Yield the ids of nodes of a pass with their numbers."""
    event = _pass_with_graph(recording, index)
    tensors = Tensors(event.tensors)
    all_outputs = wire.int32(recording.log.graph(event.graph).outputs, "outputs")
    outputs = all_outputs[start:stop].tolist()
    output = int(all_outputs[:start].sum(dtype=np.int64))
    values = wire.int32(event.value, "value")[start:stop].tolist()
    arrived, used = (
        wire.int32(column, "row")[output : output + sum(outputs)].tolist() for column in (event.arrived, event.used)
    )
    first = 0
    for node, (value, count) in enumerate(zip(values, outputs, strict=True), start):
        gradients = zip(arrived[first : first + count], used[first : first + count], strict=True)
        grads = [model.Gradient(tensors.summary(arriving), tensors.summary(using)) for arriving, using in gradients]
        yield f"n{node}", model.NodeNumbers(tensors.summary(value), grads)
        first += count


def edge_numbers(recording: Recording, index: int, start: int, stop: int) -> Iterator[tuple[str, model.TensorSummary | None]]:
    """Yield the ids of edges of a pass with their gradients."""
    event = _pass_with_graph(recording, index)
    tensors = Tensors(event.tensors)
    for edge, row in enumerate(wire.int32(event.edge, "edge")[start:stop].tolist(), start):
        yield f"e{edge}", tensors.summary(row)


def node(recording: Recording, index: int, node: str) -> model.NodeDetail:
    """Return the details of one node in one pass, reading only the node and its neighbours.

    Raises :class:`NotFound` if the pass or the node is missing.
    """
    own = index_of_node(recording.log.graph(_pass_with_graph(recording, index).graph), node)
    return next(node_details(recording, index, own, own + 1))


def node_details(recording: Recording, index: int, start: int, stop: int) -> Iterator[model.NodeDetail]:
    """Yield the details of nodes in one pass. Data that the nodes share is read once.

    Raises :class:`NotFound` if the pass is missing or has no graph.
    """
    event = _pass_with_graph(recording, index)
    graph_event = recording.log.graph(event.graph)
    tensors = Tensors(event.tensors)
    own_nodes = nodes(recording, event.graph, start, stop)
    own_numbers = node_numbers(recording, index, start, stop)
    saved_row = int(wire.int32(graph_event.saved_count, "saved_count")[:start].sum(dtype=np.int64))
    saved_rows = wire.int32(event.saved, "saved")
    source, target = _ends(graph_event)
    gradients = wire.int32(event.edge, "edge")
    used = wire.int32(event.used, "used")
    first_output = starts(wire.int32(graph_event.outputs, "outputs"))
    order = wire.int32(event.order, "order")
    lines = model.program_lines(recording.program)
    neighbours: dict[int, model.Node] = {}

    def neighbour(other: int) -> model.Node:
        if other not in neighbours:
            (neighbours[other],) = read_nodes(graph_event, other, other + 1)
        return neighbours[other]

    def flows(shown: model.Node, own: int, mine: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> Iterator[model.Flow]:
        for each in np.flatnonzero(mine == own)[:MOST_FLOWS].tolist():
            (edge,) = read_edges(graph_event, each, each + 1)
            other = int(others[each])
            gradient = tensors.summary(int(gradients[each]))
            ends = (neighbour(other), shown) if others is source else (shown, neighbour(other))
            arrived = tensors.summary(int(used[first_output[int(source[each])]]))
            factor = edge_factor(lines, ends, gradient, arrived)
            text = factor.text if factor else None
            yield model.Flow(edge.id, f"n{other}", title(neighbour(other)), edge.slot, edge.input, gradient, text)

    for own, (shown, (_, numbers)) in enumerate(zip(own_nodes, own_numbers, strict=True), start):
        saved = saved_rows[saved_row : saved_row + len(shown.saved)].tolist()
        saved_row += len(shown.saved)
        ranks = np.flatnonzero(order == own)
        yield model.NodeDetail(
            node=shown,
            numbers=numbers,
            saved=[model.Saved(name, tensors.summary(row)) for name, row in zip(shown.saved, saved, strict=True)],
            incoming=list(flows(shown, own, target, source)),
            outgoing=list(flows(shown, own, source, target)),
            rank=int(ranks[0]) if len(ranks) else None,
            source=recording.source(shown.line),
        )


def pass_counts(recording: Recording, index: int) -> tuple[int, int]:
    """Return the number of nodes and edges of a pass's graph. Raises :class:`NotFound` if it has none."""
    return recording.log.graph_sizes()[_pass_with_graph(recording, index).graph]


def _pass_with_graph(recording: Recording, index: int) -> wire.PassEvent:
    event = recording.log.pass_(index)
    if event.graph < 0:
        raise NotFound(f"Pass {index} has no graph.")
    return event
