"""Find the edges that lead out of a derivative. A pass with ``create_graph=True`` makes the operations of a derivative."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .columns import Ints
from .tree import GroupTree


def formula_pairs(tree: GroupTree, intervals: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the pairs of disjoint intervals with an edge from an operation of a derivative to an operation outside of it."""
    graph, order = tree.graph, tree.order
    made_by_formula = graph.formula_node >= 0
    if not made_by_formula.any():
        return set()
    box: Ints = np.full(len(order) + 1, -1, np.int32)  # the last entry is for nodes that are not operations
    for number, (start, end) in enumerate(intervals):
        box[start:end] = number
    source, target = box[order.position[graph.source]], box[order.position[graph.target]]
    out = made_by_formula[graph.source] & ~made_by_formula[graph.target]
    out &= (source >= 0) & (target >= 0) & (source != target)
    pairs = np.unique(source[out].astype(np.int64) * len(intervals) + target[out]).tolist()
    return {(pair // len(intervals), pair % len(intervals)) for pair in pairs}
