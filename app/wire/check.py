"""Check what a schema cannot express: columns have matching lengths, and every index refers to something emitted before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from ..errors import ProtocolError
from ..model import Limits
from .bounds import INT32, INT64, LEAVES, POINTS, PROBES, ROWS, WATCHED
from .columns import check_range, check_rows, column, int32
from .events import (
    IS_ERROR,
    IS_TEXT,
    Answer,
    AnyEvent,
    Checked,
    CountedLeaves,
    CountedSteps,
    CountLost,
    Dependence,
    DistributionRow,
    Distributions,
    EndEvent,
    ExpressionUnreadable,
    ExpressionValues,
    Factors,
    GraphEvent,
    LineRow,
    LinesEvent,
    ModuleFileEvent,
    ParameterEvent,
    PassEvent,
    Refused,
    StepEvent,
    StoppedAt,
    Surface,
)
from .graphs import PER_NODE, GraphColumns, check_graph
from .origins import Origins, check_no_file
from .signals import (
    Broadcast,
    Caught,
    GradientModified,
    KeptByReference,
    LeafRebound,
    NonLeafGrad,
    PassFailed,
    RequiresGradLate,
    Signal,
    StepsSummarized,
    StepsUnrecorded,
)
from .tables import check_table

_OF_A_STEP: Final = (
    PassFailed, LeafRebound, NonLeafGrad, RequiresGradLate, Broadcast, GradientModified, StepsSummarized, StepsUnrecorded,
    KeptByReference,
)  # fmt: skip
"""The signals that refer to a step."""


class EventChecker:
    """Checks the events of one recording, in order.

    ``lines`` is the number of lines of the program; without it, lines are not compared. ``replay`` allows the events that
    answer a replay. The events of a ``confined`` program may name no file.
    """

    def __init__(self, limits: Limits, *, lines: int | None = None, replay: bool = False, confined: bool = True) -> None:
        self._limits = limits
        self._lines = INT32 - 1 if lines is None else lines
        self._replay = replay
        self._origins = Origins(confined)
        self._graphs: list[GraphColumns] = []
        self._passes = 0
        self._steps = 0
        self._parameters = 0
        self._watched = 0

    def check(self, event: AnyEvent) -> None:
        """Check the next event. Raises :class:`ProtocolError` if it is invalid."""
        match event:
            case GraphEvent():
                if event.index != len(self._graphs):
                    raise ProtocolError("a graph's index is out of order")
                self._graphs.append(check_graph(event, self._limits, self._graphs, self._parameters, self._lines))
                self._origins.check_graph(event)
            case PassEvent():
                self._check_pass(event)
            case StepEvent():
                self._check_step(event)
            case LinesEvent():
                self._check_rows(event.rows, check_table(event.tensors))
            case ParameterEvent():
                if event.index != self._parameters:
                    raise ProtocolError("a parameter's index is out of order")
                self._check_lines((event.line,))
                self._origins.check(event.origin)
                self._parameters += 1
            case ModuleFileEvent():
                self._origins.name(event)
            case _ if isinstance(event, Answer):
                self._check_answer(event)
            case Signal():
                self._check_signal(event)
            case StoppedAt():
                self._check_lines((event.line,))
            case EndEvent():
                self._check_end(event)
            case _:
                pass

    def _check_pass(self, event: PassEvent) -> None:
        if event.index != self._passes or event.parent >= event.index > 0:
            raise ProtocolError("a pass's index is out of order")
        if event.graph >= len(self._graphs):
            raise ProtocolError("a pass refers to a graph that does not exist")
        if event.step > self._steps:
            raise ProtocolError("a pass belongs to a step that has not begun")
        self._check_lines((event.line,))
        self._origins.check(event.origin)
        self._passes += 1
        rows = check_table(event.tensors)
        nodes, outputs, edges, saved = self._graphs[event.graph] if event.graph >= 0 else (0, 0, 0, 0)
        check_range(int32(event.order, "order"), 0, nodes, "order")
        if len(event.order) // 4 > PER_NODE * nodes or event.failed >= nodes:
            raise ProtocolError("a pass ran more nodes than its graph has")
        lengths = {"value": nodes, "arrived": outputs, "used": outputs, "edge": edges, "saved": saved}
        check_rows(event, lengths, rows)

    def _check_step(self, step: StepEvent) -> None:
        if step.index != self._steps:
            raise ProtocolError("a step's index is out of order")
        if step.main >= self._passes or max(step.passes, default=-1) >= self._passes:
            raise ProtocolError("a step refers to a pass that does not exist")
        self._steps += 1
        _check_once(step.passes, "a step has a pass twice")
        for lines in (step.forward, step.loss, step.backward, step.update):
            self._check_lines(lines)
            _check_once(lines, "a phase has a line twice")
        if step.iteration is not None:
            self._check_lines(step.iteration[:1])
        table_rows = check_table(step.tensors)
        self._check_rows(step.values, table_rows)
        self._origins.check(*step.update_origins)
        rows = [step.loss_row, *step.losses.values()]
        for parameter in step.parameters:
            rows += (parameter.value, parameter.contribution, parameter.grad_before, parameter.grad_after)
            rows += (parameter.value_after, parameter.grad_used, parameter.update, *parameter.state.values())
        self._check_parameters([parameter.parameter for parameter in step.parameters], "a step has a parameter twice")
        if sum(len(group.parameters) for group in step.groups) > LEAVES:
            raise ProtocolError("the groups of a step have more parameters than a graph may have leaves")
        for group in step.groups:
            self._check_parameters(group.parameters, "a group has a parameter twice")
        for rebind in step.rebinds:
            if rebind.parameter >= self._parameters or rebind.graph >= len(self._graphs):
                raise ProtocolError("a rebind refers to a parameter or graph that does not exist")
            self._check_lines((rebind.line,))
            rows.append(rebind.row)
        if max(rows) >= table_rows:
            raise ProtocolError("a step refers to a row that does not exist")

    def _check_parameters(self, indices: Sequence[int], twice: str) -> None:
        if max(indices, default=-1) >= self._parameters:
            raise ProtocolError("a step refers to a parameter that does not exist")
        _check_once(indices, twice)

    def _check_rows(self, lines: Sequence[LineRow], rows: int) -> None:
        for line in lines:
            if line.row >= rows or line.graph >= len(self._graphs):
                raise ProtocolError("a line refers to a row or graph that does not exist")
        check_no_file(line.file for line in lines)
        numbers = [line.line for line in lines]
        self._check_lines(numbers)
        _check_once(numbers, "a line has two values")

    def _check_lines(self, lines: Iterable[int]) -> None:
        if max(lines, default=-1) > self._lines:
            raise ProtocolError("an event refers to a line that the program does not have")

    def _check_end(self, end: EndEvent) -> None:
        if end.status not in ("done", "failed"):
            raise ProtocolError("an end event has a status that only the server may set")
        if end.failure is not None:
            check_no_file((end.failure.file,))
            self._origins.check(end.failure.origin)
            self._check_lines((end.failure.line - 1,))  # if the program ends too early, the line after its last one fails

    def _check_signal(self, signal: Signal) -> None:
        self._check_lines((signal.line,))
        if isinstance(signal, _OF_A_STEP):
            self._check_step_begun(signal.step)
        match signal:
            case Caught():
                self._check_lines((signal.handler,))
            case PassFailed():  # the event of the pass itself follows
                self._check_lines((signal.raised, signal.changed))
                self._check_node(signal.graph, signal.node)
                if signal.earlier >= len(self._graphs):
                    raise ProtocolError("a signal refers to a graph that does not exist")
            case GradientModified():  # the event of the pass itself follows
                self._check_node(signal.graph, max(signal.node, signal.shared))
            case KeptByReference():
                self._check_lines((signal.kept,))
            case NonLeafGrad() if signal.graph >= len(self._graphs):
                raise ProtocolError("a signal refers to a graph that does not exist")
            case LeafRebound() if signal.parameter >= self._parameters:
                raise ProtocolError("a signal refers to a parameter that does not exist")
            case _:
                pass

    def _check_step_begun(self, step: int) -> None:
        if step > self._steps:
            raise ProtocolError("a signal refers to a step that has not begun")

    def _check_node(self, graph: int, node: int) -> None:
        if graph >= len(self._graphs):
            raise ProtocolError("a signal refers to a graph that does not exist")
        if node >= self._graphs[graph].nodes:
            raise ProtocolError("a signal refers to a node that does not exist")

    def _check_answer(self, answer: Answer) -> None:
        if not self._replay:
            raise ProtocolError("an event answers a replay that was not requested")
        match answer:
            case Surface():
                axes = [len(column(axis, 8, "axes")) // 8 for axis in answer.axes]
                points = int(np.prod(axes))
                if not len(axes) == len(answer.at) == len(answer.slope):
                    raise ProtocolError("a surface has a different number of axes and slopes")
                if not 0 < points <= POINTS:
                    raise ProtocolError(f"a surface has {points:,} points")
                column(answer.losses, 8, "losses", points)
                column(answer.failed, 1, "failed", points)
            case Checked():
                if answer.parameter >= self._parameters:
                    raise ProtocolError("a gradient check refers to a parameter that does not exist")
                count = len(answer.verdict)
                for name in ("elements", "recorded", "central", "left", "right", "tolerance"):
                    column(getattr(answer, name), 8, name, count)
                check_range(np.frombuffer(answer.elements, "<i8"), 0, 2**62, "elements")
                check_range(np.frombuffer(answer.verdict, np.uint8), 0, 5, "verdict")
            case Factors():
                table_rows = check_table(answer.tensors)
                rows = [row.row for row in answer.factors]
                rows += [row for product in answer.products for row in (product.given, product.summed)]
                if max(rows, default=-1) >= table_rows:
                    raise ProtocolError("a factor refers to a row that does not exist")
            case Distributions():
                for row in (answer.value, *answer.gradients):
                    if row is not None:
                        _check_distribution(row)
            case Dependence():
                _check_dependence(answer)
            case ExpressionValues():
                self._check_watched(answer)
            case CountedSteps():
                if answer.first != self._steps:
                    raise ProtocolError("a counted step's index is out of order")
                passes = int32(answer.passes, "passes")
                check_range(passes, 0, INT32, "passes")
                self._steps += len(passes)
                column(answer.roots, 8, "roots")
            case CountedLeaves():
                table_rows = check_table(answer.tensors)
                for name in ("values", "gradients", "after"):
                    check_range(int32(getattr(answer, name), name), -1, table_rows, name)
            case ExpressionUnreadable() | CountLost() | Refused():
                pass

    def _check_watched(self, watched: ExpressionValues) -> None:
        count = len(watched.kinds)
        self._watched += count
        if self._watched > WATCHED:
            raise ProtocolError("a replay has too many values of its expression")
        column(watched.numbers, 8, "numbers", count)
        check_range(int32(watched.steps, "steps", count), 0, self._steps + 1, "steps")
        check_range(int32(watched.lines, "lines", count), 0, self._lines + 1, "lines")
        kinds = np.frombuffer(watched.kinds, np.uint8)
        check_range(kinds, 0, IS_ERROR + 1, "kinds")
        if len(watched.texts) != int(np.count_nonzero(kinds >= IS_TEXT)):
            raise ProtocolError("a replay has a different number of values and texts")


def _check_distribution(row: DistributionRow) -> None:
    size = math.prod(row.shape)
    positions = [position for position, _ in row.largest] + ([row.bad[0]] if row.bad else [])
    if size > INT64 or max(positions, default=-1) >= size or sum(row.counts) > size:
        raise ProtocolError("a distribution has more elements than its tensor")


def _check_dependence(answer: Dependence) -> None:
    if answer.length > ROWS:
        raise ProtocolError(f"a dependence has {answer.length:,} rows")
    for row in answer.data:
        rows = int32(row.rows, "rows")
        if len(rows) > PROBES or row.dimension >= len(row.shape) or row.shape[row.dimension] != answer.length:
            raise ProtocolError("a dependence does not fit the shape of its data")
        check_range(rows, 0, answer.length, "rows")
        column(row.reached, 1, "reached", len(rows) * answer.length)


def _check_once(numbers: Sequence[int], twice: str) -> None:
    """Raise :class:`ProtocolError` with the message ``twice`` if a number occurs twice."""
    if len(set(numbers)) < len(numbers):
        raise ProtocolError(twice)
