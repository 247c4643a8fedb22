"""Follow the steps of a program: forward work, one or more passes, an update.

:mod:`boundaries` decides where a step ends, and :mod:`step_emission` emits it. This module gathers the data in between.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import torch
from msgspec.structs import replace
from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..forward.calls import Calls
from ..source.instrument import ProgramSource
from ..source.lines import LineValues
from ..source.names import Names
from ..source.statement_count import StatementCount
from ..source.statements import LineContext
from ..tensors.handles import next_sequence_nr, storage_pointer
from ..tensors.lifetimes import Lifetimes
from ..tensors.memory import Write
from ..tensors.references import weak
from ..tensors.snapshot import Snapshot
from ..tensors.table import TableBuilder
from .boundaries import IGNORE, Action, PassPosition, StepBoundaries
from .detail import Detail
from .facts import PassFacts
from .open_step import OpenStep, PendingRebind
from .parameter_changes import Contribution, ParameterChanges, groups
from .parameters import Parameters
from .step_emission import StepEmission


class StepObserver(Protocol):
    """Acts when a step ends. A replay implements it."""

    def step_ending(self, index: int) -> None:
        """Called before a step is emitted."""

    def step_ended(self, index: int) -> None:
        """Called after a step was emitted. It may raise to stop the program."""


class NoStepObserver:
    """A :class:`StepObserver` that does nothing."""

    def step_ending(self, index: int) -> None:
        """Do nothing."""

    def step_ended(self, index: int) -> None:
        """Do nothing."""


class Steps:
    """The steps of a run. Each is emitted when it ends."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        lines: LineValues,
        names: Names,
        source: ProgramSource,
        calls: Calls,
        new_table: Callable[[], TableBuilder],
        parameters: Parameters,
        observer: StepObserver,
        lifetimes: Lifetimes,
        detail: Detail,
        count: StatementCount,
    ) -> None:
        self._emitter = emitter
        self._lines = lines
        self._names = names
        self._calls = calls
        self._new_table = new_table
        self.parameters = parameters
        self._observer = observer
        self._lifetimes = lifetimes
        self._detail = detail
        self._emission = StepEmission(emitter=emitter, lines=lines, source=source, parameters=parameters, count=count)
        self._boundaries = StepBoundaries(source.loops_with_passes, self._have_optimizer)
        self.passes_over = self._boundaries.passes_over
        """Record that an iteration begins and return ``True``. If a pass of the step is in its loop, only return ``False``."""
        detail.begin_step(0)
        self._step = OpenStep(detail.limit(new_table()))
        self._ended = 0
        self._begun = 0
        self.optimizers = weakref.WeakSet[torch.optim.Optimizer]()
        """The optimizers that the program has made."""

    # ------------------------------------------------------------------ parameters

    def register(self, leaf: Tensor) -> int:
        """Return the index of a leaf's parameter, registering and emitting it on first use.

        A leaf is the same parameter if it was computed in this step from the parameter's gradient, and bound to its name.
        """
        parameters = self.parameters
        if leaf in parameters:
            return parameters.index(leaf)
        for rebind in self._step.rebinds:
            row = rebind.row
            if rebind.value.get() is leaf and row.uses_gradient and parameters.replace_leaf(row.parameter, leaf):
                return row.parameter
        return parameters.add(leaf)

    def takes_part(self, parameter: int) -> bool:
        """Return whether a pass of the step has reached a parameter."""
        return parameter in self._step.parameters

    def has_changed(self, index: int) -> bool:
        """Read a parameter of the step, and return whether its elements have changed since it was last read."""
        return index in self._step.parameters and self.parameters.has_changed(index, self._step.table)

    def _have_optimizer(self, parameters: Iterable[int]) -> bool:
        owned = {id(leaf) for optimizer in self.optimizers for group in optimizer.param_groups for leaf in group["params"]}
        return any(id(self.parameters.leaf(parameter)) in owned for parameter in parameters)

    # ------------------------------------------------------------------ memory

    def before_write(self, write: Write) -> None:
        """Prepare for a write to memory: forget cached values, and copy contributions that share the memory."""
        self.parameters.forget_values(write.storages)
        if self._step.borrowed:
            for key in write.storages:
                changes = self._step.borrowed.pop(key, None)
                if changes is not None:
                    changes.copy_contribution()

    def protect(self, write: Write) -> None:
        """Copy the step's tensors that are about to be written to."""
        self._step.table.protect(write)

    def distrust_gradient(self, key: int) -> None:
        """Make the next update read the ``.grad`` at a storage again, because NumPy may have written to it."""
        index = self.parameters.with_gradient_at(key)
        if index is not None and index in self._step.parameters:
            self._step.parameters[index].scaled()

    def release_graphs(self) -> None:
        """Drop the roots of the step's passes, which keep graphs alive. Their rows exist already."""
        for facts in self._step.passes:
            facts.root = None

    # ------------------------------------------------------------------ passes

    @property
    def index(self) -> int:
        """The index of the current step."""
        return self._ended

    @property
    def has_passes(self) -> bool:
        """True once a pass of the current step has begun."""
        return bool(self._step.passes)

    @property
    def passes_begun(self) -> int:
        """The number of passes of the run that have begun."""
        return self._begun

    def begin_pass(self, facts: PassFacts, *, concurrent: bool) -> tuple[int, dict[int, Snapshot]]:
        """Add a pass that begins; return the index of its step, and snapshots of its leaves by parameter.

        ``concurrent`` is true if other passes are running, around this one or in other threads. The pass then belongs to the
        same step.
        """
        position = PassPosition(facts.index, facts.leaves.keys(), facts.here.loops, facts.accumulates, facts.kind == "nested")
        if self._boundaries.separates(position, concurrent=concurrent):
            self.end_step(facts.first_number)
        step = self._step
        facts.name = self._names.binding(facts.root)[0] if facts.root is not None else None
        values = {}
        for parameter, leaf in facts.leaves.items():
            self.parameters.keep(parameter, leaf)
            now = self.parameters.value_of(parameter, leaf, step.table)
            values[parameter] = now.snapshot
            changes = step.parameters.get(parameter)
            if changes is None:
                changes = step.parameters[parameter] = ParameterChanges(leaf, now, step.table)
            if facts.accumulates:
                changes.begin_pass()
        if facts.root is not None:
            step.loss_row[facts.index] = step.table.add_copy(facts.root)
        step.backward.add(facts.here.line)
        self.parameters.forget_gradients()
        step.passes.append(facts)  # last: if memory ran out above, the pass has not begun
        self._boundaries.begin_pass(position)
        self._begun += 1
        return self._ended, values

    def end_pass(
        self, facts: PassFacts, contributions: Mapping[int, Contribution], lines: frozenset[int], root_line: int
    ) -> None:
        """Add the results of a pass: its contribution to each parameter, and the lines that made its graph and its root."""
        step = self._step
        step.forward |= lines
        step.loss_line[facts.index] = root_line
        for parameter, contribution in contributions.items():
            changes = step.parameters.get(parameter)
            if changes is not None and facts.accumulates:
                changes.contribute(contribution)
                if contribution.stolen:
                    step.borrowed[storage_pointer(contribution.tensor)] = changes
            elif changes is not None:
                changes.take(contribution)
        if facts.accumulates:
            for parameter in facts.leaves:
                step.parameters[parameter].accumulated()
        self._boundaries.end_pass()
        self.parameters.forget_gradients()
        self._lines.assign_to_step()
        self._lines.moment = len(step.passes)
        if self._lifetimes.observed:
            facts.release()
            step.release()

    # ------------------------------------------------------------------ updates

    def suspend(self, *, closure: bool) -> None:
        """End no step until :meth:`resume` is called, because an optimizer's ``step()`` begins."""
        self._boundaries.suspend(next_sequence_nr() if closure else None)

    def resume(self) -> None:
        """Undo one call of :meth:`suspend`."""
        self._boundaries.resume()

    def updated(self, parameter: int, here: LineContext) -> None:
        """Record that a line has written to a leaf."""
        if parameter in self._step.parameters and not self._boundaries.suspended:
            self._step.parameters[parameter].updated()
            self._update(here)

    def cleared(self, parameter: int, here: LineContext) -> None:
        """Record that a line has cleared the gradient of a leaf."""
        decision = self._boundaries.clear(parameter, here.loops)
        if decision.action is Action.FORGET:
            self._step.parameters[parameter].forget()
        elif decision.action is Action.END:
            self.end_step(decision.before)
        elif decision.action is Action.UPDATE:
            self._update(here)

    def scaled(self, parameter: int, here: LineContext) -> None:
        """Record that a line has written to the gradient of a leaf, as clipping does. The line belongs to the update."""
        if self._boundaries.has_contribution(parameter) and not self._boundaries.suspended:
            self._step.parameters[parameter].scaled()
            self._step.add_to_update(here)

    def optimized(self, optimizer: torch.optim.Optimizer, parameters: list[int], here: LineContext) -> None:
        """Record that an optimizer has stepped."""
        step = self._step
        taken = [parameter for parameter in parameters if parameter in step.parameters]
        if not taken:
            return
        states = optimizer.state
        for parameter in taken:
            changes = step.parameters[parameter]
            changes.updated(states.get(changes.leaf, {}) if states else {})
        step.groups += groups(optimizer, {id(self.parameters.leaf(parameter)): parameter for parameter in taken})
        self._update(here)

    def rebound(self, row: wire.RebindRow | None, value: Tensor | None, here: LineContext) -> None:
        """Record that the name of a leaf of the step was bound to another value.

        ``row`` describes the new value if it was computed from the leaf, and is ``None`` otherwise.
        """
        if row is None or value is None:
            self._begin_update(here)
            self._lines.assign_to_step()
            return
        copied = replace(row, row=self._step.table.add_copy(value))
        self._step.rebinds.append(PendingRebind(copied, weak(value)))
        self._update(here)

    def rebound_again(self, before: Tensor, value: Tensor, parameters: frozenset[int], here: LineContext) -> None:
        """Record that a name was rebound again in this step.

        The new ``value`` is a leaf that was computed from the gradients of ``parameters``. It replaces ``before``.
        """
        for rebind in self._step.rebinds:
            if rebind.value.get() is before and rebind.row.parameter in parameters:
                rebind.value = weak(value)
                self._update(here)

    def _begin_update(self, here: LineContext) -> None:
        if self._boundaries.update(here.loops):
            self._lines.moment = len(self._step.passes) + 1

    def _update(self, here: LineContext) -> None:
        self._begin_update(here)
        self._step.add_to_update(here)
        self._lines.assign_to_step()

    # ------------------------------------------------------------------ loops

    def enter_loop(self, loop: int, length: int | None) -> None:
        """Record that a loop begins, with its number of iterations if known."""
        if self._boundaries.enter_loop(loop, length, next_sequence_nr()).action is Action.BORDER:
            self._lines.assign_to_step()

    def next_iteration(self, loop: int) -> None:
        """Record that an iteration of a loop begins."""
        decision = self._boundaries.next_iteration(loop, next_sequence_nr())
        if decision is IGNORE:
            return
        self._lines.assign_to_step()
        if decision.action is Action.END:
            self.end_step()

    # ------------------------------------------------------------------ the end of a step

    def end_step(self, before: int | None = None) -> None:
        """End the current step and emit it, if it has a pass. ``before`` is the number of the next step's first node."""
        end = self._boundaries.end(before)
        if end is None:
            return
        index = self._ended
        self._observer.step_ending(index)
        if end.cut is not None:
            self._lines.assign_to_step(end.cut)
        whole = self._detail.whole
        self._emission.emit_step(index, self._step, end, whole=whole)
        self._ended += 1
        if self._detail.full:
            self._emission.end_recording(self._ended, self._new_table())
        self._detail.begin_step(self._ended)
        self._calls.release(next_sequence_nr() if before is None else before)
        self._step = OpenStep(self._detail.limit(self._new_table()))
        self.parameters.release()
        self._boundaries.start_step()
        if whole or self._emitter.due():
            self._emission.emit_progress(self._ended, end)
        if index == 0:  # show the first step of a live run at once
            self._emitter.flush()
        self._observer.step_ended(index)
