"""Find the origin of the first harmful NaN or ∞: in the data, a forward operation, a gradient, or an update.

A NaN or ∞ is harmful if it reaches a root, the gradient of a leaf, or a parameter. The −∞ of a mask is not harmful, nor is
a NaN that ``where`` leaves out. The search starts from the harmful number and follows the graph back to the node that computed
it from finite numbers.

A gradient may stop being finite at a node whose own value is not finite. The value was computed first, so the search then
continues in the forward pass, even if later lines left the value out of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

from ... import model, wire
from ...recording import Recording
from ...recording.pass_numbers import PassNumbers
from ...recording.tensors import Tensors

NEAR = 50
"""Largest number of nodes, on the way of a gradient to a node, that are searched for a ``where``."""
NESTED = 200
"""Largest number of passes that are searched for passes nested in an earlier one."""
DELIBERATE = ("MaskedFill", "Fill", "Where", "Copy", "IndexPut", "Constant")
"""Operations by which a program writes an ∞ on purpose."""
_BOTH = ("-Infinity", "Infinity")
_FINE, _DELIBERATE, _HARMFUL = range(3)
"""Level of a value: finite, an ∞ that is written on purpose or computed from one, any other ∞ or NaN."""


@dataclass(frozen=True)
class Operand:
    """A value that a node was computed from, with the name of its variable if it has one."""

    name: str | None
    value: model.TensorSummary


@dataclass(frozen=True)
class Origin:
    """The origin of a NaN or an ∞."""

    step: int
    pass_: int
    index: int
    """Index of the node in the graph of ``pass_``; -1 if an update of ``parameter`` is the origin."""
    what: str
    """One of "NaN", "∞", "−∞" and "±∞"."""
    where: str
    """Kind of the origin.

    - "given": the value of a leaf or a constant
    - "value": a computed value
    - "gradient": the gradient that a node passes on
    - "hook": the gradient that a hook returned
    - "sum": the sum of the gradients that arrive at a node
    - "start": the gradient that the pass started from
    - "update": the update of a parameter
    """
    parameter: int = -1
    inputs: tuple[Operand, ...] = ()
    """Operands of the node."""
    left_out: bool = False
    """True if later lines left the value out of the root, so that only its gradient did harm."""
    behind_where: bool = False
    """True if the gradient reached the node through a ``where``."""


def origin(recording: Recording) -> Origin | None:
    """Return the origin of the first harmful NaN or ∞ of a run, ``None`` if there is none."""
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
        if (what := kind(tensors.summary(row.value_after))) is not None:
            return Origin(index, step.main, -1, what, "update", row.parameter)
    return None


def _in_pass(recording: Recording, step: int, index: int) -> Origin | None:
    if recording.log.pass_(index).graph < 0:
        return None
    numbers = recording.numbers(index)
    nodes = numbers.graph.nodes
    roots = [root for root in map(numbers.node_index, numbers.graph.roots) if kind(numbers.value(root)) is not None]
    leaves = [leaf for leaf, node in enumerate(nodes) if node.kind == "leaf" and kind(numbers.used(leaf)) is not None]
    if not roots and not leaves:
        return None
    trace = _Trace(numbers)
    if roots:
        return trace.origin(step, index, *trace.forward(roots, excuse=False))
    changes = trace.backward(leaves[0])
    earlier = trace.forward([node for _, node, where in changes if where == "gradient"], excuse=True)
    if earlier[0] >= 0:
        return trace.origin(step, index, *earlier, left_out=True)
    _, found, where = min(changes, default=(0, leaves[0], "gradient"))
    nested = _nested(recording, step, index) if where == "gradient" else None
    what = trace.passed_on(found) or kind(numbers.used(leaves[0])) or "NaN"
    return nested or trace.origin(step, index, found, where, what=what)


def _nested(recording: Recording, step: int, parent: int) -> Origin | None:
    """Return the origin in a nested pass, such as the pass of a checkpoint."""
    nested = [index for index in recording.log.step(step).passes if index > parent][:NESTED]
    for index in nested:
        if recording.log.pass_(index).parent == parent:
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
        self._rank = {node: position for position, node in enumerate(wire.int32(numbers.event.order, "order").tolist())}

    def origin(
        self, step: int, pass_: int, node: int, where: str, *, what: str | None = None, left_out: bool = False
    ) -> Origin:
        """Return the origin at a node: its gradient is ``what``, such as "NaN". Without ``what``, its value is the origin."""
        behind = (what is not None or left_out) and self.behind_where(node)
        what = what or kind(self._numbers.value(node)) or "NaN"
        return Origin(step, pass_, node, what, where, inputs=self.inputs(node), left_out=left_out, behind_where=behind)

    def value(self, node: int) -> bool | None:
        """Return whether the value of a node has NaN or ∞, ``None`` if that is unknown."""
        summary = self._numbers.value(node)
        return None if summary is None or summary.nan is None else kind(summary) is not None

    def forward(self, starts: list[int], *, excuse: bool) -> tuple[int, str]:
        """Return the first node with a value that is not finite, and ``Origin.where``: "given" or "value".

        The ``starts`` and everything they were computed from are searched. The node is -1 if all values are finite. A NaN
        computed from an ∞ that the program writes on purpose is an origin. The ∞ itself is returned only if ``excuse`` is
        false and nothing else is found.

        Each node is visited once, after the nodes that it was computed from. In a forged graph with a cycle, some nodes are
        visited too early.
        """
        below: dict[int, int] = {}
        origins: list[tuple[int, int]] = []  # level and node
        first, entered = set(starts), set[int]()
        waiting = [(start, False) for start in first]
        while waiting:
            node, done = waiting.pop()
            bad = self.value(node)
            if node in below or (bad is False and node not in first) or (node in entered and not done):
                continue
            targets = [self._ends[edge][1] for edge in self._out[node]]
            if not done:
                entered.add(node)
                waiting.append((node, True))
                waiting += [(target, False) for target in targets if target not in below]
                continue
            worst = max((below.get(target, _FINE) for target in targets), default=_FINE)
            if bad:
                made = self._made(node, worst)
                if made > worst:
                    origins.append((made, node))
                worst = max(made, worst)
            below[node] = worst
        wanted = [node for level, node in origins if level == _HARMFUL]
        if not wanted and not excuse:
            wanted = [node for _, node in origins]
        if not wanted:
            return -1, ""
        found = max(wanted, key=self._rank_of_use)
        return found, "value" if self._numbers.graph.nodes[found].kind == "op" else "given"

    def _made(self, node: int, below: int) -> int:
        """Return the level of the value of a node. ``below`` is the highest level among its operands."""
        this = self._numbers.graph.nodes[node]
        if kind(self._numbers.value(node)) == "NaN":
            return _HARMFUL
        if below != _FINE:
            return below  # an ∞ computed from another ∞
        return _DELIBERATE if this.kind != "op" or this.op.startswith(DELIBERATE) else _HARMFUL

    def _rank_of_use(self, node: int) -> tuple[int, bool]:
        """Return a rank of a node, highest for the node that ran last in the backward pass and first in the forward pass."""
        if node in self._rank:
            return self._rank[node], False
        return max((self._rank.get(self._ends[edge][0], -1) for edge in self._in[node]), default=-1), True

    def backward(self, leaf: int) -> list[tuple[int, int, str]]:
        """Return the nodes where a leaf's gradient stopped being finite, as (rank in the engine's order, node, ``where``)."""
        rank = self._rank
        roots = set(self._numbers.graph.roots)
        seen = {leaf}
        waiting = [leaf]
        found: list[tuple[int, int, str]] = []
        while waiting:
            at = waiting.pop()
            sources = [self._ends[edge][0] for edge in self._in[at] if kind(self._numbers.edge(edge)) is not None]
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
        return found

    def passed_on(self, node: int) -> str | None:
        """Return :func:`kind` of the gradients that a node passes on, NaN before ∞, ``None`` if all are finite."""
        kinds = [kind(self._numbers.edge(edge)) for edge in self._out[node]]
        return next((kind for kind in ("NaN", "∞", "−∞", "±∞") if kind in kinds), None)

    def inputs(self, node: int) -> tuple[Operand, ...]:
        """Return the recorded values that a node was computed from. A divisor without a node is the saved tensor ``other``."""
        nodes = self._numbers.graph.nodes
        found = [(nodes[each].name, self._numbers.value(each)) for each in self._operands(node)]
        if len(found) == 1 and nodes[node].op.startswith("DivBackward") and "other" in nodes[node].saved:
            found.append((None, self._numbers.saved(node, nodes[node].saved.index("other"))))
        return tuple(Operand(name, summary) for name, summary in found if summary is not None)

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
        return any(kind(self._numbers.used(node, output)) is not None for output in outputs)

    def _arrives(self, node: int) -> bool:
        """Return whether a finite gradient arrived at a node, before its hooks ran."""
        arrived = [self._numbers.arrived(node, output) for output in range(self._numbers.graph.nodes[node].outputs)]
        return any(summary is not None and kind(summary) is None for summary in arrived)

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


def kind(summary: model.TensorSummary | None) -> str | None:
    """Return "NaN", "∞", "−∞" or "±∞" if a tensor has one, NaN before ∞, and ``None`` if it is finite or unknown."""
    if summary is None or not (summary.nan or summary.inf):
        return None
    if summary.nan:
        return "NaN"
    return "±∞" if (summary.min, summary.max) == _BOTH else "−∞" if summary.min == _BOTH[0] else "∞"


def unharmed(recording: Recording, step: int) -> bool:
    """Return whether the parameters are finite after a step and after the last step, and the last loss is not NaN.

    The loss of the given step itself is not examined. A loss that is ∞ is harmless by itself: a ``GradScaler`` skips such steps
    until its scale is small enough.
    """
    last = recording.log.counts()[2] - 1
    for index in {step, last}:
        event = recording.log.step(index)
        tensors = Tensors(event.tensors)
        if any(kind(tensors.summary(row.value_after)) is not None for row in event.parameters):
            return False
        if index != step and kind(tensors.summary(event.loss_row)) == "NaN":
            return False
    return True
