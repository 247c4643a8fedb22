"""Put the operations of a graph into the order of the forward computation."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np

from .. import wire
from .columns import Ints, Longs, StructureColumns


class ForwardOrder:
    """The operations of a graph in forward order. An operation comes after the operations that it passes gradients to.

    ``nodes`` has the index of the node at each position. ``position`` has the position of each node, -1 if the node is not an
    operation.
    """

    def __init__(self, nodes: Ints, count: int) -> None:
        self.nodes = nodes
        self.position: Ints = np.full(count, -1, np.int32)
        self.position[nodes] = np.arange(len(nodes), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.nodes)


def forward_order(graph: StructureColumns) -> ForwardOrder:
    """Return the forward order of a graph's operations, without those that only transpose a parameter.

    The order in which nodes were made is usually a topological one. It is not if PyTorch made a new node for a view that was
    written to, or if several threads made nodes. Graphs with such nodes are sorted: of all operations that may come next, the
    oldest comes next. In recordings without ``made``, a node with a larger index counts as made earlier.
    """
    operations = np.flatnonzero((graph.kind == wire.OP) & ~graph.transposes).astype(np.int32)
    made: Longs = graph.made.astype(np.int64)
    if bool((made[operations] < 0).any()):
        made = -np.arange(graph.count, dtype=np.int64)
    order = ForwardOrder(operations[np.argsort(made[operations], kind="stable")], graph.count)
    source, target = order.position[graph.source], order.position[graph.target]
    between = (source >= 0) & (target >= 0)
    if bool((source[between] > target[between]).all()):
        return order
    return ForwardOrder(order.nodes[_sorted(source[between], target[between], len(order))], graph.count)


def _sorted(source: Ints, target: Ints, count: int) -> Longs:
    """Return the numbers from 0 to ``count`` (exclusive) in topological order: each target before its sources.

    Of the numbers that may come next, the smallest is taken. Numbers in a cycle come last; a real graph has none.
    """
    by_target = np.argsort(target, kind="stable")
    starts = np.searchsorted(target[by_target], np.arange(count + 1))
    users = source[by_target]
    waiting = np.bincount(source, minlength=count)
    ready = np.flatnonzero(waiting == 0).tolist()
    heapify(ready)
    placed: list[int] = []
    missing: list[int] = waiting.tolist()
    while ready:
        number = heappop(ready)
        placed.append(number)
        for user in users[starts[number] : starts[number + 1]].tolist():
            missing[user] -= 1
            if missing[user] == 0:
                heappush(ready, user)
    if len(placed) < count:
        placed += np.setdiff1d(np.arange(count), placed).tolist()
    return np.array(placed, np.int64)
