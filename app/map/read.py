"""Read a graph as a map: the boxes of a view with the sums of a pass."""

from __future__ import annotations

from itertools import islice
from typing import Final

import numpy as np

from .. import model, wire
from ..errors import InvalidInput
from ..recording import Recording
from ..recording.tensors import json_number
from .chosen_pass import passes_over
from .columns import Floats
from .edge_kinds import formula_pairs
from .first_view import first_view
from .inputs import BoxInputs, inputs_of
from .leaves import ShownLeaf, shown_leaves
from .numbers import BoxEdge, CarriedSeries, Norm, PassSums
from .tree import GroupTree, index_in, relative
from .trees import known_graph
from .view import ShownBox, View, read_view, reveal

LONGEST_VIEW: Final = 8_000
"""Largest number of characters of a view's address."""
MOST_CELLS: Final = 400_000
"""Largest product of the nodes of the graph and the passes in an answer. One pass is always allowed."""
LONGEST_SERIES: Final = 800
"""Largest number of entries of a series."""


def read_map(
    recording: Recording, graph: int, pass_index: int | None = None, view: str | None = None, revealed: str | None = None
) -> model.GraphMap:
    """Return the map of a graph at a view, with the gradients of a pass over the graph.

    Without ``view``, the map shows :func:`first_view`. ``revealed`` is the id of a node that the view must show. Raises
    :class:`NotFound` for a missing graph or pass, and :class:`InvalidInput` for a view that is too long, a pass over another
    graph, or a node of another graph.
    """
    _check_length(view)
    event = recording.log.graph(graph)
    passed = None if pass_index is None else recording.log.pass_(pass_index)
    if passed is not None and passed.graph != graph:
        raise InvalidInput(f"Pass {pass_index} is over graph g{passed.graph}, not g{graph}.", where="pass")
    tree = known_graph(recording.log, event).tree
    gradients = PassSums(tree, passed)
    shown = _view(tree, gradients, view, revealed)
    intervals = [(box.start, box.end) for box in shown.boxes]
    sums = gradients.over(intervals)
    inputs, formulas = inputs_of(tree, intervals), formula_pairs(tree, intervals)
    frames = {group.id: group for box in shown.boxes for group in shown.around(box)}
    ids = [box.id for box in shown.boxes]
    return model.GraphMap(
        graph=f"g{graph}",
        pass_=pass_index,
        view=shown.address,
        nodes=tree.graph.count,
        edges_in_graph=tree.graph.edges,
        boxes=[
            _box(tree, gradients, shown, box, used, *norms)
            for box, used, *norms in reversed(
                list(zip(shown.boxes, inputs, sums.arriving, sums.passed_on, sums.parameters, strict=True))
            )
        ],
        frames=[
            model.MapFrame(
                id_, group.kind, group.name, group.parent.id or None if group.parent else None, shown.address_without(group)
            )
            for id_, group in frames.items()
        ],
        edges=[_edge(ids, edge, (edge.source, edge.target) in formulas) for edge in reversed(sums.edges)],
        unknown=shown.unknown,
        closed=shown.closed,
        leaves=[_leaf(tree, gradients, ids, leaf) for leaf in reversed(shown_leaves(tree, shown.boxes))],
    )


