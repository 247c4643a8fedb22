"""Sum the gradients of a pass over the boxes of a view, the edges between them and the turns of a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .. import wire
from ..recording.tensors import Tensors
from .columns import Bools, Floats, Ints, Longs, op_name
from .edges import starts_of_runs
from .order import ForwardOrder
from .tree import Group, GroupTree

MOST_SERIES: Final = 8
"""Largest number of series of a loop."""
MOST_RANKED: Final = 200
"""Largest number of tensors that are considered for the series of a loop: those that are carried in the most turns."""


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

    ``position`` is the position of its operation within the turn, from 0 on. It is -1 if nothing is carried: the norms are then
    those of the gradients that arrive at the turns. Norms are -1 where nothing was recorded.
    """

    position: int
    name: str
    norms: Floats


@dataclass(frozen=True, slots=True)
class BoxSums:
    """The sums over disjoint intervals of the forward order, one entry for each interval, and over the edges between them.

    ``arriving`` is the norm of the gradients that arrive from outside, or that a pass starts with. ``passed_on`` is the
    norm of the gradients that go to operations outside, and ``parameters`` the norm of the gradients of the leaves that the
    interval uses. The gradient of a leaf is the whole one, to which other users of the leaf contribute too.
    """

    arriving: list[Norm]
    passed_on: list[Norm]
    parameters: list[Norm]
    edges: list[BoxEdge]


