"""Cut a long row of entries into parts, where the fewest edges cross."""

from __future__ import annotations

from typing import Final

import numpy as np

from .columns import Ints, Longs, StructureColumns
from .order import ForwardOrder

MOST_CHILDREN: Final = 36
"""Largest number of children of a group that is not cut into parts."""
PARTS: Final = 18
"""Number of parts that a longer row is cut into."""


def crossing_edges(graph: StructureColumns, order: ForwardOrder) -> Longs:
    """Return for each position the number of edges between earlier operations and the operations from this position on."""
    ends = np.sort(np.stack([order.position[graph.source], order.position[graph.target]]), axis=0)
    between = ends[:, ends[0] >= 0]
    steps = np.zeros(len(order) + 2, np.int64)
    np.add.at(steps, between[0] + 1, 1)
    np.add.at(steps, between[1] + 1, -1)
    return np.cumsum(steps)[: len(order) + 1]


def cut(starts: Ints, crossing: Longs) -> list[int]:
    """Return the indices of the entries at which the parts of a row begin. ``starts`` are the first positions of the entries.

    The parts are of about equal length. Each border is moved to where the fewest edges cross, by up to a quarter of a part.
    """
    count = len(starts)
    size = count / PARTS
    slack = int(size / 4)
    borders = [0]
    for part in range(1, PARTS):
        middle = round(part * size)
        near = np.arange(max(middle - slack, borders[-1] + 1), min(middle + slack, count - 1) + 1)
        if len(near):
            costs = crossing[starts[near]]
            least = near[costs == costs.min()]
            borders.append(int(least[np.argmin(np.abs(least - middle))]))
    return borders
