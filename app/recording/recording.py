"""Read a recording: convert packed events to the values of :mod:`tapedeck.model` when they are first needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar, overload

import numpy as np
from msgspec import UNSET, UnsetType

from .. import model, wire
from ..errors import InvalidInput, NotFound
from . import printed
from .graph_reader import GraphReader
from .log import Log
from .overview import own_lines
from .pass_numbers import PassNumbers
from .room import Room, chosen_passes, first, pass_size, size
from .series import DEFAULT_KEYS, PARAMETER_TENSORS, StepSeries, available_keys, joined, thinned
from .structure import index_or_none
from .tensors import Tensors
from .whole_steps import WholeStepLog, WholeSteps

S = TypeVar("S", bound=wire.Signal)

KEYS_LISTED: Final = 40
"""Largest number of keys listed in the error for a key that no step has."""
KEY_STEPS: Final = 100
"""Number of steps at each end of a run whose keys are listed in the same error."""
MOST_ROWS: Final = 4_000
"""Largest size of each list in the answer of a step: parameters, line values, and values of earlier steps.

The unit is a tensor of ordinary size; see :mod:`.room`.
"""
MOST_PASSES: Final = 1_000
"""Largest number of passes in the answer of a step."""
STEP_PASSES: Final = 2
"""Largest total size of the passes in the answer of a step that include their numbers, as a multiple of ``answer_nodes``."""


class Recording:
    """Everything that was recorded of a run. ``limits`` determines which graphs are too large for one answer."""

    def __init__(self, log: Log, program: str, limits: model.Limits | None = None) -> None:
        self._log: Log = log
        self._whole: WholeSteps | None = None
        self.program = program
        self.limits = limits or model.Limits()
        self._files: list[str] = []
        """The files of the user's own modules, by index."""
        self._graphs = GraphReader(lambda index: self.log.graph(index), self.origin)
        self._line_values = lru_cache(maxsize=16)(self._read_line_values)

    @property
    def log(self) -> Log:
        """The events. Steps that a replay has recorded whole replace their summaries."""
        return self._log

    @log.setter
    def log(self, log: Log) -> None:
        self._log = log if self._whole is None else WholeStepLog(log, self._whole)

    @property
    def recorded(self) -> Log:
        """The events as they were recorded."""
        return self._log.recorded if isinstance(self._log, WholeStepLog) else self._log

    def read_whole(self, whole: WholeSteps) -> None:
        """From now on, read each summarized step from ``whole`` instead of from the log, if ``whole`` has it."""
        self._whole, self.log = whole, self.recorded
        self._line_values.cache_clear()

    def with_elements(self) -> Recording:
        """Return the same recording with the elements of larger tensors, for steps of which a replay has recorded them."""
        if self._whole is None:
            return self
        found = copy(self)
        found._log = WholeStepLog(self.recorded, self._whole, enlarged=True)
        return found

    def enlarged(self, step: int) -> bool:
        """Return whether a replay has recorded the elements of larger tensors in a step."""
        return self._whole is not None and self._whole.get(step, enlarged=True) is not None

    @cached_property
    def summarized(self) -> bool:
        """True if steps of the run are summarized. Read this only after the run has ended, because the value is cached."""
        return bool(self.signals(wire.StepsSummarized))

    def graph(self, index: int) -> model.Graph:
        """Return the structure of graph ``g{index}``. Raises :class:`NotFound` if there is none."""
        return self._graphs.graph(index)

    def formula(self, graph_index: int, node_index: int) -> model.Formula:
        """Return a node of a graph, with the node whose backward formula created it, if any."""
        return self._graphs.formula(graph_index, node_index)

    def origin(self, origin: wire.OriginRow | None) -> model.FileLine | None:
        """Return the line of the user's own module that ``origin`` names, or ``None`` if there is none."""
        if origin is None:
            return None
        if origin.file >= len(self._files):  # the program may have imported more modules since
            self._files = [event.path for event in self.log.others() if isinstance(event, wire.ModuleFileEvent)]
        return model.FileLine(self._files[origin.file], origin.line) if origin.file < len(self._files) else None

    def pass_(self, index: int, *, numbers: bool | None = None) -> model.Pass:
        """Return a pass. ``numbers`` decides whether its numbers are included. Default: if they fit into one answer.

        Raises :class:`NotFound` if there is no such pass.
        """
        event = self.log.pass_(index)
        if event.graph < 0:
            parent, line = index_or_none(event.parent), index_or_none(event.line)
            return model.Pass(
                event.index, event.step, event.kind, parent, "", line, [], {}, {}, origin=self.origin(event.origin)
            )
        with_numbers = self.fits_one_answer(event) if numbers is None else numbers
        read = PassNumbers(event, self.graph(event.graph)) if with_numbers else None
        order = wire.int32(event.order, "order")
        most = len(order) if with_numbers else self.limits.answer_nodes
        return model.Pass(
            index=event.index,
            step=event.step,
            kind=event.kind,
            parent=index_or_none(event.parent),
            graph=f"g{event.graph}",
            line=index_or_none(event.line),
            order=[f"n{node}" for node in order[:most].tolist()],
            nodes=read.nodes() if read else UNSET,
            edges=read.edges() if read else UNSET,
            failed=f"n{event.failed}" if event.failed >= 0 else None,
            origin=self.origin(event.origin),
            omitted=omitted(order=len(order) - most),
        )

    def fits_one_answer(self, event: wire.PassEvent) -> bool:
        """Return whether the numbers of a pass fit into one answer."""
        return pass_size(event) <= self.limits.answer_nodes

    def passes_with_numbers(self, step: wire.StepEvent) -> set[int]:
        """Return the indices of the passes whose numbers fit into the answer of a step. The main pass takes precedence."""
        room = Room(STEP_PASSES * self.limits.answer_nodes)
        in_order = sorted(chosen_passes(step.passes, step.main, MOST_PASSES), key=lambda index: index != step.main)
        events = (self.log.pass_(index) for index in in_order)
        return {event.index for event in events if self.fits_one_answer(event) and room.fits(pass_size(event))}

    def numbers(self, index: int) -> PassNumbers:
        """Return the numbers of a pass. Raises :class:`NotFound` if there is no such pass, or if it has no graph."""
        event = self.log.pass_(index)
        if event.graph < 0:
            raise NotFound(f"Pass {index} has no graph.")
        return PassNumbers(event, self.graph(event.graph))

    def step(self, index: int) -> model.Step:
        """Return a step with its passes. Raises :class:`NotFound` if there is none."""
        event = self.log.step(index)
        tensors = Tensors(event.tensors)
        values = dict(first(((item, size(item[1].tensor, text=item[1].text)) for item in _values(event, tensors)), MOST_ROWS))
        earlier = self.earlier(index, without=event)
        parameters = self.step_parameters(index, 0)
        shown = list(first(((each, size(*_tensors(each))) for each in parameters), MOST_ROWS))
        passes, with_numbers = chosen_passes(event.passes, event.main, MOST_PASSES), self.passes_with_numbers(event)
        return model.Step(
            index=event.index,
            iteration=model.Iteration(*event.iteration) if event.iteration else None,
            lines={"forward": event.forward, "loss": event.loss, "backward": event.backward, "update": event.update},
            values=values,
            main=event.main,
            loss=tensors.summary(event.loss_row),
            loss_name=event.loss_name,
            losses={name: tensors.summary(row) for name, row in event.losses.items()},
            passes=[self.pass_(each, numbers=each in with_numbers) for each in passes],
            parameters=shown,
            rebinds=_rebinds(event, tensors),
            optimizer=event.optimizer,
            groups=[
                model.OptimizerGroup(group.optimizer, [f"p{parameter}" for parameter in group.parameters], group.options)
                for group in event.groups
            ],
            earlier=earlier,
            update_origins=[found for origin in event.update_origins if (found := self.origin(origin)) is not None],
            summary=event.summary,
            omitted=omitted(
                passes=len(event.passes) - len(passes),
                parameters=len(event.parameters) - len(shown),
                values=0 if event.summary else len(own_lines(event)) - len(values),
            ),
        )

    def step_parameters(self, index: int, start: int, stop: int | None = None) -> Iterator[model.ParameterStep]:
        """Yield the parameters of a step, from the one at ``start``. Raises :class:`NotFound` if there is no such step."""
        event = self.log.step(index)
        summary = Tensors(event.tensors).summary
        for row in event.parameters[start:stop]:
            yield model.ParameterStep(
                id=f"p{row.parameter}",
                name=row.name,
                value=summary(row.value),
                contribution=summary(row.contribution),
                grad_before=summary(row.grad_before),
                grad_after=summary(row.grad_after),
                value_after=summary(row.value_after),
                state={key: summary(state_row) for key, state_row in row.state.items()},
                grad_used=summary(row.grad_used),
                update=summary(row.update),
            )

    def earlier(self, step: int, *, without: wire.StepEvent | None = None) -> dict[str, model.EarlierValue]:
        """Return the values of lines when a step began, each from the last earlier step in which the line ran.

        The lines that ran in the step ``without`` are left out. So are lines that no longer fit into one answer.
        """
        run_again = set(own_lines(without)) if without is not None else set()
        room = Room(MOST_ROWS)
        found: dict[str, model.EarlierValue] = {}
        for line, before in sorted(self.log.previous_line_steps(step).items()):
            if line not in run_again:
                value = self._line_values(before).get(str(line))
                if value is None:  # the step is summarized
                    continue
                if not room.fits(size(value.tensor, text=value.text)):
                    break
                found[str(line)] = model.EarlierValue(before, value.text, value.tensor)
        return found

    def leaf(self, index: int, parameter: str) -> str | None:
        """Return the id of a parameter's node in a pass; ``None`` if it has none, or if the index of the pass is -1."""
        graph = self.log.pass_(index).graph if index >= 0 else -1
        nodes = self.graph(graph).nodes if graph >= 0 else []
        return next((node.id for node in nodes if node.parameter == parameter), None)

    def series(
        self, keys: Sequence[str] = (), start: int = 0, count: int | None = None, points: int | None = None
    ) -> StepSeries:
        """Return numbers over steps (see :mod:`.series`). With ``points``, keep about that many steps for each key.

        Raises :class:`InvalidInput` for a key that no step of the run has.
        """
        steps = self.log.counts()[2]
        stop = steps if count is None else min(steps, start + count)
        read = joined(self.log.series(list(dict.fromkeys(keys)) or list(DEFAULT_KEYS), start, stop).values())
        if absent := [key for key in dict.fromkeys(keys) if "*" not in key and key not in read.values]:
            elsewhere = self.log.series(absent, 0, steps)
            for key in absent:
                if steps and key not in elsewhere[key].values:
                    raise InvalidInput(f"No step has {key[:60]!r}: {self._keys_in_words()}.", where="query.key")
                read.values[key], read.present[key] = np.full(len(read.index), np.nan), np.zeros(len(read.index), bool)
        return read if points is None else thinned(read, points)

    def _keys_in_words(self) -> str:
        """Return a sentence that lists keys of the first and of the last steps."""
        steps = self.log.counts()[2]
        ends = ((0, KEY_STEPS), (max(KEY_STEPS, steps - KEY_STEPS), steps))
        names = available_keys(group for start, stop in ends for group in self.log.step_groups(start, stop))
        more = f" and {len(names) - KEYS_LISTED} more" if len(names) > KEYS_LISTED else ""
        return f"this run has {', '.join(names[:KEYS_LISTED])}{more}"

    def _read_line_values(self, step: int) -> dict[str, model.LineValue]:
        event = self.log.step(step)
        return dict(_values(event, Tensors(event.tensors)))

    def rebinds(self, step: int) -> list[model.Rebind]:
        """Return the names of parameters that were bound to another tensor in a step."""
        event = self.log.step(step)
        return _rebinds(event, Tensors(event.tensors)) if event.rebinds else []

    def lines(self) -> list[model.Line]:
        """Return the last values of lines, sorted by line. Lines of the program come before lines of other files."""
        return list(self.some_lines(0))

    def some_lines(self, start: int, stop: int | None = None) -> Iterator[model.Line]:
        """Yield the items of :meth:`lines` from index ``start`` to before ``stop``."""
        event = self.log.lines()
        if event is None:
            return
        tensors = Tensors(event.tensors)
        for row in sorted(event.rows, key=lambda row: (row.file or "", row.line))[start:stop]:
            yield model.Line(
                line=row.line,
                file=row.file,
                text=line_text(row, tensors),
                tensor=tensors.summary(row.row),
                graph=f"g{row.graph}" if row.graph >= 0 else None,
                step=index_or_none(row.at),
            )

    def displayed_values(self, graph: int) -> dict[int, model.TensorSummary]:
        """Return the known values in a graph that no pass reached, by the index of the node.

        The value of a displayed tensor belongs to the root of its graph. The value of a line that assigns to a name belongs to
        the node with this name.
        """
        lines = [line for line in self.lines() if line.tensor is not None]
        of_roots = {line.graph: line.tensor for line in lines if line.graph is not None}
        assigned = {line.line: line.tensor for line in lines if line.file is None}
        structure = self.graph(graph)
        found: dict[int, model.TensorSummary] = {}
        for index, node in enumerate(structure.nodes):
            value = of_roots.get(structure.id) if node.id in structure.roots else None
            if value is None and node.name and node.line is not None and node.file is None:
                after_name = (self.source(node.line) or "").strip().removeprefix(node.name).lstrip()
                if after_name.startswith("=") and not after_name.startswith("=="):
                    value = assigned.get(node.line)
            if value is not None:
                found[index] = value
        return found

    def parameters(self) -> list[model.Parameter]:
        """Return every parameter with all its names."""
        found: dict[int, model.Parameter] = {}
        for event in self.log.others():
            if isinstance(event, wire.ParameterEvent):
                names = found[event.index].names if event.index in found else []
                if event.name is not None and event.name not in names:
                    names = [*names, event.name]
                found[event.index] = model.Parameter(
                    f"p{event.index}", names, event.shape, event.dtype, index_or_none(event.line), self.origin(event.origin)
                )
        return [found[index] for index in sorted(found)]

    def cells(self, program: model.Program) -> list[model.Cell]:
        """Return the program's cells with their printed text, and with their outputs if they ended."""
        outputs = {event.index: event.output for event in self.log.others() if isinstance(event, wire.CellEvent)}
        texts = printed.by_cell(self.log)
        markdown: dict[int, list[str]] = {}
        labels: dict[int, Mapping[str, Any]] = {}
        for note in program.notes:
            if note["code"] == "markdown":
                markdown.setdefault(int(note["line"]), []).append(note["text"])
            elif note["code"] == "cell":
                labels[int(note["line"])] = note
        last = len(program.cells) - 1
        return [
            model.Cell(
                index,
                start,
                end,
                outputs.get(index),
                texts.get((index, "stdout"), ""),
                texts.get((index, "stderr"), ""),
                markdown.get(start, []),
                markdown.get(end + 2, []) if index == last else [],
                labels.get(start, {}).get("text", ""),
                labels.get(start, {}).get("number"),
            )
            for index, (start, end) in enumerate(program.cells)
        ]

    def stdout(self) -> str:
        """Return the text that the program printed to its standard output, as far as it was recorded."""
        return printed.text(self.log, "stdout")

    def stderr(self) -> str:
        """Return the text that the program printed to its standard error, as far as it was recorded."""
        return printed.text(self.log, "stderr")

    def output(self) -> list[model.Printed]:
        """Return the texts that the program printed to both streams, in order, as :class:`~tapedeck.model.Run` has them."""
        return printed.in_order(self.log)

    @overload
    def signals(self) -> list[wire.Signal]: ...

    @overload
    def signals(self, kind: type[S]) -> list[S]: ...

    def signals(self, kind: type[wire.Signal] = wire.Signal) -> Sequence[wire.Signal]:
        """Return the signals of one kind, or all of them, in the order in which they were emitted."""
        return [event for event in self.log.others() if isinstance(event, kind)]

    def graphs(self) -> list[model.GraphSize]:
        """Return the sizes of all graphs."""
        return [model.GraphSize(f"g{index}", nodes, edges) for index, (nodes, edges) in enumerate(self.log.graph_sizes())]

    def last_pass(self, graph: int, *, before: int) -> int | None:
        """Return the last pass over a graph among the thousand passes before ``before``; ``None`` if there is none."""
        if graph < 0:
            return None
        for index in range(min(before, self.log.counts()[1]) - 1, max(-1, before - 1_001), -1):
            if self.log.pass_(index).graph == graph:
                return index
        return None

    def source(self, line: int | None) -> str | None:
        """Return the text of a line of the program, without its indentation."""
        lines = self._source
        return lines[line - 1].strip() if line is not None and 1 <= line <= len(lines) else None

    @cached_property
    def _source(self) -> list[str]:
        return model.program_lines(self.program)