def read_numbers(recording: Recording, graph: int, view: str, start: int = 0, count: int = 1) -> model.MapNumbers:
    """Return the numbers of a map in at most ``count`` passes over its graph, from pass ``start`` on.

    The answer has fewer passes over a large graph: see :data:`MOST_CELLS`. Raises :class:`NotFound` for an unknown graph, and
    :class:`InvalidInput` for a view that is too long.
    """
    _check_length(view)
    tree = known_graph(recording.log, recording.log.graph(graph)).tree
    shown = read_view(tree, view)
    count = min(count, max(1, MOST_CELLS // max(1, tree.graph.count)))
    over = list(islice(passes_over(recording, graph, start), count + 1))
    passes, following = over[:count], over[count:]
    sums = [PassSums(tree, event) for event in passes]
    intervals = [(box.start, box.end) for box in shown.boxes]
    # without a pass, the sums have the edges of the view
    edges = PassSums(tree, None).over(intervals).edges[::-1]
    found = [each.over(intervals) for each in sums]
    last = len(intervals) - 1
    leaves = shown_leaves(tree, shown.boxes)[::-1]
    return model.MapNumbers(
        graph=f"g{graph}",
        view=shown.address,
        boxes=[box.id for box in reversed(shown.boxes)],
        links=[(last - edge.source, last - edge.target) for edge in edges],
        leaves=[f"n{leaf.node}" for leaf in leaves],
        passes=[event.index for event in passes],
        steps=[event.step for event in passes],
        arrives=[[_number(norm) for norm in reversed(each.arriving)] for each in found],
        passed_on=[[_number(norm) for norm in reversed(each.passed_on)] for each in found],
        parameters=[[_number(norm) for norm in reversed(each.parameters)] for each in found],
        series=[[_first_series(each, box) for box in reversed(shown.boxes)] for each in sums],
        ran=[[each.ran(box.start, box.end) for box in reversed(shown.boxes)] for each in sums],
        edges=[[_number(edge.norm) for edge in reversed(each.edges)] for each in found],
        arrives_at_leaves=[[_number(each.arrived_at(leaf.node)) for leaf in leaves] for each in sums],
        next=following[0].index if following else None,
    )


def _check_length(view: str | None) -> None:
    if view is not None and len(view) > LONGEST_VIEW:
        raise InvalidInput(f"The view has {len(view):,} characters: use at most {LONGEST_VIEW:,}.", where="view")


def _view(tree: GroupTree, gradients: PassSums, address: str | None, revealed: str | None) -> View:
    view = first_view(tree, shown=gradients.first_nonfinite()) if address is None else read_view(tree, address)
    if revealed is None:
        return view
    node = index_in(revealed[1:]) if revealed[:1] == "n" else -1
    try:
        return reveal(tree, view, node)
    except KeyError:
        nodes = f"its nodes are n0 to n{tree.graph.count - 1}"
        message = f"Graph g{tree.graph.index} has no node {revealed[:40]!r} that an operation uses: {nodes}."
        raise InvalidInput(message, where="reveal") from None


def _box(
    tree: GroupTree,
    gradients: PassSums,
    view: View,
    box: ShownBox,
    used: BoxInputs,
    arriving: Norm,
    passed_on: Norm,
    parameters: Norm,
) -> model.MapBox:
    group = box.group
    around = view.around(box)
    several = box.first >= 0
    turns = len(group.turns) if group.turns is not None else None
    return model.MapBox(
        id=box.id,
        kind="turns" if several else group.kind,
        name=_turns_name(box) if several else group.name,
        line=group.line,
        nodes=box.end - box.start,
        turns=box.last - box.first + 1 if several else turns,
        node=f"n{gradients.node_at(box.start)}" if group.kind == "op" else None,
        frame=around[-1].id if around else None,
        view=view.address_with(box) if box.openable else None,
        arrives=_norm(arriving),
        passed_on=_norm(passed_on),
        parameters=_norm(parameters),
        series=[_series(each) for each in gradients.carried(group, box.first, box.last)] if turns is not None else [],
        ran=gradients.ran(box.start, box.end),
        kinds=_kinds(tree, box),
        inputs=[
            model.MapInput(f"n{use.node}", *_named(tree, use.node, group.path), use.edges, use.shared) for use in used.listed
        ],
        own_inputs=used.own,
        shared_inputs=used.shared,
        transposes=_transposes(tree, gradients.node_at(box.start)) if group.kind == "op" else [],
    )


def _transposes(tree: GroupTree, node: int) -> list[str]:
    return [f"n{each}" for each in tree.graph.transposes_of.get(node, ())]


def _edge(ids: list[str], edge: BoxEdge, from_formula: bool) -> model.MapEdge:
    kind: model.MapEdgeKind = "constant" if not edge.gradient else "formula" if from_formula else "gradient"
    return model.MapEdge(ids[edge.source], ids[edge.target], edge.count, edge.tensors, _norm(edge.norm), edge.gradient, kind)


def _leaf(tree: GroupTree, gradients: PassSums, ids: list[str], leaf: ShownLeaf) -> model.MapLeaf:
    parameter = int(tree.graph.parameter[leaf.node])
    return model.MapLeaf(
        node=f"n{leaf.node}",
        parameter=f"p{parameter}" if parameter >= 0 else None,
        name=tree.graph.text("name", leaf.node) or f"n{leaf.node}",
        arrives=_norm(gradients.arrived_at(leaf.node)),
        boxes=[ids[box] for box in reversed(leaf.boxes)],
        stubs=leaf.stubs,
    )


def _kinds(tree: GroupTree, box: ShownBox) -> int | None:
    if box.group.turns is None:
        return None
    kinds = tree.kinds(box.group)
    return len(set(kinds if box.first < 0 else kinds[box.first : box.last + 1]))


def _named(tree: GroupTree, node: int, path: str = "") -> tuple[model.NodeKind, str]:
    """Return the kind of a leaf or constant, and its name within the module with a path."""
    kind: model.NodeKind = "leaf" if tree.graph.kind[node] == wire.LEAF else "constant"
    return kind, relative(tree.graph.text("name", node) or kind, path)


def _turns_name(box: ShownBox) -> str:
    return f"turn {box.first}" if box.first == box.last else f"turns {box.first} – {box.last}"


def _number(norm: Norm) -> float | str | None:
    return None if norm.value is None else json_number(norm.value)


def _norm(norm: Norm) -> model.MapNorm:
    return model.MapNorm(_number(norm), norm.exact)


def _first_series(gradients: PassSums, box: ShownBox) -> model.MapSeries | None:
    """Return the series that a picture shows in a box."""
    return next(map(_series, gradients.carried(box.group, box.first, box.last)), None)


def _series(series: CarriedSeries) -> model.MapSeries:
    norms = series.norms
    recorded = norms[norms != -1.0]
    return model.MapSeries(
        series.name,
        [None if norm == -1.0 else json_number(norm) for norm in _thinned(norms).tolist()],
        json_number(float(recorded.min())) if len(recorded) else None,
        json_number(float(recorded.max())) if len(recorded) else None,
        per_turn(norms) if series.position >= 0 else None,
        int(zero[-1]) if len(zero := np.flatnonzero(norms == 0.0)) else None,
    )


def _thinned(norms: Floats) -> Floats:
    """Return at most :data:`LONGEST_SERIES` entries: the largest of each group of neighbours. NaN counts as the largest."""
    if len(norms) <= LONGEST_SERIES:
        return norms
    starts = np.linspace(0, len(norms), LONGEST_SERIES, endpoint=False).astype(np.int64)
    return np.maximum.reduceat(norms, starts)


def per_turn(norms: Floats) -> float | None:
    """Return the factor by which a norm grows from one turn to the turn before it.

    Backward runs in this direction, from the last turn to the first. A line is fitted by least squares to the logarithms of the
    norms that are finite and above 0. Return ``None`` if there are fewer than two.

    >>> round(per_turn(np.array([0.25, 0.5, 1.0])), 6), per_turn(np.array([1.0]))
    (0.5, None)
    """
    turns = np.flatnonzero((norms > 0) & np.isfinite(norms))
    if len(turns) < 2:
        return None
    slope = float(np.polyfit(turns, np.log(norms[turns]), 1)[0])
    return float(np.exp(-slope))
