"""Walk a backward graph: find its nodes and edges, and the call that made each node.

The walk is iterative, because graphs can be deeper than Python's stack. It is breadth-first from the roots, so that ids are the
same in every run of a program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..forward.calls import Call, Calls
from ..tensors.handles import sequence_nr
from ..tensors.snapshot import grad_fn_of

AccumulateGrad: Any = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]


class TooManyNodes(Exception):
    """The graph has more nodes than may be recorded."""


class Walk:
    """A graph at one moment: its nodes in breadth-first order. A walk keeps its graph alive.

    ``indexes`` are the indices of nodes. ``numbers`` are their sequence numbers, -1 for a leaf's node and for the nodes of
    threads that are not recorded. ``calls`` are the calls that made the nodes, where known.
    """

    def __init__(self, roots: Iterable[Any], calls: Calls, limit: int) -> None:
        indexes: dict[Any, int] = {}
        nodes: list[Any] = []
        for root in roots:
            if root is not None and root not in indexes:
                indexes[root] = len(nodes)
                nodes.append(root)
        self.nodes = nodes
        self.indexes = indexes
        self.roots = range(len(nodes))
        self.leaves: list[tuple[int, Tensor]] = []
        """The leaves that the graph accumulates into, each with the index of its node."""
        self.numbers: list[int] = []
        self.calls: list[Call | None] = []
        self._structure: list[Any] = []
        """For each node its type, the target and input of each edge, and the site of its call."""
        of, foreign = calls.of, calls.foreign
        structure, numbers, called = self._structure, self.numbers, self.calls
        for index, node in enumerate(nodes):  # the list grows during the loop
            kind = type(node)
            structure.append(kind)
            for following, output in node.next_functions:
                if following is None:
                    structure.append(None)
                    continue
                end = indexes.get(following)
                if end is None:
                    end = indexes[following] = len(nodes)
                    nodes.append(following)
                    if end >= limit:
                        raise TooManyNodes
                structure.append(end)
                structure.append(output)
            if kind is AccumulateGrad:
                self.leaves.append((index, node.variable))
                numbers.append(-1)
                called.append(None)
            else:
                call = foreign.of(node) if foreign else None
                if call is None:
                    seq = sequence_nr(node)
                    call = of(seq)
                else:
                    seq = -1
                numbers.append(seq)
                called.append(call)
                if call is None:
                    structure.append(None)
                else:
                    structure.append(call.site)
                    if call.backward_of is not None:
                        structure.append(call.backward_of)

    def signature(self, parameters: Iterable[int]) -> tuple[Any, ...]:
        """Return a key of the structure, given the ``parameters`` of its leaves: walks with equal keys are one graph."""
        return (len(self.roots), *self._structure, *parameters)

    def edges(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield the source, slot, target and input of each edge."""
        for index, node in enumerate(self.nodes):
            for slot, (following, output) in enumerate(node.next_functions):
                if following is not None:
                    yield index, slot, self.indexes[following], output


def grad_node(tensor: Tensor) -> Any:
    """Return the node at which a tensor's gradient arrives: its ``grad_fn``, or a leaf's ``AccumulateGrad``.

    Return ``None`` if the tensor requires no gradient, or if its node belongs to another level of ``torch.func``.
    """
    node = grad_fn_of(tensor)
    if node is not None or not tensor.requires_grad:
        return node
    try:
        return torch.autograd.graph.get_gradient_edge(tensor).node
    except (RuntimeError, AttributeError, AssertionError):
        return None
