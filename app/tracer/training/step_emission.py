"""Emit a step that has ended: build its event from the gathered data and from the decision about its end."""

from __future__ import annotations

from msgspec.structs import replace

from ... import wire
from ..emitter import Emitter
from ..source.instrument import ProgramSource
from ..source.lines import LineValues
from ..source.statement_count import StatementCount
from ..tensors.snapshot import is_leaf
from ..tensors.table import TableBuilder
from .boundaries import StepEnd
from .open_step import OpenStep
from .parameter_changes import differences
from .parameters import Parameters


class StepEmission:
    """Emits the steps of a run, and the progress of the loops in which they end."""

    def __init__(
        self, *, emitter: Emitter, lines: LineValues, source: ProgramSource, parameters: Parameters, count: StatementCount
    ) -> None:
        self._emitter = emitter
        self._lines = lines
        self._source = source
        self._parameters = parameters
        self._count = count

    def emit_step(self, index: int, step: OpenStep, end: StepEnd, *, whole: bool) -> None:
        """Emit a step, ``whole`` or summarized."""
        main = next(facts for facts in step.passes if facts.index == end.main)
        loss_line = step.loss_line.get(main.index, -1)
        iteration = (self._source.loops[end.loop].head, end.iteration) if end.loop is not None else None
        rebinds, registered = self._rebinds(step), self._parameters  # first: a rebind may replace a parameter's leaf
        changed = sorted(step.parameters.items())
        after = [registered.value(parameter, step.table) or changes.before for parameter, changes in changed]
        updates = differences([(value, changes.before) for value, (_, changes) in zip(after, changed, strict=True)])
        parameters = [
            changes.row(parameter, registered.name(parameter), registered.leaf(parameter), value, update)
            for (parameter, changes), value, update in zip(changed, after, updates, strict=True)
        ]
        losses = {
            facts.name: step.loss_row[facts.index]
            for facts in step.passes
            if facts.name not in (None, main.name) and facts.accumulates and facts.index in step.loss_row
        }
        origins, ended = list(step.update_origins), self._count.position()
        values = self._lines.end_step(index, step.table, step.update, whole=whole)
        if not whole:
            parameters = [replace(row, state={}) for row in parameters]
        self._emitter.emit_with(
            step.table,
            lambda tensors: wire.StepEvent(
                index=index,
                iteration=iteration,
                forward=sorted(step.forward - {loss_line}),
                loss=[loss_line] if loss_line > 0 else [],
                backward=sorted(line for line in step.backward if line > 0),
                update=sorted(line for line in step.update if line > 0),
                values=values,
                main=main.index,
                passes=[facts.index for facts in step.passes],
                loss_row=step.loss_row.get(main.index, -1),
                loss_name=main.name,
                parameters=parameters,
                rebinds=rebinds,
                optimizer={"name": step.groups[0].optimizer, **step.groups[0].options} if step.groups else None,
                tensors=tensors,
                groups=step.groups if len(step.groups) > 1 else [],
                losses=losses,
                update_origins=origins,
                summary=not whole,
                ended=ended,
            ),
        )

    def end_recording(self, index: int, table: TableBuilder) -> None:
        """Emit the latest values of lines, because there is no room for step ``index``.

        Later events of passes, steps and graphs are dropped.
        """
        rows = self._lines.pending_rows(table)
        self._emitter.emit_with(table, lambda tensors: wire.LinesEvent(rows, tensors))
        self._emitter.emit_once(wire.StepsUnrecorded(step=index))
        self._emitter.flush()
        self._emitter.halt()

    def emit_progress(self, ended: int, end: StepEnd, *, whole: bool) -> None:
        """Emit the progress of the step's loop: its iterations, or the number of ended steps if its length is unknown.

        After a summarized step, progress is emitted only if it is time to send events. The first step is sent at once, so that
        a live run shows it.
        """
        if end.loop is not None and (whole or self._emitter.due()):
            self._emitter.emit(wire.ProgressEvent(*(end.progress or (ended,))))
        if ended == 1:
            self._emitter.flush()

    def _rebinds(self, step: OpenStep) -> list[wire.RebindRow]:
        """Return a row for each name that was rebound in the step. A tensor that became a leaf later is emitted as a leaf."""
        rows = []
        for rebind in step.rebinds:
            row, value = rebind.row, rebind.value.get()
            if value is not None and is_leaf(value) and value.requires_grad:
                if not row.leaf:
                    row = replace(row, row=step.table.add_copy(value), graph=-1, leaf=True)
                if row.uses_gradient:
                    self._parameters.replace_leaf(row.parameter, value)
            rows.append(row)
        return rows
