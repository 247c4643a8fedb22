"""Read the numbers of one pass over its graph."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import model, wire
from ..errors import NotFound
from .tensors import Tensors, starts

RowIndices = np.ndarray[Any, np.dtype[np.int32]]
"""Rows of a tensor table; -1 for no tensor."""
Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["value", "arrived", "used", "edge", "saved"]
"""The tensors of a pass."""


class TensorForm(NamedTuple):
    """The shape and the name of the dtype of a tensor."""

    shape: list[int]
    dtype: str


class PassNumbers:
    """The numbers of one pass over its graph. Methods take the index of a node or edge."""

    def __init__(self, event: wire.PassEvent, graph: model.Graph) -> None:
        self.event = event
        self.graph = graph
        self.tensors = Tensors(event.tensors)
        self._value = wire.int32(event.value, "value")
        self._arrived = wire.int32(event.arrived, "arrived")
        self._used = wire.int32(event.used, "used")
        self._edge = wire.int32(event.edge, "edge")
        self._saved = wire.int32(event.saved, "saved")
        self._arrays: dict[tuple[Kind, int, int], Array | None] = {}
        self._first_output = starts(np.array([node.outputs for node in graph.nodes]))
        self._first_saved = starts(np.array([len(node.saved) for node in graph.nodes]))

    def node_index(self, node: str) -> int:
        """Return the index of the node with this id. Raises :class:`NotFound` if there is none."""
        if node[:1] == "n" and node[1:].isascii() and node[1:].isdigit() and int(node[1:]) < len(self.graph.nodes):
            return int(node[1:])
        raise NotFound(f"Graph {self.graph.id} has no node {node!r}: its nodes are n0 to n{len(self.graph.nodes) - 1}.")

    def value(self, node: int) -> model.TensorSummary | None:
        """Return the forward value of a node: the result of its call, or the leaf or constant itself."""
        return self.tensors.summary(int(self._value[node]))

    def arrived(self, node: int, output: int = 0) -> model.TensorSummary | None:
        """Return the sum of the gradients on the edges to an output of a node."""
        return self.tensors.summary(self._row_of_output(self._arrived, node, output))

    def used(self, node: int, output: int = 0) -> model.TensorSummary | None:
        """Return the gradient that a node received after the user's hooks."""
        return self.tensors.summary(self._row_of_output(self._used, node, output))

    def edge(self, edge: int) -> model.TensorSummary | None:
        """Return the gradient on an edge."""
        return self.tensors.summary(int(self._edge[edge]))

    def edge_norm(self, edge: int) -> float | None:
        """Return the L2 norm of the gradient on an edge."""
        return self.tensors.norm(int(self._edge[edge]))

    def saved(self, node: int, saved: int) -> model.TensorSummary | None:
        """Return a saved tensor of a node, by its index among the node's saved tensors."""
        return self.tensors.summary(int(self._saved[self._first_saved[node] + saved]))

    def node(self, node: int) -> model.NodeNumbers:
        """Return all numbers of a node."""
        outputs = self.graph.nodes[node].outputs
        return model.NodeNumbers(
            self.value(node), [model.Gradient(self.arrived(node, output), self.used(node, output)) for output in range(outputs)]
        )

    def nodes(self) -> dict[str, model.NodeNumbers]:
        """Return the numbers of all nodes, by id."""
        return {node.id: self.node(index) for index, node in enumerate(self.graph.nodes)}

    def edges(self) -> dict[str, model.TensorSummary | None]:
        """Return the gradients on all edges, by id."""
        return {edge.id: self.edge(index) for index, edge in enumerate(self.graph.edges)}

    def array(self, what: Kind, index: int, at: int = 0) -> Array | None:
        """Return the elements of a tensor of the pass as float64; ``None`` if they were not recorded or are complex.

        ``index`` is that of a node or, for ``edge``, of an edge. ``at`` is the output or the saved tensor of the node.
        """
        key = (what, index, at)
        if key not in self._arrays:
            found = self.tensors.array(self._row(what, index, at))
            self._arrays[key] = None if found is None or found.dtype.kind == "c" else np.asarray(found, np.float64)
        return self._arrays[key]

    def form(self, what: Kind, index: int, at: int = 0) -> TensorForm | None:
        """Return the shape and dtype of a tensor of the pass, ``None`` if there is none, for the arguments of :meth:`array`."""
        row = self._row(what, index, at)
        return None if row < 0 else TensorForm(self.tensors.shape(row), self.tensors.dtype(row))

    def _row(self, what: Kind, index: int, at: int) -> int:
        """Return the row of a tensor of the pass."""
        match what:
            case "value":
                return int(self._value[index])
            case "arrived":
                return self._row_of_output(self._arrived, index, at)
            case "used":
                return self._row_of_output(self._used, index, at)
            case "edge":
                return int(self._edge[index])
            case "saved":
                return int(self._saved[self._first_saved[index] + at])

    def edges_from(self, node: int) -> list[tuple[int, model.Edge]]:
        """Return the edges that leave a node, each with its index."""
        return self._edges_by_node[0].get(f"n{node}", [])

    def edges_to(self, node: int) -> list[tuple[int, model.Edge]]:
        """Return the edges that lead to a node, each with its index."""
        return self._edges_by_node[1].get(f"n{node}", [])

    @cached_property
    def _edges_by_node(self) -> tuple[dict[str, list[tuple[int, model.Edge]]], dict[str, list[tuple[int, model.Edge]]]]:
        """The edges by their sources, and by their targets."""
        leaving: dict[str, list[tuple[int, model.Edge]]] = {}
        entering: dict[str, list[tuple[int, model.Edge]]] = {}
        for index, edge in enumerate(self.graph.edges):
            leaving.setdefault(edge.source, []).append((index, edge))
            entering.setdefault(edge.target, []).append((index, edge))
        return leaving, entering

    def _row_of_output(self, rows: RowIndices, node: int, output: int) -> int:
        return int(rows[self._first_output[node] + output]) if output < self.graph.nodes[node].outputs else -1
