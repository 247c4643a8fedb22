"""Find where the first NaN or Inf that does harm begins: in the data, in the forward, in the backward, or in an update.

Harm is a root or a leaf's gradient that is not finite: the -Inf of a mask, or a NaN that ``where`` leaves out, is none.
From there the way goes back, against the arrows, to the first node that made it out of finite numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import model, wire
from ..recording import Recording
from ..recording.pass_numbers import PassNumbers
from ..recording.tensors import Tensors

NEAR = 50
"""Nodes before one that are looked at for a ``where``."""
DELIBERATE = ("MaskedFill", "Fill", "Where", "Copy", "IndexPut", "Constant")
"""Operations by which a program writes an Inf where it wants one."""


@dataclass(frozen=True)
class Origin:
    """Where it began: a node of a pass (``place`` -1: the update of a parameter), and ``what`` it is: NaN or Inf.

    ``where``: in what is given, in what a node computes, in the gradient that it hands on, in what a hook made of one,
    in the sum of those that came in, in what the pass was started with, or in an update.
    """

    step: int
    pass_: int
    place: int
    what: str
    where: str
    parameter: int = -1
    inputs: tuple[model.TensorSummary, ...] = ()
    behind_where: bool = False
    """Whether the gradient came to it through a ``where``."""


def origin(recording: Recording) -> Origin | None:
    """Where the first NaN or Inf that reaches a root, a leaf's gradient or a parameter began; ``None`` if none does."""
    log = recording.log
    passes, steps = log.nonfinite()
    told = log.counts()[2]
    looks = [(log.pass_(index).step, 0, index) for index in passes] + [(index, 1, index) for index in steps]
    for step, updated, index in sorted(looks):
        if 0 <= step < told:
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
    roots = [place for place in map(numbers.node_index, numbers.graph.roots) if _kind(numbers.value(place)) is not None]
    leaves = [place for place, node in enumerate(nodes) if node.kind == "leaf" and _kind(numbers.used(place)) is not None]
    if not roots and not leaves:
        return None
    trace = _Trace(numbers)
    if roots:
        found, where = trace.forward(roots[0])
        return Origin(step, index, found, _kind(numbers.value(found)) or "NaN", where, inputs=trace.inputs(found))
    found, where = trace.backward(leaves[0])
    nested = _nested(recording, step, index) if where == "gradient" else None
    what = trace.handed(found) or _kind(numbers.used(leaves[0])) or "NaN"
    behind = trace.behind_where(found)
    return nested or Origin(step, index, found, what, where, inputs=trace.inputs(found), behind_where=behind)


def _nested(recording: Recording, step: int, parent: int) -> Origin | None:
    """The origin in a pass inside a pass, as a checkpoint has them."""
    for index in recording.log.step(step).passes:
        if index > parent and recording.log.pass_(index).parent == parent:
            found = _in_pass(recording, step, index)
            if found is not None:
                return found
    return None


class _Trace:
    """The ways back through the numbers of one pass."""

    def __init__(self, numbers: PassNumbers) -> None:
        self._numbers = numbers
        self._out: list[list[int]] = [[] for _ in numbers.graph.nodes]
        self._in: list[list[int]] = [[] for _ in numbers.graph.nodes]
        self._ends = [(numbers.node_index(edge.source), numbers.node_index(edge.target)) for edge in numbers.graph.edges]
        for at, (source, target) in enumerate(self._ends):
            self._out[source].append(at)
            self._in[target].append(at)

    def value(self, place: int) -> bool | None:
        """Whether the value of a node is not finite; ``None`` where it is not known."""
        summary = self._numbers.value(place)
        return None if summary is None or summary.nan is None else _kind(summary) is not None

    def forward(self, place: int, *, meant: bool = True) -> tuple[int, str]:
        """Where what is not finite in a node's value began. ``meant``: an Inf that the program wrote is not where a NaN did."""
        seen = {place}
        at = place
        while True:
            bad = [each for each in self._operands(at) if self.value(each) and each not in seen]
            if not bad:
                break
            nan = [each for each in bad if _kind(self._numbers.value(each)) == "NaN"]
            if meant and not nan and _kind(self._numbers.value(at)) == "NaN":
                source, _ = self.forward(bad[0], meant=False)
                if self._numbers.graph.nodes[source].op.startswith(DELIBERATE):
                    break  # the Inf was meant; what made NaN of it was not
            at = (nan or bad)[0]
            seen.add(at)
        return at, "value" if self._numbers.graph.nodes[at].kind == "op" else "given"

    def backward(self, leaf: int) -> tuple[int, str]:
        """Where what is not finite in a leaf's gradient began: the first node in the engine's order that handed it on."""
        rank = {place: at for at, place in enumerate(wire.int32(self._numbers.event.order, "order").tolist())}
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
        _, place, where = min(found, default=(0, leaf, "gradient"))
        return place, where

    def handed(self, place: int) -> str | None:
        """What of the gradients that a node hands on is not finite."""
        kinds = [_kind(self._numbers.edge(edge)) for edge in self._out[place]]
        return next((kind for kind in ("NaN", "Inf") if kind in kinds), None)

    def inputs(self, place: int) -> tuple[model.TensorSummary, ...]:
        """The values that a node was computed from, as far as they are known."""
        found = (self._numbers.value(each) for each in self._operands(place))
        return tuple(summary for summary in found if summary is not None)

    def behind_where(self, place: int) -> bool:
        """Whether the gradient came to a node through a ``where``, not far before."""
        seen = {place}
        waiting = [place]
        while waiting and len(seen) < NEAR:
            for edge in self._in[waiting.pop(0)]:
                source = self._ends[edge][0]
                if self._numbers.graph.nodes[source].op.startswith("WhereBackward"):
                    return True
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
        return False

    def _bad(self, place: int) -> bool:
        outputs = range(self._numbers.graph.nodes[place].outputs)
        return any(_kind(self._numbers.used(place, output)) is not None for output in outputs)

    def _arrives(self, place: int) -> bool:
        """Whether a gradient has come in, and was finite until a hook took it."""
        arrived = [self._numbers.arrived(place, output) for output in range(self._numbers.graph.nodes[place].outputs)]
        return any(summary is not None and _kind(summary) is None for summary in arrived)

    def _operands(self, place: int) -> list[int]:
        """What a node was computed from; through nodes whose value is not known, such as the inner ones of a call."""
        found: list[int] = []
        seen = {place}
        waiting = [place]
        while waiting:
            for target in [self._ends[edge][1] for edge in self._out[waiting.pop()]]:
                if target not in seen:
                    seen.add(target)
                    (waiting if self.value(target) is None else found).append(target)
        return found


def _kind(summary: model.TensorSummary | None) -> str | None:
    """What of a tensor is not finite: NaN before Inf; ``None`` if nothing is, or it is not known."""
    if summary is None:
        return None
    return "NaN" if summary.nan else "Inf" if summary.inf else None


def unharmed(recording: Recording, step: int) -> bool:
    """Whether the parameters were finite after a step and are so after the last, and its loss is no NaN.

    A loss that is Inf does no harm by itself: a GradScaler looks for its scale that way.
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
