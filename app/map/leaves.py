"""Choose the leaves that a view shows: those that several boxes share. A leaf that only one box uses is inside that box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .. import wire
from .columns import Ints
from .tree import GroupTree
from .view import ShownBox

SMALL: Final = 4
"""Largest number of operations of a box that counts as small for :data:`MOST_STUBS`."""
MOST_STUBS: Final = 3
"""A leaf has stubs if at most this number of boxes use it, and all of these boxes are small."""
MOST_LEAVES: Final = 40
"""Largest number of leaves that a view shows: those that the most boxes use."""


@dataclass(frozen=True, slots=True)
class ShownLeaf:
    """A leaf, by its node, and the indices of the boxes that use it, in forward order.

    The leaf is drawn at the first box. If ``stubs`` is true, a reference to it is drawn at each of the other boxes.
    """

    node: int
    boxes: list[int]
    stubs: bool


def shown_leaves(tree: GroupTree, boxes: Sequence[ShownBox]) -> list[ShownLeaf]:
    """Return the leaves that a view with some boxes shows, the first one used first. The time is linear in the graph's size."""
    graph, position = tree.graph, tree.order.position
    if not boxes:
        return []
    box: Ints = np.full(len(tree.order) + 1, -1, np.int32)  # the last entry is for nodes that are not operations
    for index, each in enumerate(boxes):
        box[each.start : each.end] = index
    edges = np.flatnonzero(graph.kind[graph.target] == wire.LEAF)
    user = box[position[graph.source[edges]]]
    edges, user = edges[user >= 0], user[user >= 0]
    pairs = np.unique(graph.target[edges].astype(np.int64) * len(boxes) + user)
    leaf, user = (pairs // len(boxes)).astype(np.int32), (pairs % len(boxes)).astype(np.int32)
    first = np.flatnonzero(np.diff(leaf, prepend=-1))
    counts = np.diff(first, append=len(leaf))
    sizes = np.array([each.end - each.start for each in boxes])
    largest = np.maximum.reduceat(sizes[user], first) if len(first) else np.zeros(0, np.int64)
    chosen = np.flatnonzero(counts > 1)
    chosen = chosen[np.argsort(-counts[chosen], kind="stable")[:MOST_LEAVES]]
    found = [
        ShownLeaf(
            int(leaf[first[each]]),
            user[first[each] : first[each] + counts[each]].tolist(),
            bool(counts[each] <= MOST_STUBS and largest[each] <= SMALL),
        )
        for each in chosen.tolist()
    ]
    return sorted(found, key=lambda each: (each.boxes[0], each.node))
