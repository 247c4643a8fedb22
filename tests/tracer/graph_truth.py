"""Judge a recording by a graph of torch's own: is it that graph, do its gradients add up, has every node its line?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from tapedeck import model, wire
from tapedeck.recording import PassNumbers, Tensors

from .independent_observer import Bits, name


def failures(events: Iterable[wire.AnyEvent]) -> list[str]:
    """What the recorder said of itself that it could not do."""
    return [event.message for event in events if isinstance(event, wire.RecorderFailed)]


def paired(graph: model.Graph, roots: Iterable[Any]) -> dict[Any, int]:
    """Lay a recorded graph over the true one, slot by slot from the roots; returns the place of each true node.

    Raises :class:`AssertionError` unless both have the same nodes, and the same edges with slot and input.
    """
    recorded = {(edge.source, edge.slot): (edge.target, edge.input) for edge in graph.edges if edge.gradient}
    assert len(recorded) == sum(edge.gradient for edge in graph.edges), "two edges leave one slot"
    true_roots = list(dict.fromkeys(roots))
    assert len(true_roots) == len(graph.roots), (true_roots, graph.roots)
    places: dict[Any, int] = {}
    taken: dict[int, Any] = {}
    waiting = [(root, int(place[1:])) for root, place in zip(true_roots, graph.roots, strict=True)]
    followed = 0
    while waiting:
        node, place = waiting.pop()
        if node in places or place in taken:
            assert places.get(node) == place, (node, place)
            continue
        places[node], taken[place] = place, node
        assert graph.nodes[place].op == name(node), (graph.nodes[place], node)
        for slot, (target, output) in enumerate(node.next_functions):
            known = recorded.get((f"n{place}", slot))
            if target is None:
                assert known is None, (node, slot, known)
                continue
            assert known is not None, f"no edge at slot {slot} of {node}"
            assert known[1] == output, (node, slot, known)
            followed += 1
            waiting.append((target, int(known[0][1:])))
    assert followed == len(recorded), "edges that are not there"
    assert len(places) == sum(node.kind != "constant" for node in graph.nodes), "nodes that are not there"
    return places


def untied(graph: model.Graph) -> list[model.Node]:
    """The nodes of ops that have no line or no call."""
    return [node for node in graph.nodes if node.kind == "op" and (node.line is None or node.call is None)]


class Gradients:
    """The gradients of a pass, as rows of its table: at outputs by (place, output), on edges by (place, slot); -1 for none."""

    def __init__(self, numbers: PassNumbers) -> None:
        event, graph = numbers.event, numbers.graph
        self.graph = graph
        self._tensors: Tensors = numbers.tensors
        outputs = [(place, output) for place, node in enumerate(graph.nodes) for output in range(node.outputs)]
        self.arrived = dict(zip(outputs, wire.int32(event.arrived, "arrived").tolist(), strict=True))
        self.used = dict(zip(outputs, wire.int32(event.used, "used").tolist(), strict=True))
        rows = zip(graph.edges, wire.int32(event.edge, "edge").tolist(), strict=True)
        self.edges = {(int(edge.source[1:]), edge.slot): row for edge, row in rows if edge.gradient}

    def bits(self, row: int) -> Bits:
        """A row as the observer notes a tensor; ``None`` for one whose elements were not kept."""
        array, told = self._tensors.array(row), self._tensors.summary(row)
        return None if array is None or told is None else (told.dtype, array.shape, array.tobytes())

    def check_sums(self) -> int:
        """Hold what arrived at each output of a node against the sum of the edges with that input; returns how many were.

        An output at which nothing arrived has no edge that brought something, and the other way round. Roots are given
        theirs.
        """
        into: dict[tuple[int, int], list[int]] = {}
        for edge in self.graph.edges:
            if edge.gradient and self.edges[int(edge.source[1:]), edge.slot] >= 0:
                into.setdefault((int(edge.target[1:]), edge.input), []).append(self.edges[int(edge.source[1:]), edge.slot])
        assert into.keys() <= self.arrived.keys(), "a gradient for an output that is not there"
        checked = 0
        for (place, output), row in self.arrived.items():
            if f"n{place}" in self.graph.roots:
                continue
            parts = into.get((place, output), [])
            assert (row < 0) == (not parts), (self.graph.nodes[place], output, row, parts)
            total, *terms = (self._tensors.array(part) for part in (row, *parts))
            kept = [term for term in terms if term is not None]
            if total is not None and kept and len(kept) == len(terms):
                _check_sum(total, np.stack(kept), getattr(self._tensors.summary(row), "dtype", ""))
                checked += 1
        return checked


def _check_sum(total: np.ndarray[Any, Any], terms: np.ndarray[Any, Any], dtype: str) -> None:
    if total.dtype.kind not in "fc":
        return
    precision = 2.0**-7 if dtype == "bfloat16" else float(np.finfo(total.dtype).eps)
    with np.errstate(invalid="ignore", over="ignore"):
        most = 4 * len(terms) * precision * np.nan_to_num(np.abs(terms)).sum(0)
        off = np.abs(terms.sum(0) - total)
        fits = (off <= most) | (np.isnan(terms.sum(0)) & np.isnan(total)) | (terms.sum(0) == total)
    assert fits.all(), (total, terms)
