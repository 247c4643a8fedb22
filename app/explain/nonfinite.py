"""Find the origin of the first harmful NaN or Inf: in the data, a forward operation, a gradient, or an update.

A NaN or Inf is harmful if it reaches a root, the gradient of a leaf, or a parameter. The -Inf of a mask, or a NaN that
``where`` leaves out, is not. The search starts there and follows the graph back to the node that made it from finite numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import model, wire
from ..recording import Recording
from ..recording.pass_numbers import PassNumbers
from ..recording.tensors import Tensors

NEAR = 50
"""Nodes that are searched for a ``where`` above a node."""
DELIBERATE = ("MaskedFill", "Fill", "Where", "Copy", "IndexPut", "Constant")
"""Operations by which a program writes an Inf on purpose."""


@dataclass(frozen=True)
class Origin:
    """The origin of a NaN or an Inf.

    ``index`` is that of a node in the graph of ``pass_``, or -1 for the update of ``parameter``. ``what`` is "NaN" or "Inf".
    ``where`` is one of "given" (the value of a leaf or constant), "value" (a computed value), "gradient" (the gradient that a
    node passes on), "hook" (the gradient that a hook returned), "sum" (the sum of arriving gradients), "start" (the gradient
    that the pass started from) and "update".
    """

    step: int
    pass_: int
    index: int
    what: str
    where: str
    parameter: int = -1
    inputs: tuple[model.TensorSummary, ...] = ()
    behind_where: bool = False
    """True if the gradient reached the node through a ``where``."""


def origin(recording: Recording) -> Origin | None:
    """Return the origin of the first harmful NaN or Inf of a run, ``None`` if there is none."""
    log = recording.log
    passes, steps = log.nonfinite()
    count = log.counts()[2]
    candidates = [(log.pass_(index).step, 0, index) for index in passes] + [(index, 1, index) for index in steps]
    for step, updated, index in sorted(candidates):
        if 0 <= step < count:
            found = _in_update(recording, step) if updated else _in_pass(recording, step, index)
            if found is not None:
                return found
    return None


def _in_update(recording: Recording, index: int) -> Origin | None:
    step = recording.log.step(index)
    tensors = Tensors(step.tensors)
    for row in step.parameters:
        if (what := _kind(tensors.summary(row.value_after))) is not None:
            return Origin(index, step.main, -1, what, "update", row.parameter)
    return None


def _in_pass(recording: Recording, step: int, index: int) -> Origin | None:
    if recording.log.pass_(index).graph < 0:
        return None
    numbers = recording.numbers(index)
    nodes = numbers.graph.nodes
    roots = [root for root in map(numbers.node_index, numbers.graph.roots) if _kind(numbers.value(root)) is not None]
    leaves = [leaf for leaf, node in enumerate(nodes) if node.kind == "leaf" and _kind(numbers.used(leaf)) is not None]
    if not roots and not leaves:
        return None
    trace = _Trace(numbers)
    if roots:
        found, where = trace.forward(roots[0])
        return Origin(step, index, found, _kind(numbers.value(found)) or "NaN", where, inputs=trace.inputs(found))
    found, where = trace.backward(leaves[0])
    nested = _nested(recording, step, index) if where == "gradient" else None
    what = trace.passed_on(found) or _kind(numbers.used(leaves[0])) or "NaN"
    behind = trace.behind_where(found)
    return nested or Origin(step, index, found, what, where, inputs=trace.inputs(found), behind_where=behind)


def _nested(recording: Recording, step: int, parent: int) -> Origin | None:
    """Return the origin in a nested pass, such as that of a checkpoint."""
    for index in recording.log.step(step).passes:
        if index > parent and recording.log.pass_(index).parent == parent:
            found = _in_pass(recording, step, index)
            if found is not None:
                return found
    return None


class _Trace:
    """Follows values and gradients that are not finite back through one pass."""

    def __init__(self, numbers: PassNumbers) -> None:
        self._numbers = numbers
        self._out: list[list[int]] = [[] for _ in numbers.graph.nodes]
        self._in: list[list[int]] = [[] for _ in numbers.graph.nodes]
        self._ends = [(numbers.node_index(edge.source), numbers.node_index(edge.target)) for edge in numbers.graph.edges]
        for edge, (source, target) in enumerate(self._ends):
            self._out[source].append(edge)
            self._in[target].append(edge)

    def value(self, node: int) -> bool | None:
        """Return whether the value of a node has NaN or Inf, ``None`` if that is unknown."""
        summary = self._numbers.value(node)
        return None if summary is None or summary.nan is None else _kind(summary) is not None

    def forward(self, node: int, *, skip_deliberate: bool = True) -> tuple[int, str]:
        """Return the node where a value that is not finite began, and "given" or "value".

        ``skip_deliberate``: the origin of a NaN is the operation that made it from an Inf that the program wrote on purpose.
        """
        seen = {node}
        at = node
        while True:
            bad = [each for each in self._operands(at) if self.value(each) and each not in seen]
            if not bad:
                break
            nan = [each for each in bad if _kind(self._numbers.value(each)) == "NaN"]
            if skip_deliberate and not nan and _kind(self._numbers.value(at)) == "NaN":
                source, _ = self.forward(bad[0], skip_deliberate=False)
                if self._numbers.graph.nodes[source].op.startswith(DELIBERATE):
                    break  # the Inf is deliberate, the NaN made from it is not
            at = (nan or bad)[0]
            seen.add(at)
        return at, "value" if self._numbers.graph.nodes[at].kind == "op" else "given"

    def backward(self, leaf: int) -> tuple[int, str]:
        """Return the node where a leaf's gradient stopped being finite, the first in the engine's order, and in what way."""
        rank = {node: position for position, node in enumerate(wire.int32(self._numbers.event.order, "order").tolist())}
        roots = set(self._numbers.graph.roots)
        seen = {leaf}
        waiting = [leaf]
        found: list[tuple[int, int, str]] = []
        while waiting:
            at = waiting.pop()
            sources = [self._ends[edge][0] for edge in self._in[at] if _kind(self._numbers.edge(edge)) is not None]
            if not sources and self._arrives(at):
                found.append((rank.get(at, -1), at, "hook"))
            elif not sources:
                found.append((rank.get(at, -1), at, "start" if self._numbers.graph.nodes[at].id in roots else "sum"))
            for source in sources:
                if not self._bad(source):
                    found.append((rank.get(source, -1), source, "gradient"))
                elif source not in seen:
                    seen.add(source)
                    waiting.append(source)
        _, node, where = min(found, default=(0, leaf, "gradient"))
        return node, where

    def passed_on(self, node: int) -> str | None:
        """Return "NaN" or "Inf" if a gradient that a node passes on has one, NaN before Inf."""
        kinds = [_kind(self._numbers.edge(edge)) for edge in self._out[node]]
        return next((kind for kind in ("NaN", "Inf") if kind in kinds), None)

    def inputs(self, node: int) -> tuple[model.TensorSummary, ...]:
        """Return the recorded values that a node was computed from."""
        found = (self._numbers.value(each) for each in self._operands(node))
        return tuple(summary for summary in found if summary is not None)

    def behind_where(self, node: int) -> bool:
        """Return whether the gradient reached a node through a nearby ``where``."""
        seen = {node}
        waiting = [node]
        while waiting and len(seen) < NEAR:
            for edge in self._in[waiting.pop(0)]:
                source = self._ends[edge][0]
                if self._numbers.graph.nodes[source].op.startswith("WhereBackward"):
                    return True
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
        return False

    def _bad(self, node: int) -> bool:
        outputs = range(self._numbers.graph.nodes[node].outputs)
        return any(_kind(self._numbers.used(node, output)) is not None for output in outputs)

    def _arrives(self, node: int) -> bool:
        """Return whether a finite gradient arrived at a node, before its hooks ran."""
        arrived = [self._numbers.arrived(node, output) for output in range(self._numbers.graph.nodes[node].outputs)]
        return any(summary is not None and _kind(summary) is None for summary in arrived)

    def _operands(self, node: int) -> list[int]:
        """Return the nodes that a node was computed from, skipping nodes without a recorded value."""
        found: list[int] = []
        seen = {node}
        waiting = [node]
        while waiting:
            for target in [self._ends[edge][1] for edge in self._out[waiting.pop()]]:
                if target not in seen:
                    seen.add(target)
                    (waiting if self.value(target) is None else found).append(target)
        return found


def _kind(summary: model.TensorSummary | None) -> str | None:
    """Return "NaN" or "Inf" if a tensor has one, NaN before Inf, and ``None`` if it is finite or unknown."""
    if summary is None:
        return None
    return "NaN" if summary.nan else "Inf" if summary.inf else None


def unharmed(recording: Recording, step: int) -> bool:
    """Return whether the parameters are finite after a step and after the last step, and the last loss is not NaN.

    A loss that is Inf is harmless by itself: a ``GradScaler`` finds its scale that way.
    """
    last = recording.log.counts()[2] - 1
    for index in {step, last}:
        event = recording.log.step(index)
        tensors = Tensors(event.tensors)
        if any(_kind(tensors.summary(row.value_after)) is not None for row in event.parameters):
            return False
        if index != step and _kind(tensors.summary(event.loss_row)) == "NaN":
            return False
    return True
