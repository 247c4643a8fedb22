"""Give rules the graphs of a recording, each once, with the operands of every node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ... import model
from ...recording import PassNumbers, Recording

PASSES: Final = 1_000
"""Largest number of passes that are searched. Each graph is searched once."""
NODES: Final = 20_000
"""Largest number of nodes of a graph that is searched."""
VIEWS: Final = (
    "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "TBackward", "Transpose", "Permute", "Alias", "Expand",
    "ToCopy", "Clone", "Contiguous",
)  # fmt: skip
"""Functions that return the elements of their input in another shape or precision."""


def different_graphs(recording: Recording) -> Iterator[GraphOfPass]:
    """Yield each graph that a pass ran through, with the first of its passes. Large graphs are left out."""
    sizes = recording.log.graph_sizes()
    seen: set[int] = set()
    for index in range(min(recording.log.counts()[1], PASSES)):
        event = recording.log.pass_(index)
        if event.graph >= 0 and event.graph not in seen:
            seen.add(event.graph)
            if sizes[event.graph][0] <= NODES:
                yield GraphOfPass(recording, index, event.step, event.graph)


@dataclass(frozen=True, eq=False)
class GraphOfPass:
    """A graph with one pass over it. ``pass_``, ``step`` and ``graph`` are indices."""

    recording: Recording
    pass_: int
    step: int
    graph: int

    def warning(self, code: str, node: model.Node, *, line: int | None, message: str, why: str) -> model.Finding:
        """Return a warning about a node of the graph, to be shown at ``line`` of the program."""
        return model.Finding(
            code=code,
            severity="warning",
            file=None,
            line=line,
            step=self.step,
            node=node.id,
            message=message,
            why=why,
            pass_=self.pass_,
        )

    @cached_property
    def nodes(self) -> list[model.Node]:
        """The nodes of the graph."""
        return self.recording.graph(self.graph).nodes

    @cached_property
    def numbers(self) -> PassNumbers:
        """The numbers of the pass."""
        return self.recording.numbers(self.pass_)

    @cached_property
    def roots(self) -> list[model.Node]:
        """The nodes at which the pass began."""
        return [self.nodes[int(root[1:])] for root in self.recording.graph(self.graph).roots]

    @cached_property
    def _edges(self) -> dict[int, list[tuple[int, int]]]:
        """For each node, the indices of its edges and of their targets, in the order of its inputs, constants last."""
        found: dict[int, list[tuple[int, int]]] = {}
        edges = list(enumerate(self.recording.graph(self.graph).edges))
        for index, edge in sorted(edges, key=lambda each: (each[1].slot < 0, each[1].slot)):
            found.setdefault(int(edge.source[1:]), []).append((index, int(edge.target[1:])))
        return found

    def edges(self, node: int) -> list[tuple[int, int]]:
        """Return for each input of a node the index of its edge and of the node that the edge leads to, constants last."""
        return self._edges.get(node, [])

    @cached_property
    def _users(self) -> dict[int, list[tuple[int, int]]]:
        """For each node, the nodes that have it as an input, each with the index of the edge."""
        found: dict[int, list[tuple[int, int]]] = {}
        for source, edges in self._edges.items():
            for edge, target in edges:
                found.setdefault(target, []).append((source, edge))
        return found

    def users(self, node: int) -> list[tuple[int, int]]:
        """Return the nodes that have a node as an input, each with the index of the edge."""
        return self._users.get(node, [])

    def saved(self, node: int, name: str) -> model.TensorSummary | None:
        """Return the tensor that a node saved under a name, as it was when the pass ran; ``None`` if there is none."""
        names = self.nodes[node].saved
        return self.numbers.saved(node, names.index(name)) if name in names else None

    def inputs(self, node: int) -> list[int]:
        """Return the nodes of the inputs of a node, in their order. Constants come last."""
        return [target for _, target in self.edges(node)]

    def before_views(self, node: int) -> model.Node:
        """Return a node or, if it is one of :data:`VIEWS`, the first node below it that is not."""
        return self.nodes[self.below_views(node)]

    def below_views(self, node: int) -> int:
        """Return the index of a node or, if it is a view, of the first node below it that is not a view."""
        while self.nodes[node].op.startswith(VIEWS) and (inputs := self.inputs(node)):
            node = inputs[0]
        return node

    def leaves(self, node: int) -> list[int]:
        """Return the leaves below a node, in the order of their indices."""
        waiting, seen = [node], {node}
        while waiting:
            for target in self.inputs(waiting.pop()):
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return sorted(each for each in seen if self.nodes[each].kind == "leaf")
