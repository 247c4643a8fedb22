"""Read the numbers of one pass over its graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import model, wire
from ..errors import NotFound
from .tensors import Tensors, starts

RowIndices = np.ndarray[Any, np.dtype[np.int32]]


class PassNumbers:
    """The numbers of one pass over its graph; every node and edge is meant by its place."""

    def __init__(self, event: wire.PassEvent, graph: model.Graph) -> None:
        self.event = event
        self.graph = graph
        self.tensors = Tensors(event.tensors)
        self._value = wire.int32(event.value, "value")
        self._arrived = wire.int32(event.arrived, "arrived")
        self._used = wire.int32(event.used, "used")
        self._edge = wire.int32(event.edge, "edge")
        self._saved = wire.int32(event.saved, "saved")
        self._first_output = starts(np.array([node.outputs for node in graph.nodes]))
        self._first_saved = starts(np.array([len(node.saved) for node in graph.nodes]))

    def node_index(self, node: str) -> int:
        """The place of the node with this id; raises :class:`NotFound`."""
        if node[:1] == "n" and node[1:].isascii() and node[1:].isdigit() and int(node[1:]) < len(self.graph.nodes):
            return int(node[1:])
        raise NotFound(f"Graph {self.graph.id} has no node {node!r}: its nodes are n0 to n{len(self.graph.nodes) - 1}.")

    def value(self, place: int) -> model.TensorSummary | None:
        """The forward value of a node: what its call returned, or the leaf or constant itself."""
        return self.tensors.summary(int(self._value[place]))

    def arrived(self, place: int, output: int = 0) -> model.TensorSummary | None:
        """The sum of the gradients on the edges to an output of a node."""
        return self.tensors.summary(self._output(self._arrived, place, output))

    def used(self, place: int, output: int = 0) -> model.TensorSummary | None:
        """The gradient that the node was called with, after the user's hooks."""
        return self.tensors.summary(self._output(self._used, place, output))

    def edge(self, place: int) -> model.TensorSummary | None:
        """The gradient on an edge."""
        return self.tensors.summary(int(self._edge[place]))

    def edge_norm(self, place: int) -> float | None:
        """L2 norm of the gradient on an edge."""
        return self.tensors.norm(int(self._edge[place]))

    def saved(self, place: int, slot: int) -> model.TensorSummary | None:
        """A saved tensor of a node."""
        return self.tensors.summary(int(self._saved[self._first_saved[place] + slot]))

    def node(self, place: int) -> model.NodeNumbers:
        """All numbers of a node."""
        outputs = self.graph.nodes[place].outputs
        return model.NodeNumbers(
            self.value(place), [model.Gradient(self.arrived(place, at), self.used(place, at)) for at in range(outputs)]
        )

    def nodes(self) -> dict[str, model.NodeNumbers]:
        """All nodes' numbers by id."""
        return {node.id: self.node(place) for place, node in enumerate(self.graph.nodes)}

    def edges(self) -> dict[str, model.TensorSummary | None]:
        """All edges' gradients by id."""
        return {edge.id: self.edge(place) for place, edge in enumerate(self.graph.edges)}

    def _output(self, column: RowIndices, place: int, output: int) -> int:
        return int(column[self._first_output[place] + output]) if output < self.graph.nodes[place].outputs else -1