class PassSums:
    """The norms of the gradients of one pass, by columns. Without a pass, all of them are unknown."""

    def __init__(self, tree: GroupTree, event: wire.PassEvent | None) -> None:
        self._graph = graph = tree.graph
        self._order = order = tree.order
        self._edges = tree.edges
        outputs = int(graph.output_start[-1])
        self._arrived: Floats = np.full(outputs, -1.0)
        self._edge: Floats = np.full(graph.edges, -1.0)
        self._rank: Ints = np.full(len(order), -1, np.int32)
        self._series: dict[Group, list[CarriedSeries]] = {}
        if event is not None:
            self._rank = _ranks(wire.int32(event.order, "order"), order)
            norms = np.append(Tensors(event.tensors).norms(), -1.0)  # row -1 has no tensor
            self._arrived = norms[wire.int32(event.arrived, "arrived")]
            self._edge = norms[wire.int32(event.edge, "edge")]

    def node_at(self, position: int) -> int:
        """Return the index of the node at a position of the forward order."""
        return int(self._order.nodes[position])

    def arrived_at(self, leaf: int) -> Norm:
        """Return the norm of the gradient that arrived at a leaf."""
        norm = float(self._arrived[self._graph.output_start[leaf]])
        return Norm(None if norm == -1.0 else norm)

    def first_nonfinite(self) -> int | None:
        """Return the node of the first operation, in backward order, at which a gradient arrived that is not finite."""
        positions = self._edges.owner[~np.isfinite(self._arrived)]
        return int(self._order.nodes[positions.max()]) if len(positions) and positions.max() >= 0 else None

    def ran(self, start: int, end: int) -> tuple[int, int] | None:
        """Return when the engine ran the first and the last operation of an interval, as ranks among all nodes that it ran."""
        ranks = self._rank[start:end]
        ranks = ranks[ranks >= 0]
        return (int(ranks.min()), int(ranks.max())) if len(ranks) else None

    def over(self, intervals: Sequence[tuple[int, int]]) -> BoxSums:
        """Return the sums over disjoint intervals, in time linear in the size of the graph."""
        box: Ints = np.zeros(len(self._order), np.int32)  # 0 for operations outside of all intervals
        for number, (start, end) in enumerate(intervals, 1):
            box[start:end] = number
        boxes = len(intervals) + 1
        sorted_ = self._edges
        from_box, to_box = box[sorted_.source], box[sorted_.target]
        crossing = np.flatnonzero(from_box != to_box)
        carries = self._graph.gradient[sorted_.between[crossing]]
        carrying, others = crossing[carries], crossing[~carries]
        flows = self._flows(sorted_.between[carrying], from_box[carrying], to_box[carrying])
        return BoxSums(
            self._arriving(box, sorted_.tensor[sorted_.between[carrying]], boxes),
            flows.norms(flows.source, boxes),
            self._parameters(box, boxes),
            _edges(flows, from_box[others], to_box[others], boxes),
        )

    def _arriving(self, box: Ints, entered: Longs, boxes: int) -> list[Norm]:
        """Return the norms of the gradients at the outputs that edges enter from another box, and at the roots."""
        marked: Bools = np.zeros(len(self._arrived), bool)
        marked[entered] = True
        marked[self._graph.output_start[self._graph.roots]] = True
        outputs = np.flatnonzero(marked & (self._edges.owner >= 0))
        return _norms(box[self._edges.owner[outputs]], self._arrived[outputs], boxes)

    def _parameters(self, box: Ints, boxes: int) -> list[Norm]:
        edges = self._edges.to_inputs
        edges = edges[self._graph.kind[self._graph.target[edges]] == wire.LEAF]
        leaf, user = self._graph.target[edges], box[self._order.position[self._graph.source[edges]]]
        first = starts_of_runs(leaf, user)
        return _norms(user[first], self._arrived[self._graph.output_start[leaf[first]]], boxes)

    def _flows(self, edges: Longs, source: Ints, target: Ints) -> _Flows:
        """Return the gradients that boxes give to tensors. The edges are in the order of :class:`SortedEdges`.

        The gradients on the edges to one tensor add up as vectors. If all edges to the tensor come from one box, the norm of
        their sum is known: it is the norm of the gradient that arrived. Otherwise the squares of the norms are added.
        """
        tensor = self._edges.tensor[edges]
        first = starts_of_runs(tensor, source)
        counts = np.diff(first, append=len(edges))
        tensor = tensor[first]
        whole = counts == self._edges.contributions[tensor]
        arrived = whole & (self._arrived[tensor] != -1.0)
        recorded = _sums_of_runs((self._edge[edges] != -1.0).astype(np.float64), first) > 0
        squares = np.where(arrived, _squares(self._arrived[tensor]), _sums_of_runs(_squares(self._edge[edges]), first))
        return _Flows(source[first], target[first], counts, squares, recorded | arrived, whole | (counts == 1))

    def carried(self, group: Group, first: int = -1, last: int = -1) -> list[CarriedSeries]:
        """Return the series of the tensors that a loop carries from turn to turn, sorted by how much they change, the largest
        change first.

        ``first`` and ``last`` are the turns of interest. Default: all turns. At most :data:`MOST_SERIES` are returned.
        """
        found = self._series.get(group)
        if found is None:
            found = self._series[group] = self._carried(group)
        if first < 0:
            return found
        return [CarriedSeries(each.position, each.name, each.norms[first : last + 1]) for each in found]

    def _carried(self, group: Group) -> list[CarriedSeries]:
        turns = group.turns
        if turns is None or len(turns) < 2:
            return []
        inside = self._edges.inside(group.start, group.end)
        source, target = self._edges.source[inside], self._edges.target[inside]
        from_turn = np.searchsorted(turns, source, "right") - 1
        turn = np.searchsorted(turns, target, "right") - 1
        onward = (from_turn == turn + 1) & self._graph.gradient[self._edges.between[inside]]
        edges, turn = self._edges.between[inside[onward]], turn[onward]
        offset = target[onward] - turns[turn]
        by_offset = np.argsort(offset, kind="stable")
        borders = starts_of_runs(offset[by_offset])
        often = np.argsort(-np.diff(borders, append=len(edges)), kind="stable")[:MOST_RANKED]
        ends = np.append(borders[1:], len(edges))
        found = []
        for begin, end in zip(borders[often].tolist(), ends[often].tolist(), strict=True) if len(edges) else ():
            at = by_offset[begin:end]
            norms = np.full(len(turns) - 1, -1.0)
            norms[turn[at]] = self._arrived[self._edges.tensor[edges[at]]]
            node = int(self._graph.target[edges[at[0]]])
            found.append((-_range_of(norms), int(offset[at[0]]), node, norms))
        if not found:
            return [CarriedSeries(-1, "gradient", self._arriving_at_turns(turns, group.end))]
        found.sort(key=lambda each: each[:2])
        return [
            CarriedSeries(position, self._graph.text("name", node) or op_name(self._graph, node), norms)
            for _, position, node, norms in found[:MOST_SERIES]
        ]

    def _arriving_at_turns(self, turns: Ints, end: int) -> Floats:
        """Return for each turn the norm of the gradients that arrive from outside of it, or with which a pass starts there."""
        start = int(turns[0])
        sorted_ = self._edges
        inside = np.flatnonzero((sorted_.target >= start) & (sorted_.target < end))
        turn = np.searchsorted(turns, sorted_.target[inside], "right") - 1
        enters = np.searchsorted(np.append(turns, end), sorted_.source[inside], "right") - 1 != turn
        marked: Bools = np.zeros(len(self._arrived), bool)
        marked[sorted_.tensor[sorted_.between[inside[enters & self._graph.gradient[sorted_.between[inside]]]]]] = True
        marked[self._graph.output_start[self._graph.roots]] = True
        outputs = np.flatnonzero(marked & (sorted_.owner >= start) & (sorted_.owner < end) & (self._arrived != -1.0))
        of_output = np.searchsorted(turns, sorted_.owner[outputs], "right") - 1
        totals = np.sqrt(np.bincount(of_output, _squares(self._arrived[outputs]), minlength=len(turns)))
        return np.where(np.bincount(of_output, minlength=len(turns)) > 0, totals, -1.0)


