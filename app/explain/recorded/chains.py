"""Read the gradient of a leaf along a graph without branches, from the loss downwards."""

from __future__ import annotations

from math import prod, sqrt

from ... import model
from ...recording import PassNumbers


def chain_of(numbers: PassNumbers) -> list[tuple[model.Node, float]]:
    """Return each node and the root mean square of the gradient that arrived at it, the root first.

    The list is empty if the gradient branches anywhere, or is not a finite number above zero.
    """
    graph = numbers.graph
    onward = {edge.source: edge.target for edge in graph.edges if edge.gradient}
    if len(graph.roots) != 1 or len(onward) != sum(edge.gradient for edge in graph.edges):
        return []
    found: list[tuple[model.Node, float]] = []
    at: str | None = graph.roots[0]
    while at is not None and len(found) <= len(onward):
        index = numbers.node_index(at)
        arrived = numbers.arrived(index)
        if arrived is None or not isinstance(arrived.norm, float) or not 0 < arrived.norm < float("inf"):
            return []
        found.append((graph.nodes[index], arrived.norm / sqrt(prod(arrived.shape))))
        at = onward.get(at)
    return found if found[-1][0].kind == "leaf" and len(found) == len(onward) + 1 else []
