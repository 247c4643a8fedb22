"""Find the modules whose derivatives a graph computes, in operations that a pass with ``create_graph=True`` made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from .. import wire
from ..recording import Log
from .columns import Ints, StructureColumns
from .order import ForwardOrder

ORDERS: Final = 4
"""Largest order of derivatives that are traced back to the module of the original operation."""

Sources = Mapping[int, wire.GraphEvent]
"""Graphs whose backward formulas made operations of another graph, by their index."""


def sources_of(log: Log, event: wire.GraphEvent) -> Sources:
    """Return the graphs whose backward formulas made operations of a graph, directly or through other graphs."""
    found: dict[int, wire.GraphEvent] = {}
    waiting = [event]
    for _ in range(ORDERS):
        named = {index for each in waiting for index in np.unique(_columns(each)[0]).tolist() if index >= 0}
        waiting = [log.graph(index) for index in sorted(named - found.keys())]
        found |= {each.index: each for each in waiting}
    return found


def derived_modules(graph: StructureColumns, order: ForwardOrder, sources: Sources) -> tuple[Ints, list[str]]:
    """Return a module for each operation of a derivative, as an index into a list of paths.

    It is the module of the operation whose derivative is computed. Its path is empty outside of all modules. The index is -1
    for an operation that is not part of a derivative.
    """
    of_graph, of_node = (column[order.nodes] for column in (graph.formula_graph, graph.formula_node))
    path: Ints = np.where(of_graph >= 0, 0, -1).astype(np.int32)
    paths = {"": 0}
    for _ in range(ORDERS):
        for index, source in sources.items():
            here = np.flatnonzero((of_graph == index) & (of_node >= 0) & (of_node < len(source.kind)))
            node = of_node[here]
            module = wire.int32(source.module, "module")[node]
            distinct, of_distinct = np.unique(module, return_inverse=True)
            names = [source.strings[each] if each >= 0 else "" for each in distinct.tolist()]
            numbers = np.array([paths.setdefault(name, len(paths)) for name in names], np.int32)
            path[here] = numbers[of_distinct.reshape(-1)]
            graphs, nodes = _columns(source)
            of_graph[here] = graphs[node] if len(graphs) else -1  # the derivative of a derivative
            of_node[here] = nodes[node] if len(nodes) else -1
    return path, list(paths)


def _columns(event: wire.GraphEvent) -> tuple[Ints, Ints]:
    return wire.int32(event.formula_graph, "formula_graph"), wire.int32(event.formula_node, "formula_node")