@dataclass(frozen=True, slots=True)
class _Flows:
    """The gradients that boxes give to tensors in other boxes: one entry for each box and each tensor that its edges go to.

    ``source`` and ``target`` are the boxes, ``counts`` the numbers of edges, and ``squares`` the squares of the norms.
    """

    source: Ints
    target: Ints
    counts: Longs
    squares: Floats
    recorded: Bools
    exact: Bools

    def norms(self, index: Ints | Longs, size: int) -> list[Norm]:
        """Return the norms of the flows, summed by index: one norm for each index from 1 to ``size`` - 1."""
        totals = np.sqrt(np.bincount(index, self.squares, minlength=size)).tolist()
        known = np.bincount(index[self.recorded], minlength=size).tolist()
        vague = np.bincount(index[~self.exact], minlength=size).tolist()
        return [
            Norm(total if any_ else None, not several)
            for total, any_, several in zip(totals[1:], known[1:], vague[1:], strict=True)
        ]


def _edges(flows: _Flows, source: Ints, target: Ints, boxes: int) -> list[BoxEdge]:
    """Return the edges between boxes: the flows, and edges without a gradient from ``source`` to ``target``."""
    pairs = np.concatenate((flows.source, source)).astype(np.int64) * boxes + np.concatenate((flows.target, target))
    distinct, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(-1) + 1
    size = len(distinct) + 1
    of_flow = index[: len(flows.source)]
    counts = np.bincount(index, np.concatenate((flows.counts, np.ones(len(source)))), minlength=size)[1:].astype(int).tolist()
    tensors = np.bincount(of_flow, minlength=size)[1:].tolist()
    norms = flows.norms(of_flow, size)
    return [
        BoxEdge(pair // boxes - 1, pair % boxes - 1, count, distinct_tensors, norm, distinct_tensors > 0)
        for pair, count, distinct_tensors, norm in zip(distinct.tolist(), counts, tensors, norms, strict=True)
        if pair >= boxes and pair % boxes
    ]


def _ranks(ran: Ints, order: ForwardOrder) -> Ints:
    """Return for each position of the forward order the rank of its operation among the nodes that ran, or -1."""
    ranks = np.full(len(order.position), -1, np.int32)
    ranks[ran] = np.arange(len(ran), dtype=np.int32)
    return ranks[order.nodes]


def _squares(norms: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.where(norms == -1.0, 0.0, norms * norms)


def _norms(index: Ints, norms: Floats, size: int) -> list[Norm]:
    """Return the norms of tensors, summed by index: one norm for each index from 1 on. Unknown norms are left out."""
    known = norms != -1.0
    totals = np.sqrt(np.bincount(index[known], _squares(norms[known]), minlength=size)).tolist()
    counts = np.bincount(index[known], minlength=size).tolist()
    return [Norm(total if count else None) for total, count in zip(totals[1:], counts[1:], strict=True)]


def _sums_of_runs(values: Floats, first: Longs) -> Floats:
    """Return the sum of each run of values, given the index at which each begins."""
    sums: Floats = np.add.reduceat(values, first) if len(first) else np.zeros(0)
    return sums


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
