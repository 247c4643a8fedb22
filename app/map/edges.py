"""Sort the edges of a graph, so that sums over the boxes of a view take linear time."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .. import wire
from .columns import Bools, Ints, Longs, StructureColumns
from .order import ForwardOrder


class SortedEdges:
    """The edges of a graph between operations, and from operations to leaves and constants. They are sorted once for all views.

    Edges into one tensor are neighbours, those of earlier sources first. A box is an interval of the forward order, so edges
    into one tensor from one box are neighbours too.
    """

    def __init__(self, graph: StructureColumns, order: ForwardOrder) -> None:
        self._graph = graph
        self._order = order
        self.tensor: Longs = graph.output_start[graph.target] + graph.input
        """For each edge, the index of the output that its gradient is added to, among the outputs of all nodes."""
        source, target = order.position[graph.source], order.position[graph.target]
        between = np.flatnonzero((source >= 0) & (target >= 0))
        self.between: Longs = between[np.lexsort((source[between], self.tensor[between]))]
        """The edges between operations."""
        self.source: Ints = source[self.between]
        """For each edge in :attr:`between`, the position of its source in the forward order."""
        self.target: Ints = target[self.between]
        to_inputs = np.flatnonzero((source >= 0) & (graph.kind[graph.target] != wire.OP))
        self.to_inputs: Longs = to_inputs[np.lexsort((source[to_inputs], graph.target[to_inputs]))]
        """The edges from operations to leaves and constants, sorted by leaf or constant, then by source."""

    @cached_property
    def owner(self) -> Ints:
        """For each output of a node, the position of the node in the forward order, or -1."""
        owner: Ints = np.repeat(self._order.position, self._graph.outputs)
        return owner

    @cached_property
    def _by_source(self) -> Longs:
        return np.argsort(self.source, kind="stable")

    @cached_property
    def _sources(self) -> Ints:
        return self.source[self._by_source]

    def inside(self, start: int, end: int) -> Longs:
        """Return the indices in :attr:`between` of the edges within an interval, in the order of their tensors."""
        first, after = np.searchsorted(self._sources, (start, end)).tolist()
        found = np.sort(self._by_source[first:after])
        return found[(self.target[found] >= start) & (self.target[found] < end)]

    @cached_property
    def _all_by_source(self) -> tuple[Longs, Ints]:
        source = self._order.position[self._graph.source]
        edges = np.argsort(source, kind="stable")
        return edges, source[edges]

    def from_interval(self, start: int, end: int) -> Longs:
        """Return all edges whose sources are in an interval of the forward order."""
        edges, sources = self._all_by_source
        first, after = np.searchsorted(sources, (start, end)).tolist()
        return edges[first:after]

    @cached_property
    def users(self) -> tuple[Ints, Ints]:
        """For each node, the positions of the first and of the last operation that uses it; -1 for none."""
        first: Ints = np.full(self._graph.count, -1, np.int32)
        last: Ints = np.full(self._graph.count, -1, np.int32)
        edges, sources = self._all_by_source
        last[self._graph.target[edges]] = sources
        first[self._graph.target[edges[::-1]]] = sources[::-1]
        return first, last

    @cached_property
    def contributions(self) -> Longs:
        """The number of gradients summed at each output. At a root, this includes the gradient that the pass starts with."""
        graph = self._graph
        starts = graph.output_start[graph.roots]
        return np.bincount(np.append(self.tensor[graph.gradient], starts), minlength=int(graph.output_start[-1]))


def starts_of_runs(*columns: Ints | Longs | Bools) -> Longs:
    """Return the indices of the first entry and of all entries that differ from the previous entry in any column.

    >>> starts_of_runs(np.array([4, 4, 4, 7]), np.array([1, 2, 2, 2])).tolist()
    [0, 1, 3]
    """
    length = len(columns[0])
    changes: Bools = np.ones(length, bool)
    if length:
        changes[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(changes)
