"""Read stretches of the long lists of a recording: its graphs, and the nodes and edges of a graph or a pass."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np
from msgspec import structs

from .. import model, wire
from ..errors import NotFound
from .recording import Recording, omitted
from .structure import read_edges, read_formulas, read_nodes
from .tensors import Tensors

EDGES: Final = 4
"""Largest number of edges for each node that an answer may have."""


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


def pass_counts(recording: Recording, index: int) -> tuple[int, int]:
    """Return the number of nodes and edges of a pass's graph. Raise :class:`NotFound` if it has none."""
    return recording.log.graph_sizes()[_pass_with_graph(recording, index).graph]


def _pass_with_graph(recording: Recording, index: int) -> wire.PassEvent:
    event = recording.log.pass_(index)
    if event.graph < 0:
        raise NotFound(f"Pass {index} has no graph.")
    return event
