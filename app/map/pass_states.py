"""Compute states of all nodes of a graph in a pass: the norms of their gradients, and which are NaN, infinite or zero."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import cached_property
from threading import Lock
from typing import Final

import numpy as np

from .. import wire
from ..recording.tensors import Tensors
from .columns import Bools, Floats, Longs, StructureColumns
from .query import Compared, State

KEPT: Final = 4
"""Number of passes whose states are kept for later requests: a search sends a request for the same pass at each keystroke."""


class PassStates:
    """The nodes of a graph in one pass over it."""

    def __init__(self, graph: StructureColumns, event: wire.PassEvent) -> None:
        self._graph = graph
        self._event = event
        self._tensors = Tensors(event.tensors)
        self._arrived = wire.int32(event.arrived, "arrived")

    @cached_property
    def norms(self) -> Floats:
        """The norm of the gradient that arrived at each output of each node; -1 where none was recorded."""
        norms: Floats = np.append(self._tensors.norms(), -1.0)[self._arrived]
        return norms

    def norm(self, node: int) -> float | None:
        """Return the norm of the gradients that arrived at all outputs of a node, ``None`` if there were none."""
        start = self._graph.output_start
        norms = self.norms[int(start[node]) : int(start[node + 1])]
        known = norms[norms != -1.0]
        return float(np.sqrt((known * known).sum())) if len(known) else None

    def compared(self, condition: Compared) -> Bools:
        """Return for each node whether the norm of a gradient at one of its outputs meets a condition."""
        met: Bools = (self.norms != -1.0) & condition.compare(self.norms, condition.limit)
        return self._any_output(met)

    def gradient_is(self, state: State) -> Bools:
        """Return for each node whether its gradients are in a state."""
        if state == "unused":
            used = self._any_output(self._arrived >= 0) | self._ran
            unused: Bools = ~used & (self._graph.kind != wire.CONSTANT)
            return unused
        if state == "zero":
            zero, known = self.norms == 0.0, self.norms != -1.0
            return self._any_output(zero) & ~self._any_output(known & ~zero)
        outputs: Bools = self._has(state)[self._arrived]
        return self._any_output(outputs)

    def value_is(self, state: State) -> Bools:
        """Return for each node whether its forward value has elements that are NaN or infinite."""
        if state not in ("nan", "inf"):
            return np.zeros(self._graph.count, bool)
        found: Bools = self._has(state)[wire.int32(self._event.value, "value")]
        return found

    @cached_property
    def _ran(self) -> Bools:
        """For a pass without recorded gradients: whether each node is in the recorded order. For other passes, all false."""
        ran: Bools = np.zeros(self._graph.count, bool)
        if not (self._arrived >= 0).any():
            ran[wire.int32(self._event.order, "order")] = True
        return ran

    def _has(self, state: State) -> Bools:
        """Return for each tensor of the pass whether it has NaN or infinite elements, and ``False`` for index -1."""
        return np.append(self._counts[:, 1 if state == "nan" else 2] > 0, False)

    @cached_property
    def _counts(self) -> Longs:
        return self._tensors.counts()

    def _any_output(self, outputs: Bools) -> Bools:
        """Return for each node whether one of its outputs is marked."""
        marked = np.concatenate(([0], np.cumsum(outputs)))
        start = self._graph.output_start
        return np.diff(marked[start]) > 0


_kept: Final[OrderedDict[Hashable, PassStates]] = OrderedDict()
_lock: Final = Lock()


def pass_states(graph: StructureColumns, event: wire.PassEvent) -> PassStates:
    """Return the states of a pass, from the cache if an equal pass over an equal graph was read before."""
    tensors = (event.tensors.dtype, event.tensors.dims, event.tensors.stats, event.tensors.counts, event.tensors.values)
    key = (graph.kind.tobytes(), graph.outputs.tobytes(), event.order, event.arrived, event.value, *tensors)
    with _lock:
        states = _kept.get(key)
        if states is not None:
            _kept.move_to_end(key)
            return states
        states = _kept[key] = PassStates(graph, event)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
        return states