def line_text(line: wire.LineRow, tensors: Tensors) -> str:
    """Return the text of a line's value: its ``repr`` if that was recorded, else a text made from the tensor."""
    if line.text is not None:
        return line.text
    summary = tensors.summary(line.row)
    return "" if summary is None else str(summary.values) if summary.values is not None else f"{summary.shape} {summary.dtype}"


def shown_lines(event: wire.StepEvent) -> list[wire.LineRow]:
    """Return the values of lines of the program. A summarized step has only single numbers and short texts."""
    own = [line for line in event.values if line.file is None]
    return [line for line in own if line.text is not None or line.row >= 0] if event.summary else own


def phase(line: wire.LineRow, step: wire.StepEvent) -> model.Phase:
    """Return the phase of a step in which a line ran last.

    This is the phase that contains the line, or a later phase if the line ran again after a pass.
    """
    lines_of_phases = (step.forward, step.loss, step.backward, step.update)
    of_line = next((index for index, lines in enumerate(lines_of_phases) if line.line in lines), 0)
    passes_before_main = step.passes.index(step.main) if step.main in step.passes else 0
    of_time = 0 if line.at <= passes_before_main else 2 if line.at <= len(step.passes) else 3
    return model.PHASES[max(of_line, of_time)]


def _values(event: wire.StepEvent, tensors: Tensors) -> Iterator[tuple[str, model.LineValue]]:
    for line in shown_lines(event):
        yield str(line.line), model.LineValue(line_text(line, tensors), tensors.summary(line.row), phase(line, event))


def _tensors(parameter: model.ParameterStep) -> list[model.TensorSummary | None]:
    own = (getattr(parameter, name) for name in PARAMETER_TENSORS.values())
    return [*own, *parameter.state.values()]


def omitted(**counts: int) -> dict[str, int] | UnsetType:
    """Return the numbers of items that an answer leaves out, or ``UNSET`` if it leaves out none.

    >>> omitted(lines=3, graphs=0), omitted(lines=0)
    ({'lines': 3}, UNSET)
    """
    return {name: count for name, count in counts.items() if count > 0} or UNSET


def _rebinds(event: wire.StepEvent, tensors: Tensors) -> list[model.Rebind]:
    return [
        model.Rebind(
            name=row.name,
            line=row.line,
            source=f"p{row.parameter}",
            to=tensors.summary(row.row),
            graph=f"g{row.graph}" if row.graph >= 0 else None,
            uses_gradient=row.uses_gradient,
        )
        for row in event.rebinds
    ]
