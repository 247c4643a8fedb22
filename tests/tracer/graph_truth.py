"""Compare a recording with a graph of torch: its nodes and edges, the sums of its gradients, and the lines of its nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from tapedeck import model, wire
from tapedeck.recording import PassNumbers, Tensors

from .independent_observer import Bits, name


def failures(events: Iterable[wire.AnyEvent]) -> list[str]:
    """Return the messages of the recorder's own failures."""
    return [event.message for event in events if isinstance(event, wire.RecorderFailed)]


def paired(graph: model.Graph, roots: Iterable[Any]) -> dict[Any, int]:
    """Match a recorded graph with torch's, slot by slot from the roots; return the index of each of torch's nodes.

    Raises :class:`AssertionError` unless both have the same nodes, and the same edges with slot and input.
    """
    recorded = {(edge.source, edge.slot): (edge.target, edge.input) for edge in graph.edges if edge.gradient}
    assert len(recorded) == sum(edge.gradient for edge in graph.edges), "two edges leave one slot"
    true_roots = list(dict.fromkeys(roots))
    assert len(true_roots) == len(graph.roots), (true_roots, graph.roots)
    indexes: dict[Any, int] = {}
    taken: dict[int, Any] = {}
    waiting = [(root, int(index[1:])) for root, index in zip(true_roots, graph.roots, strict=True)]
    followed = 0
    while waiting:
        node, index = waiting.pop()
        if node in indexes or index in taken:
            assert indexes.get(node) == index, (node, index)
            continue
        indexes[node], taken[index] = index, node
        assert graph.nodes[index].op == name(node), (graph.nodes[index], node)
        for slot, (target, output) in enumerate(node.next_functions):
            edge_at = recorded.get((f"n{index}", slot))
            if target is None:
                assert edge_at is None, (node, slot, edge_at)
                continue
            assert edge_at is not None, f"no edge at slot {slot} of {node}"
            assert edge_at[1] == output, (node, slot, edge_at)
            followed += 1
            waiting.append((target, int(edge_at[0][1:])))
    assert followed == len(recorded), "the recording has additional edges"
    assert len(indexes) == sum(node.kind != "constant" for node in graph.nodes), "the recording has additional nodes"
    return indexes


def untied(graph: model.Graph) -> list[model.Node]:
    """Return the nodes of ops that have no line or no call."""
    return [node for node in graph.nodes if node.kind == "op" and (node.line is None or node.call is None)]


class Gradients:
    """The gradients of a pass as rows of its table (-1 for none): at outputs by (node, output), on edges by (node, slot)."""

    def __init__(self, numbers: PassNumbers) -> None:
        event, graph = numbers.event, numbers.graph
        self.graph = graph
        self._tensors: Tensors = numbers.tensors
        outputs = [(index, output) for index, node in enumerate(graph.nodes) for output in range(node.outputs)]
        self.arrived = dict(zip(outputs, wire.int32(event.arrived, "arrived").tolist(), strict=True))
        self.used = dict(zip(outputs, wire.int32(event.used, "used").tolist(), strict=True))
        rows = zip(graph.edges, wire.int32(event.edge, "edge").tolist(), strict=True)
        self.edges = {(int(edge.source[1:]), edge.slot): row for edge, row in rows if edge.gradient}

    def bits(self, row: int) -> Bits:
        """Return the bits of a row as the independent observer has them; ``None`` if its elements were not recorded."""
        array, summary = self._tensors.array(row), self._tensors.summary(row)
        return None if array is None or summary is None else (summary.dtype, array.shape, array.tobytes())

    def check_sums(self) -> int:
        """Check that the gradient at each output of a node is the sum over its edges; return the number of checked outputs.

        An output has a gradient if and only if one of its edges has one. Roots are skipped: the program gives their gradients.
        """
        into: dict[tuple[int, int], list[int]] = {}
        for edge in self.graph.edges:
            if edge.gradient and self.edges[int(edge.source[1:]), edge.slot] >= 0:
                into.setdefault((int(edge.target[1:]), edge.input), []).append(self.edges[int(edge.source[1:]), edge.slot])
        assert into.keys() <= self.arrived.keys(), "an edge leads to an output that its target does not have"
        checked = 0
        for (index, output), row in self.arrived.items():
            if f"n{index}" in self.graph.roots:
                continue
            parts = into.get((index, output), [])
            assert (row < 0) == (not parts), (self.graph.nodes[index], output, row, parts)
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
