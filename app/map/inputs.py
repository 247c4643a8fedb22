"""Count the leaves and constants that the boxes of a view use, and list those of small boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .columns import Ints
from .edges import starts_of_runs
from .tree import GroupTree

SMALL_BOX: Final = 4
"""Largest number of nodes of a box whose leaves and constants are listed."""
MOST_LISTED: Final = 3
"""Largest number of leaves and constants that are listed for a box."""


@dataclass(frozen=True, slots=True)
class Use:
    """A leaf or constant that a box uses: its node, the number of edges from the box to it, and whether other boxes use it."""

    node: int
    edges: int
    shared: bool


@dataclass(frozen=True, slots=True)
class BoxInputs:
    """How many leaves and constants only this box uses, and how many it shares. ``listed`` has the first few of a small box."""

    own: int
    shared: int
    listed: list[Use]


def inputs_of(tree: GroupTree, intervals: Sequence[tuple[int, int]]) -> list[BoxInputs]:
    """Return the inputs of each box, given the boxes as disjoint intervals of the forward order, in linear time."""
    graph, order, edges = tree.graph, tree.order, tree.edges.to_inputs
    box: Ints = np.full(len(order), -1, np.int32)
    for number, (start, end) in enumerate(intervals):
        box[start:end] = number
    node, user = graph.target[edges], box[order.position[graph.source[edges]]]
    first = starts_of_runs(node, user)
    counts = np.diff(first, append=len(edges))
    node, user = node[first], user[first]
    boxes_of_node = np.bincount(node, minlength=graph.count)
    shared = boxes_of_node[node] > 1
    own_count = np.bincount(user[~shared & (user >= 0)], minlength=len(intervals)).tolist()
    shared_count = np.bincount(user[shared & (user >= 0)], minlength=len(intervals)).tolist()
    small = np.array([end - start <= SMALL_BOX for start, end in intervals], bool)
    listed: list[list[Use]] = [[] for _ in intervals]
    for index in np.flatnonzero((user >= 0) & small[user]).tolist() if len(intervals) else ():
        if len(listed[user[index]]) < MOST_LISTED:
            listed[user[index]].append(Use(int(node[index]), int(counts[index]), bool(shared[index])))
    return [BoxInputs(*each) for each in zip(own_count, shared_count, listed, strict=True)]
