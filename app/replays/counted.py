"""Decide whether a watch or a search may run without the recorder, and compare such a replay with the recording.

The tracer runs the program as it is, counts its marked statements and thereby knows the step. These numbers are compared:

- for every step, the loss, which has to be a single real number, and the number of passes that had begun at its end;
- for the first step, every hundredth one and the last, the parameters before the pass and their gradients after it;
- the parameters after the last step, except those whose names were then bound to other tensors.

No other numbers are compared. If anything differs, :attr:`CountedProof.lost` is true. The program is then replayed with the
recorder, which decides whether it is repeatable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from .. import wire
from ..errors import NotFound
from ..recording import Recording, Tensors
from .proof import agrees

EVERY: Final = 100
"""Interval of the steps whose parameters are compared."""
MOST: Final = 200_000
"""Largest number of steps of a counted replay. The job contains the position at which each step ends."""


def counted_order(recording: Recording, order: wire.ReplayOrder) -> wire.ReplayOrder | None:
    """Return the order of a watch or a search, changed so that the replay counts the steps.

    Returns ``None`` for other orders, and if the recording does not know where each step ended.
    """
    log, last = recording.recorded, order.step
    if not order.evaluates or last >= MOST or any(each.kind == "implicit" for each in log.passes(0, 1)):
        return None
    ran, statements, inside, passes = list[int](), list[int](), bytearray(), list[int]()
    for index in range(last + 1):
        step = log.step(index)
        if step.ended is None or step.main < 0:
            return None
        ran.append(step.ended.ran)
        statements.append(step.ended.last)
        inside.append(step.ended.inside)
        if index % EVERY == 0 or index == last:
            passes.append(step.main)
    counted = wire.CountedOrder(np.array(ran, "<i4").tobytes(), np.array(statements, "<i4").tobytes(), bytes(inside), passes)
    return msgspec.structs.replace(order, counted=counted)


class CountedProof:
    """The comparison of a counted replay with the recording. It also collects the values of the expression.

    It has the attributes of :class:`~tapedeck.replays.proof.Proof` that a result needs.
    """

    difference: Final = None
    """A difference is not described: the replay with the recorder finds it again."""
    whole: Final = None

    def __init__(self, recording: Recording, step: int, *, seeks: bool) -> None:
        self._log = recording.recorded
        self._step = step
        self._seeks = seeks
        self._roots: list[float] = []
        """The roots of all passes so far."""
        self._begun = 0
        """Number of passes of the recording up to the end of the compared steps."""
        self._parameters_agree = False
        """True once the parameters after the last step have been compared."""
        self.answers: list[wire.Answer] = []
        self.unreadable: str | None = None
        """The reason why the watched expression cannot be evaluated; ``None`` if it can."""
        self.steps = 0
        """Number of steps that equal the recorded ones."""
        self.lost = False
        """True if the replay differs from the recording, or cannot know the steps."""
        self.end: wire.EndEvent | None = None

    @property
    def complete(self) -> bool:
        """True if everything that is compared is equal up to the end of the step."""
        return not self.lost and self._parameters_agree and self.steps > self._step

    @property
    def over(self) -> bool:
        """True if no further events are needed."""
        return self.lost or self.complete or self.end is not None or self.unreadable is not None

    def feed(self, events: Iterable[wire.AnyEvent]) -> None:
        """Compare the next events."""
        for event in events:
            if self.over:
                return
            try:
                self._compare(event)
            except NotFound:  # the event names a step or a pass that was not recorded
                self.lost = True

    def _compare(self, event: wire.AnyEvent) -> None:
        match event:
            case wire.ExpressionValues():
                self.answers.append(event)
                if self._seeks:
                    self._step = min(self._step, _found(event))
            case wire.CountedSteps():
                self._roots += np.frombuffer(event.roots, "<f8").tolist()
                for begun in wire.int32(event.passes, "passes").tolist():
                    self._compare_step(begun)
            case wire.CountedLeaves():
                self._compare_leaves(event)
            case wire.CountLost() | wire.RecorderFailed():
                self.lost = True
            case wire.ExpressionUnreadable():
                self.unreadable = event.reason
            case wire.EndEvent():
                self.end = event
                self.lost = event.status in ("done", "failed")  # earlier than the recording
            case _:
                pass

    def _compare_step(self, begun: int) -> None:
        if self.lost:
            return
        step = self._log.step(self.steps)
        self._begun = max(self._begun, *(index + 1 for index in step.passes))
        inside = step.ended is not None and step.ended.inside  # otherwise the pass that ended the step may have begun too
        if begun < self._begun or (inside and begun > self._begun) or len(self._roots) < self._begun:
            self.lost = True
            return
        recorded = _number(Tensors(step.tensors), step.loss_row)
        self.lost = recorded is None or not _equal(self._roots[step.main], recorded)
        self.steps += not self.lost

    def _compare_leaves(self, event: wire.CountedLeaves) -> None:
        """Compare the leaves of a pass with the parameters of its step, or with those after the last step."""
        log, tensors = self._log, Tensors(event.tensors)
        pass_ = log.pass_(event.index)
        parameters = [] if pass_.graph < 0 else wire.int32(log.graph(pass_.graph).parameter, "parameter").tolist()
        leaves = [parameter for parameter in parameters if parameter >= 0]
        step = log.step(self._step if event.after else pass_.step)
        recorded, rows = Tensors(step.tensors), {row.parameter: row for row in step.parameters}
        columns: tuple[tuple[bytes, str], ...] = ((event.after, "value_after"),)
        if event.after:  # a name that was bound to another tensor has a new leaf, which the replay does not follow
            leaves = [-1 if parameter in {row.parameter for row in step.rebinds} else parameter for parameter in leaves]
        else:
            columns = ((event.values, "value"), (event.gradients, "grad_after"))
            if step.passes[0] != step.main:  # the parameters and gradients of the first pass were recorded before it
                columns = ((event.gradients, "grad_after"),)
        for column, name in columns:
            sent = wire.int32(column, name).tolist()
            if len(sent) != len(leaves):
                self.lost = True
                return
            for parameter, row in zip(leaves, sent, strict=True):
                known = getattr(rows.get(parameter), name, -1)
                if known >= 0 and row >= 0 and not agrees(recorded.summary(known), tensors.summary(row)):
                    self.lost = True
                    return
        self._parameters_agree = bool(event.after)


def _found(event: wire.ExpressionValues) -> int:
    """Return the step of the first value that is not an error."""
    steps = zip(event.kinds, wire.int32(event.steps, "steps").tolist(), strict=True)
    return next((step for kind, step in steps if kind != wire.IS_ERROR), wire.INT32)


def _number(tensors: Tensors, row: int) -> float | None:
    """Return the element of a tensor with one real element, else ``None``."""
    array = tensors.array(row)
    return None if array is None or array.size != 1 or array.dtype.kind == "c" else float(array.item())


def _equal(one: float, two: float) -> bool:
    return one == two or (math.isnan(one) and math.isnan(two))
