"""Check that the columns of a graph fit together: they describe nodes that exist, and edges that form no cycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from ..errors import ProtocolError
from ..model import Limits
from .bounds import INT32
from .columns import check_range, int32
from .events import CONSTANT, LEAF, MODULE, OP, TURN, GraphEvent

OUTPUTS: Final = 100_000
"""Largest number of outputs, and of saved tensors, of one node."""
PER_NODE: Final = 8
"""Largest number of edges for each node that a graph may have."""
FRAMES: Final = 64
"""Largest number of frames for each node of a graph, because the tracer limits the depth of frames."""

_Column = np.ndarray[Any, np.dtype[np.int32]]


class GraphColumns(NamedTuple):
    """The number of entries that a pass over a graph has in each of its columns."""

    nodes: int
    outputs: int
    edges: int
    saved: int


def check_graph(
    graph: GraphEvent, limits: Limits, earlier: Sequence[GraphColumns], parameters: int, lines: int
) -> GraphColumns:
    """Return the size of a graph. Raises :class:`ProtocolError` if its columns do not fit together.

    ``earlier`` are the sizes of the graphs before it. ``parameters`` is the number of parameters so far, ``lines`` the number
    of lines of the program.
    """
    nodes = len(graph.kind)
    if not 0 < nodes <= limits.nodes:
        raise ProtocolError(f"a graph has {nodes:,} nodes")
    kind = np.frombuffer(graph.kind, np.uint8)
    check_range(kind, OP, CONSTANT + 1, "kind")
    outputs = int32(graph.outputs, "outputs", nodes)
    check_range(outputs, 0, OUTPUTS, "outputs")
    saved = _check_saved(graph, nodes)
    _check_texts(graph, nodes, saved)
    for name in ("line", "start_column", "end_column"):
        check_range(int32(getattr(graph, name), name, nodes), -1, lines + 1 if name == "line" else INT32, name)
    parameter = int32(graph.parameter, "parameter", nodes)
    check_range(parameter, -1, parameters, "parameter")
    if (parameter[kind != LEAF] >= 0).any():
        raise ProtocolError("a node that is not a leaf has a parameter")
    roots = int32(graph.roots, "roots")
    check_range(roots, 0, nodes, "roots")
    if len(np.unique(roots)) != len(roots):
        raise ProtocolError("a graph has a root twice")
    edges = _check_edges(graph, kind, outputs, limits)
    _check_formulas(graph, nodes, earlier)
    _check_frames(graph, nodes, lines)
    return GraphColumns(nodes, int(outputs.sum(dtype=np.int64)), edges, saved)


def _check_saved(graph: GraphEvent, nodes: int) -> int:
    counts = int32(graph.saved_count, "saved_count", nodes)
    check_range(counts, 0, OUTPUTS, "saved_count")
    saved = int(counts.sum(dtype=np.int64))
    check_range(int32(graph.saved, "saved", saved), 0, len(graph.strings), "saved")
    return saved


def _check_texts(graph: GraphEvent, nodes: int, saved: int) -> None:
    texts = len(graph.strings)
    if texts > 5 * nodes + saved + len(graph.frame_kind):
        raise ProtocolError("a graph has more texts than its nodes refer to")
    for name in ("op", "call", "name", "module"):
        check_range(int32(getattr(graph, name), name, nodes), 0 if name == "op" else -1, texts, name)
    if (int32(graph.file, "file", nodes) != -1).any():
        raise ProtocolError("a node has a file other than the program")


def _check_edges(graph: GraphEvent, kind: np.ndarray[Any, Any], outputs: _Column, limits: Limits) -> int:
    edges = len(graph.gradient)
    if edges > PER_NODE * limits.nodes:
        raise ProtocolError(f"a graph has {edges:,} edges")
    source, target = (int32(getattr(graph, name), name, edges) for name in ("source", "target"))
    check_range(source, 0, len(kind), "source")
    check_range(target, 0, len(kind), "target")
    check_range(int32(graph.slot, "slot", edges), -1, INT32, "slot")
    gradient = np.frombuffer(graph.gradient, np.uint8)
    check_range(gradient, 0, 2, "gradient")
    into = int32(graph.input, "input", edges)
    check_range(into, 0, INT32, "input")
    if (into >= np.maximum(outputs[target], 1)).any():
        raise ProtocolError("an edge leads to an output that its node does not have")
    if (kind[source] != OP).any():
        raise ProtocolError("an edge starts at a node that is not an operation")
    if not (source < target).all():
        _check_acyclic(source, target, len(kind))
    return edges


def _check_acyclic(source: _Column, target: _Column, nodes: int) -> None:
    """Raise :class:`ProtocolError` if the edges form a cycle, by removing nodes without incoming edges (Kahn, 1962)."""
    order = np.argsort(source, kind="stable")
    targets = target[order].tolist()
    starts = np.searchsorted(source[order], np.arange(nodes + 1)).tolist()
    incoming = np.bincount(target, minlength=nodes)
    ready = np.flatnonzero(incoming == 0).tolist()
    left = incoming.tolist()
    removed = 0
    while ready:
        node = ready.pop()
        removed += 1
        for following in targets[starts[node] : starts[node + 1]]:
            left[following] -= 1
            if left[following] == 0:
                ready.append(following)
    if removed < nodes:
        raise ProtocolError("the edges of a graph form a cycle")


def _check_formulas(graph: GraphEvent, nodes: int, earlier: Sequence[GraphColumns]) -> None:
    if not graph.formula_graph and not graph.formula_node:
        return
    graphs = int32(graph.formula_graph, "formula_graph", nodes)
    inside = int32(graph.formula_node, "formula_node", nodes)
    check_range(graphs, -1, len(earlier), "formula_graph")
    check_range(inside, -1, INT32, "formula_node")
    used, which = np.unique(graphs, return_inverse=True)
    sizes = np.array([earlier[index].nodes if index >= 0 else 0 for index in used.tolist()])
    if ((inside < 0) & (graphs >= 0)).any() or (inside >= sizes[which]).any():
        raise ProtocolError("a formula refers to a node that does not exist")


def _check_frames(graph: GraphEvent, nodes: int, lines: int) -> None:
    if not (graph.made or graph.frame or graph.frame_kind):
        return
    check_range(int32(graph.made, "made", nodes), -1, nodes, "made")
    count = len(graph.frame_kind)
    if count > FRAMES * nodes:
        raise ProtocolError(f"a graph has {count:,} frames")
    check_range(int32(graph.frame, "frame", nodes), -1, count, "frame")
    parent = int32(graph.frame_parent, "frame_parent", count)
    if (parent >= np.arange(count)).any() or (parent < -1).any():
        raise ProtocolError("a frame precedes the frame around it")
    check_range(np.frombuffer(graph.frame_kind, np.uint8), MODULE, TURN + 1, "frame_kind")
    check_range(int32(graph.frame_name, "frame_name", count), -1, len(graph.strings), "frame_name")
    check_range(int32(graph.frame_line, "frame_line", count), -1, lines + 1, "frame_line")
    check_range(int32(graph.frame_turn, "frame_turn", count), -1, INT32, "frame_turn")
