"""Check that the columns of a graph fit together: they describe nodes that exist, and edges that form no cycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from ..errors import ProtocolError
from ..model import Limits
from .bounds import INT32
from .columns import Int32, check_columns, check_range, int32
from .events import CONSTANT, LEAF, MODULE, OP, TURN, GraphEvent

OUTPUTS: Final = 100_000
"""Largest number of outputs, and of saved tensors, of one node."""
PER_NODE: Final = 8
"""Largest number of edges for each node that a graph may have."""
FRAMES: Final = 64
"""Largest number of frames for each node of a graph, because the tracer limits the depth of frames."""


_NONE: Final = b"\xff\xff\xff\xff"
"""The entry -1 of a packed column."""


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
    columns = check_columns(graph, nodes, _bounds(graph, parameters, lines))
    saved = int(columns["saved_count"].sum(dtype=np.int64))
    check_range(int32(graph.saved, "saved", saved), 0, len(graph.strings), "saved")
    if len(graph.strings) > 5 * nodes + saved + len(graph.frame_kind):
        raise ProtocolError("a graph has more texts than its nodes refer to")
    if (columns["parameter"][kind != LEAF] >= 0).any():
        raise ProtocolError("a node that is not a leaf has a parameter")
    roots = int32(graph.roots, "roots")
    check_range(roots, 0, nodes, "roots")
    if len(set(roots.tolist())) != len(roots):
        raise ProtocolError("a graph has a root twice")
    edges = _check_edges(graph, kind, columns["outputs"], limits)
    _check_formulas(graph, nodes, earlier)
    _check_frames(graph, nodes, lines)
    return GraphColumns(nodes, int(columns["outputs"].sum(dtype=np.int64)), edges, saved)


def _bounds(graph: GraphEvent, parameters: int, lines: int) -> dict[str, tuple[int, int]]:
    """Return the bounds of the columns with one entry for each node."""
    text, position = (-1, len(graph.strings)), (-1, INT32)
    return {
        "outputs": (0, OUTPUTS), "saved_count": (0, OUTPUTS), "op": (0, len(graph.strings)), "call": text, "name": text,
        "module": text, "file": (-1, 0), "line": (-1, lines + 1), "start_column": position, "end_column": position,
        "parameter": (-1, parameters),
    }  # fmt: skip


def _check_edges(graph: GraphEvent, kind: np.ndarray[Any, Any], outputs: Int32, limits: Limits) -> int:
    edges = len(graph.gradient)
    if edges > PER_NODE * limits.nodes:
        raise ProtocolError(f"a graph has {edges:,} edges")
    check_range(np.frombuffer(graph.gradient, np.uint8), 0, 2, "gradient")
    node = (0, len(kind))
    columns = check_columns(graph, edges, {"source": node, "target": node, "slot": (-1, INT32), "input": (0, INT32)})
    source, target = columns["source"], columns["target"]
    if (columns["input"] >= np.maximum(outputs[target], 1)).any():
        raise ProtocolError("an edge leads to an output that its node does not have")
    if (kind[source] != OP).any():
        raise ProtocolError("an edge starts at a node that is not an operation")
    if not (source < target).all():
        _check_acyclic(source, target, len(kind))
    return edges


def _check_acyclic(source: Int32, target: Int32, nodes: int) -> None:
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
    if graph.formula_graph == graph.formula_node in (b"", _NONE * nodes):
        return
    columns = check_columns(graph, nodes, {"formula_graph": (-1, len(earlier)), "formula_node": (-1, INT32)})
    graphs, inside = columns["formula_graph"], columns["formula_node"]
    used, which = np.unique(graphs, return_inverse=True)
    sizes = np.array([earlier[index].nodes if index >= 0 else 0 for index in used.tolist()])
    if ((inside < 0) & (graphs >= 0)).any() or (inside >= sizes[which]).any():
        raise ProtocolError("a formula refers to a node that does not exist")


def _check_frames(graph: GraphEvent, nodes: int, lines: int) -> None:
    if not (graph.made or graph.frame or graph.frame_kind):
        return
    count = len(graph.frame_kind)
    if count > FRAMES * nodes:
        raise ProtocolError(f"a graph has {count:,} frames")
    check_columns(graph, nodes, {"made": (-1, nodes), "frame": (-1, count)})
    check_range(np.frombuffer(graph.frame_kind, np.uint8), MODULE, TURN + 1, "frame_kind")
    names, turns = (-1, len(graph.strings)), (-1, INT32)
    bounds = {"frame_parent": (-1, count), "frame_name": names, "frame_line": (-1, lines + 1), "frame_turn": turns}
    columns = check_columns(graph, count, bounds)
    if (columns["frame_parent"] >= np.arange(count)).any():
        raise ProtocolError("a frame precedes the frame around it")
