"""Walk a backward graph: find its nodes and edges, and the call that made each node.

The walk is iterative, because graphs can be deeper than Python's stack. It is breadth-first from the roots, so that ids are the
same in every run of a program.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..forward.calls import Call, Calls, CallSite
from ..tensors.handles import sequence_nrs
from ..tensors.snapshot import grad_fn_of

AccumulateGrad: Any = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]


_FREED_BYTES = 256
"""Upper bound of the stack that freeing a node takes, in bytes; about 190 were measured with PyTorch 2.13."""


class TooManyNodes(Exception):
    """The graph has more nodes than may be recorded."""


class Walk:
    """A graph at one moment: its nodes in breadth-first order. A walk keeps its graph alive.

    ``indexes`` are the indices of nodes, and ``roots`` the indices of the roots. Except for :attr:`leaves`, all other
    attributes are columns, with an entry for each node or for each slot.
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
        self.slots: list[int] = []
        """The number of slots of each node, including slots without an edge."""
        self.targets: list[int] = []
        """For each slot, in the order of the nodes, the index of the node at the other end of its edge; -1 without an edge."""
        self.inputs: list[int] = []
        """For each slot, the input at which its edge ends."""
        slots, targets, inputs, known = self.slots, self.targets, self.inputs, indexes.get
        for node in nodes:  # the list grows during the loop
            edges = node.next_functions
            slots.append(len(edges))
            for following, at in edges:
                end = -1 if following is None else known(following)
                if end is None:
                    end = indexes[following] = len(nodes)
                    nodes.append(following)
                    if end >= limit:
                        raise TooManyNodes
                targets.append(end)
                inputs.append(at)
        self.kinds: list[type] = list(map(type, nodes))
        self.leaves: list[tuple[int, Tensor]] = [
            (index, nodes[index].variable) for index, kind in enumerate(self.kinds) if kind is AccumulateGrad
        ]
        """The leaves that the graph accumulates into, each with the index of its node."""
        self.numbers: list[int] = sequence_nrs(nodes)
        """The sequence number of each node, -1 for a leaf's node and for the nodes of threads that are not recorded."""
        for index, _ in self.leaves:
            self.numbers[index] = -1
        self.calls: list[Call | None] = list(map(calls.of, self.numbers))
        """The call that made each node; ``None`` if it is unknown."""
        if calls.foreign:
            for index, node in enumerate(nodes):
                call = calls.foreign.of(node) if self.kinds[index] is not AccumulateGrad else None
                if call is not None:
                    self.numbers[index], self.calls[index] = -1, call
        self.sites: list[CallSite | None] = [None if call is None else call.site for call in self.calls]
        self.formulas: list[tuple[int, int] | None] = [None if call is None else call.backward_of for call in self.calls]
        """For each node that a formula made, the graph and the index of the node whose formula it was; else ``None``."""

    def signature(self, parameters: Iterable[int]) -> tuple[Any, ...]:
        """Return a key of the structure, given the ``parameters`` of its leaves. Walks with equal keys share a structure."""
        return (
            len(self.roots), *self.slots, *self.targets, *self.inputs, *self.kinds, *self.sites, *self.formulas, *parameters
        )  # fmt: skip

    def edges(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Return columns of the edges: source, slot, target and input."""
        slots, targets, inputs = (np.array(column, np.int64) for column in (self.slots, self.targets, self.inputs))
        sources = np.repeat(np.arange(len(slots)), slots)
        before = np.cumsum(slots) - slots
        edges = np.flatnonzero(targets >= 0)
        source, target = sources[edges], targets[edges]
        return source.tolist(), (edges - before[source]).tolist(), target.tolist(), inputs[edges].tolist()


def leaves_below(roots: Iterable[Any]) -> list[Tensor]:
    """Return the leaves that a graph accumulates into, in the order of a :class:`Walk` from the same roots."""
    nodes = list(dict.fromkeys(root for root in roots if root is not None))
    known = set(nodes)
    leaves = []
    for node in nodes:  # the list grows during the loop
        if type(node) is AccumulateGrad:
            leaves.append(node.variable)
        for following, _ in node.next_functions:
            if following is not None and following not in known:
                known.add(following)
                nodes.append(following)
    return leaves


def freeable_nodes() -> int:
    """Return how many nodes a walk may visit in this process.

    Once Python code has visited the nodes of a graph, PyTorch frees them recursively. In a process with a small stack, freeing
    a large graph would then overflow the stack.
    """
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return sys.maxsize if stack == resource.RLIM_INFINITY else stack // _FREED_BYTES


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
