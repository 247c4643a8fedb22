"""Sum the gradients of a pass over the boxes of a view, the edges between them and the turns of a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import wire
from ..recording.tensors import Tensors
from .columns import Ints, Longs, StructureColumns, op_name
from .order import ForwardOrder
from .tree import Group
from .view import View

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Norm:
    """The L2 norm of the gradients of some tensors.

    ``value`` may be NaN or infinite. It is ``None`` if no gradient was recorded. ``exact`` is false if several gradients that
    one tensor receives were added as if they were orthogonal, because their sum was not recorded.
    """

    value: float | None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class BoxEdge:
    """The edges from one box to another: how many edges, to how many tensors, and the norm of the gradients that they carry."""

    source: int
    target: int
    count: int
    tensors: int
    norm: Norm
    gradient: bool


@dataclass(frozen=True, slots=True)
class CarriedSeries:
    """The norm of a tensor that is carried from turn to turn: one entry for each turn, the first turn first.

    ``position`` is the position of its operation within the turn, from 0 on. Norms are -1 where nothing was recorded.
    """

    position: int
    name: str
    norms: Floats


class PassSums:
    """The norms of the gradients of one pass, by columns. Without a pass, all of them are unknown."""

    def __init__(self, graph: StructureColumns, order: ForwardOrder, event: wire.PassEvent | None) -> None:
        self._graph = graph
        self._order = order
        outputs = int(graph.output_start[-1])
        self._arrived: Floats = np.full(outputs, -1.0)
        self._edge: Floats = np.full(graph.edges, -1.0)
        self._rank: Ints = np.full(len(order), -1, np.int32)
        if event is not None:
            self._rank = _ranks(wire.int32(event.order, "order"), order)
            norms = Tensors(event.tensors).norms()
            self._arrived = _taken(norms, wire.int32(event.arrived, "arrived"))
            self._edge = _taken(norms, wire.int32(event.edge, "edge"))
        self._tensor: Longs = graph.output_start[graph.target] + graph.input
        """For each edge, the index of the output that its gradient is added to, among the outputs of all nodes."""
        starts = graph.output_start[graph.roots]
        self._contributions = np.bincount(np.append(self._tensor[graph.gradient], starts), minlength=outputs)
        """The number of gradients that are added up in each output: those of its edges, and the one that a pass starts with."""

    def node_at(self, position: int) -> int:
        """Return the index of the node at a position of the forward order."""
        return int(self._order.nodes[position])

    def first_nonfinite(self) -> int | None:
        """Return the node of the first operation, in the order of the backward pass, at which a gradient arrived not finite."""
        owner = np.repeat(np.arange(self._graph.count), self._graph.outputs)
        positions = self._order.position[owner[~np.isfinite(self._arrived)]]
        return int(self._order.nodes[positions.max()]) if len(positions) and positions.max() >= 0 else None

    def ran(self, start: int, end: int) -> tuple[int, int] | None:
        """Return when the engine ran the first and the last operation of an interval, as ranks among all nodes that it ran."""
        ranks = self._rank[start:end]
        ranks = ranks[ranks >= 0]
        return (int(ranks.min()), int(ranks.max())) if len(ranks) else None

    def edges(self, view: View) -> list[BoxEdge]:
        """Return the edges between the boxes of a view, from the loss downwards."""
        box = self._box_of_nodes(view)
        return self._between(box[self._graph.source], box[self._graph.target], len(view.boxes))

    def arriving(self, start: int, end: int) -> Norm:
        """Return the norm of the gradients that arrive at an interval from outside, or with which a pass starts there."""
        graph, position = self._graph, self._order.position
        inside = _within(position[graph.target], start, end) & ~_within(position[graph.source], start, end) & graph.gradient
        tensors = np.unique(self._tensor[inside])
        roots = graph.roots[_within(position[graph.roots], start, end)]
        tensors = np.union1d(tensors, graph.output_start[roots])
        return _norm(self._arrived[tensors])

    def passed_on(self, start: int, end: int) -> Norm:
        """Return the norm of the gradients that an interval passes to operations outside."""
        graph, position = self._graph, self._order.position
        outside = (position[graph.target] >= 0) & ~_within(position[graph.target], start, end)
        leaving = _within(position[graph.source], start, end) & outside & graph.gradient
        return self._sum(np.flatnonzero(leaving))[1]

    def parameters(self, start: int, end: int) -> Norm:
        """Return the norm of the gradients of the leaves that an interval uses. They include gradients from other users."""
        graph, position = self._graph, self._order.position
        used = _within(position[graph.source], start, end) & (graph.kind[graph.target] == wire.LEAF)
        leaves = np.unique(graph.target[used])
        return _norm(self._arrived[graph.output_start[leaves]])

    def carried(self, group: Group, first: int = -1, last: int = -1) -> list[CarriedSeries]:
        """Return the series of the tensors that a loop carries from turn to turn, the one that changes most first.

        ``first`` and ``last`` are the turns of interest. Default: all turns.
        """
        turns = group.turns
        if turns is None or len(turns) < 2:
            return []
        chosen = slice(first, last + 1) if first >= 0 else slice(None)
        graph, position = self._graph, self._order.position
        source, target = position[graph.source], position[graph.target]
        crossing = np.flatnonzero(_within(source, group.start, group.end) & _within(target, group.start, group.end))
        from_turn = np.searchsorted(turns, source[crossing], "right") - 1
        to_turn = np.searchsorted(turns, target[crossing], "right") - 1
        onward = (from_turn == to_turn + 1) & graph.gradient[crossing]
        carried = crossing[onward]
        turn = to_turn[onward]
        offset = target[carried] - turns[turn]
        found = []
        for each in np.unique(offset).tolist():
            at = offset == each
            norms = np.full(len(turns) - 1, -1.0)
            norms[turn[at]] = self._arrived[self._tensor[carried[at]]]
            node = int(graph.target[carried[at][0]])
            name = graph.text("name", node) or op_name(graph, node)
            found.append(CarriedSeries(int(each), name, norms[chosen]))
        return sorted(found, key=lambda series: (-_range_of(series.norms), series.position))

    def _between(self, source: Ints, target: Ints, boxes: int) -> list[BoxEdge]:
        crossing = np.flatnonzero((source >= 0) & (target >= 0) & (source != target))
        pair = source[crossing].astype(np.int64) * boxes + target[crossing]
        by_pair = np.argsort(pair, kind="stable")
        borders = np.flatnonzero(np.diff(pair[by_pair], prepend=-1))
        found = []
        for edges in np.split(crossing[by_pair], borders[1:]) if len(crossing) else ():
            tensors, norm = self._sum(edges[self._graph.gradient[edges]])
            first = int(edges[0])
            gradient = bool(self._graph.gradient[edges].any())
            found.append(BoxEdge(int(source[first]), int(target[first]), len(edges), tensors, norm, gradient))
        return found

    def _sum(self, edges: Longs) -> tuple[int, Norm]:
        """Return the number of tensors that edges go to, and the norm of the gradients that the edges carry together.

        The gradients on the edges to one tensor add up as vectors. If all edges to the tensor are given, the norm of the sum is
        known: it is the norm of the gradient that arrived. Otherwise the squares of the norms are added.
        """
        if not len(edges):
            return 0, Norm(None)
        tensors, inverse, counts = np.unique(self._tensor[edges], return_inverse=True, return_counts=True)
        whole = counts == self._contributions[tensors]
        squares = _squares(self._edge[edges])
        by_tensor = np.bincount(inverse.reshape(-1), squares, minlength=len(tensors))
        arrived = whole & (self._arrived[tensors] != -1.0)
        by_tensor = np.where(arrived, _squares(self._arrived[tensors]), by_tensor)
        recorded = bool((self._edge[edges] != -1.0).any() or arrived.any())
        total = float(np.sqrt(by_tensor.sum())) if recorded else None
        return len(tensors), Norm(total, exact=bool((whole | (counts == 1)).all()))

    def _box_of_nodes(self, view: View) -> Ints:
        """Return the index of the box that holds each node, or -1."""
        of_position = np.full(len(self._order) + 1, -1, np.int32)
        for index, box in enumerate(view.boxes):
            of_position[box.start : box.end] = index
        return of_position[self._order.position]


def _ranks(ran: Ints, order: ForwardOrder) -> Ints:
    """Return for each position of the forward order the rank of its operation among the nodes that ran, or -1."""
    ranks = np.full(len(order.position), -1, np.int32)
    ranks[ran] = np.arange(len(ran), dtype=np.int32)
    return ranks[order.nodes]


def _taken(norms: Floats, rows: Ints) -> Floats:
    """Return the norm in each row, or -1 where there is none."""
    return np.append(norms, -1.0)[rows]


def _squares(norms: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.where(norms == -1.0, 0.0, norms * norms)


def _norm(norms: Floats) -> Norm:
    known = norms[norms != -1.0]
    if not len(known):
        return Norm(None)
    with np.errstate(over="ignore"):
        return Norm(float(np.sqrt((known * known).sum())))


def _within(positions: Ints, start: int, end: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return (positions >= start) & (positions < end)


def _range_of(norms: Floats) -> float:
    """Return how many powers of ten a series spans; infinite if it reaches 0 or is not finite."""
    known = norms[norms != -1.0]
    if not len(known):
        return -1.0
    if not np.isfinite(known).all():
        return float("inf")
    low, high = float(known.min()), float(known.max())
    if low == high:
        return 0.0
    return float(np.log10(high) - np.log10(low)) if low > 0 else float("inf")
