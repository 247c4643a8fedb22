"""Compare the events of a replay with the recording number by number, and find the first difference.

The comparison includes the graphs, every number of every pass, and the parameters with their updates and states. It also
includes the options of optimizers, the lines that ran, and the values of lines that require a gradient. It excludes other
values of lines. A program may display the time or uninitialized memory and still repeat everything that its gradients depend
on.

A step or pass of which the recording or the replay has only a summary is compared by what both have: the graph, the order of
the nodes, the lines, the losses, and the parameters with their gradients and updates. A replay that evaluates an expression has
only summaries.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from .. import model, wire
from ..errors import NotFound
from ..recording import Recording, Tensors, WholeStep, title
from .result import Difference

LINE: Final = "the value on line "
ROUNDING: Final = 1e-6
"""Largest relative difference allowed between two means or norms of a tensor, because of rounding; see :func:`agrees`."""


class Proof:
    """The comparison of a replay with the recording up to the end of a step. It also collects the results of the replay.

    A replay that ``seeks`` ends earlier: with the step in which it has found a value. A replay that ``enlarges`` the step
    records the elements of tensors of which the recording has only statistics.
    """

    def __init__(self, recording: Recording, step: int, *, seeks: bool = False, enlarges: bool = False) -> None:
        self._log = recording.recorded
        self._recording = recording
        self._seeks = seeks
        self._enlarges = enlarges
        self._step = step
        self._parameters = [event for event in self._log.others() if isinstance(event, wire.ParameterEvent)]
        self._seen_parameters = 0
        self.answers: list[wire.Answer] = []
        self.unreadable: str | None = None
        """The reason why the watched expression cannot be evaluated; ``None`` if it can."""
        self.difference: Difference | None = None
        self.steps = 0
        """Number of steps that equal the recorded ones."""
        self.end: wire.EndEvent | None = None
        self._passes: dict[int, wire.PassEvent] = {}
        """The passes of the current step that have more numbers than the recorded ones."""
        self.whole: WholeStep | None = None
        """The step of the replay, if it has more numbers than the recorded one."""

    @property
    def complete(self) -> bool:
        """True if all compared numbers up to the end of the step equal the recorded ones."""
        return self.steps > self._step and self.difference is None

    @property
    def over(self) -> bool:
        """True if no further events are needed."""
        finished = self.steps > self._step or self.difference is not None
        return finished or self.end is not None or self.unreadable is not None

    def feed(self, events: Iterable[wire.AnyEvent]) -> None:
        """Compare the next events."""
        for event in events:
            if self.over:
                return
            match event:
                case wire.ExpressionValues() if self._seeks and _found(event):
                    self._step = self.steps
                    self.answers.append(event)
                case (
                    wire.Surface()
                    | wire.Checked()
                    | wire.Factors()
                    | wire.Distributions()
                    | wire.Dependence()
                    | wire.ExpressionValues()
                    | wire.Refused()
                ):
                    self.answers.append(event)
                case wire.ExpressionUnreadable():
                    self.unreadable = event.reason
                case wire.ParameterEvent() | wire.GraphEvent() | wire.PassEvent() | wire.StepEvent():
                    self.difference = self._compared(event)
                    if isinstance(event, wire.StepEvent) and self.difference is None:
                        self.steps += 1
                case wire.EndEvent():
                    self.end = event
                case _:
                    pass

    def _compared(self, event: wire.ParameterEvent | wire.GraphEvent | wire.PassEvent | wire.StepEvent) -> Difference | None:
        try:
            recorded = self._recorded(event)
        except (NotFound, IndexError):
            return self._differ("the order of passes and steps", None, None)
        if wire.pack([recorded]) == wire.pack([event]):
            return None
        match event, recorded:
            case wire.PassEvent(), wire.PassEvent() if event.summary or recorded.summary:
                return self._compared_by_summary(event, recorded)
            case wire.StepEvent(), wire.StepEvent() if event.summary or recorded.summary:
                return self._compared_by_summary(event, recorded)
            case wire.PassEvent(), wire.PassEvent() if _bare(event) == _bare(recorded):
                enlarged = self._enlarges and event.step == self._step
                if enlarged:
                    self._passes[event.index] = event
                pairs = [] if event.graph < 0 else zip(self._of_pass(recorded), self._of_pass(event), strict=True)
                return self._first(pairs, recorded.tensors, event.tensors, agrees if enlarged else operator.eq)
            case wire.StepEvent(), wire.StepEvent() if _bare(event) == _bare(recorded):
                enlarged = self._enlarges and event.index == self._step
                if enlarged:
                    self.whole = WholeStep(event, self._passes)
                pairs = zip(_of_step(recorded), _of_step(event), strict=True)
                return self._first(pairs, recorded.tensors, event.tensors, agrees if enlarged else operator.eq)
            case wire.PassEvent(), _:
                return self._differ("the order in which nodes ran", None, None)
            case wire.StepEvent(), _:
                return self._differ("which lines ran", None, None)
            case wire.ParameterEvent(), wire.ParameterEvent():
                return self._differ(f"the parameter {event.name or recorded.name}", recorded.shape, event.shape)
            case _:
                return self._differ("the graph that it builds", None, None)

    def _compared_by_summary(
        self, event: wire.PassEvent | wire.StepEvent, recorded: wire.PassEvent | wire.StepEvent
    ) -> Difference | None:
        """Compare the parts that both events have, if one is a summary. Keep a whole event if the recorded one is a summary."""
        if _bare(_summary(event)) != _bare(_summary(recorded)):
            what = "which lines ran" if isinstance(event, wire.StepEvent) else "the order in which nodes ran"
            return self._differ(what, None, None)
        completes = recorded.summary and not event.summary
        if isinstance(event, wire.PassEvent):
            if completes:
                self._passes[event.index] = event
            return None
        assert isinstance(recorded, wire.StepEvent)
        old, new = Tensors(recorded.tensors), Tensors(event.tensors)
        rows = dict(_of_step(event))
        for name, row in _of_step(_summary(recorded)):
            one, two = old.summary(row), new.summary(rows[name])
            if row >= 0 and not name.startswith(LINE) and not agrees(one, two):
                return self._differ(name, *_numbers(one, two))
        if completes:
            self.whole, self._passes = WholeStep(event, self._passes), {}
        return None

    def _recorded(self, event: wire.AnyEvent) -> wire.AnyEvent:
        log = self._log
        match event:
            case wire.GraphEvent():
                return log.graph(event.index)
            case wire.PassEvent():
                return log.pass_(event.index)
            case wire.StepEvent():
                return log.step(event.index)
            case _:
                self._seen_parameters += 1
                return self._parameters[self._seen_parameters - 1]

    def _of_pass(self, event: wire.PassEvent) -> Iterator[tuple[str, int]]:
        """Yield the name and the row of each tensor of a pass."""
        graph = self._recording.graph(event.graph)
        columns = {
            name: wire.int32(getattr(event, name), name).tolist() for name in ("value", "arrived", "used", "edge", "saved")
        }
        output = slot = 0
        for index, node in enumerate(graph.nodes):
            name = title(node)
            yield f"the value of {name}", columns["value"][index]
            for _ in range(node.outputs):
                yield f"the gradient at {name}", columns["arrived"][output]
                yield f"the gradient used at {name}", columns["used"][output]
                output += 1
            for saved in node.saved:
                yield f"{saved}, saved by {name}", columns["saved"][slot]
                slot += 1
        for edge, row in zip(graph.edges, columns["edge"], strict=True):
            yield f"the gradient on {edge.id}", row

    def _first(
        self,
        pairs: Iterable[tuple[tuple[str, int], tuple[str, int]]],
        before: wire.TensorTable,
        after: wire.TensorTable,
        alike: Callable[[model.TensorSummary | None, model.TensorSummary | None], bool],
    ) -> Difference | None:
        """Return the first difference. The row numbers are not compared: two names may share a row, so they may differ."""
        old, new = Tensors(before), Tensors(after)
        for (name, row), (_, new_row) in pairs:
            one, two = old.summary(row), new.summary(new_row)
            if not alike(one, two) and not (name.startswith(LINE) and not _differentiable(one) and not _differentiable(two)):
                return self._differ(name, *_numbers(one, two))
        return None

    def _differ(self, name: str, recorded: Any, replayed: Any) -> Difference:
        sentence = f"Not repeatable: in step {self.steps}, {name} differs"
        if recorded is not None or replayed is not None:
            sentence += f": the recording has {_shown(recorded)}, the replay {_shown(replayed)}"
        return Difference(self.steps, name, recorded, replayed, f"{sentence}.")


def _summary(event: wire.PassEvent | wire.StepEvent) -> Any:
    """Return a pass or step without the parts that a summary lacks."""
    if isinstance(event, wire.PassEvent):
        return msgspec.structs.replace(event, summary=True)
    parameters = [msgspec.structs.replace(row, state={}) for row in event.parameters]
    return msgspec.structs.replace(event, summary=True, parameters=parameters)


def agrees(one: model.TensorSummary | None, two: model.TensorSummary | None) -> bool:
    """Return whether a summarized tensor, of which some elements may be missing, agrees with a whole one.

    Means and norms may differ by rounding, since they were computed together with other tensors. If elements cancel, their
    mean is much smaller than they are. The rounding of a mean is therefore compared with the root of their mean square.
    """
    if one is None or two is None:
        return one is two
    exact = ("shape", "dtype", "min", "max", "zeros", "nan", "inf")
    if any(getattr(one, name) != getattr(two, name) for name in exact) or one.values not in (None, two.values):
        return False
    scale = one.norm / math.sqrt(max(math.prod(one.shape), 1)) if isinstance(one.norm, float) else 0.0
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=ROUNDING, abs_tol=slack))
        for a, b, slack in ((one.mean, two.mean, ROUNDING * scale), (one.norm, two.norm, 0.0))
    )


def _found(event: wire.ExpressionValues) -> bool:
    return any(kind != wire.IS_ERROR for kind in event.kinds)


def _bare(event: wire.PassEvent | wire.StepEvent) -> bytes:
    """Return an event without its numbers, packed."""
    replace = msgspec.structs.replace
    if isinstance(event, wire.PassEvent):
        rows = dict.fromkeys(("value", "arrived", "used", "edge", "saved"), b"")
        return wire.pack([replace(event, tensors=wire.TensorTable(), **rows)])
    values = [replace(line, row=-1, text=None) for line in event.values]
    parameters = [
        wire.ParameterRow(row.parameter, row.name, -1, -1, -1, -1, -1, dict.fromkeys(row.state, -1)) for row in event.parameters
    ]
    rebinds = [replace(row, row=-1) for row in event.rebinds]
    bare = replace(
        event,
        tensors=wire.TensorTable(),
        loss_row=-1,
        losses=dict.fromkeys(event.losses, -1),
        values=values,
        parameters=parameters,
        rebinds=rebinds,
        ended=None,
    )
    return wire.pack([bare])


def _of_step(event: wire.StepEvent) -> Iterator[tuple[str, int]]:
    yield event.loss_name or "the loss", event.loss_row
    yield from event.losses.items()
    for row in event.parameters:
        name = row.name or f"p{row.parameter}"
        yield name, row.value
        yield f"the contribution of step {event.index} to {name}.grad", row.contribution
        yield f"{name}.grad before", row.grad_before
        yield f"{name}.grad", row.grad_after
        yield f"{name}.grad at the update", row.grad_used
        yield f"the update of {name}", row.update
        yield f"{name} after the update", row.value_after
        for key, state_row in row.state.items():
            yield f"{key} of {name}", state_row
    for rebind in event.rebinds:
        yield f"the new {rebind.name}", rebind.row
    for line in event.values:
        yield f"{LINE}{line.line}", line.row


def _differentiable(summary: model.TensorSummary | None) -> bool:
    return summary is not None and summary.requires_grad


def _numbers(one: model.TensorSummary | None, two: model.TensorSummary | None) -> tuple[Any, Any]:
    """Return the first elements that differ. Without elements, return the norms. If dtypes or shapes differ, return those."""
    if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
        return tuple(None if each is None else f"{each.dtype} {each.shape}" for each in (one, two))  # type: ignore[return-value]
    if one.values is not None and two.values is not None:
        first, second = list(_flat(one.values)), list(_flat(two.values))
        return next(((a, b) for a, b in zip(first, second, strict=False) if a != b), (one.norm, two.norm))
    return one.norm, two.norm


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
