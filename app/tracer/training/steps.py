"""Divide a program into steps: forward work, one or more passes, an update.

A step ends when a leaf that took part in it is updated, bound to another tensor, or has its gradient cleared; or when a
pass begins that shares no leaf with the step's passes, unless both stand in one round of a loop, or optimizers have both
pass's leaves: then the update is still to come. What follows the last such event until the next pass, or until the loop goes
round, is sorted out when that comes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from msgspec.structs import replace
from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..forward.calls import Calls
from ..source.instrument import Here, Source
from ..source.lines import Lines
from ..source.names import Names
from ..tensors.handles import next_sequence_nr, storage
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot, is_leaf
from ..tensors.table import Table
from .facts import PassFacts
from .parameter_step import Contribution, Part, groups
from .parameters import Parameters


@dataclass(slots=True)
class _Rebind:
    """A name that has moved, and the tensor that it has moved to, as long as the program keeps that."""

    row: wire.RebindRow
    value: weakref.ref[Tensor]


@dataclass(slots=True)
class _Step:
    """The step under way."""

    table: Table
    passes: list[PassFacts] = field(default_factory=list)
    parts: dict[int, Part] = field(default_factory=dict)
    forward: set[int] = field(default_factory=set)
    backward: set[int] = field(default_factory=set)
    update: set[int] = field(default_factory=set)
    loss_line: dict[int, int] = field(default_factory=dict)
    loss_row: dict[int, int] = field(default_factory=dict)
    rebinds: list[_Rebind] = field(default_factory=list)
    groups: list[wire.GroupRow] = field(default_factory=list)
    updating: bool = False
    border: int | None = None
    """The number of the first node that could be made since, after its last pass, its loop has gone round or another begun."""
    updated_in: frozenset[int] = frozenset()
    """The loops that its first update stands in."""
    borrowed: dict[int, Part] = field(default_factory=dict)
    """By storage: the parts whose contribution is also a leaf's ``.grad``, which others write to."""


class Steps:
    """The steps of a run, told as they end."""

    def __init__(
        self, *, emitter: Emitter, lines: Lines, names: Names, source: Source, calls: Calls, table: Callable[[], Table]
    ) -> None:
        self._emitter = emitter
        self._lines = lines
        self._names = names
        self.parameters = Parameters(emitter, names)
        self._source = source
        self._calls = calls
        self._table = table
        self._step: _Step = _Step(table())
        self._ended = 0
        self._counts: dict[int, int] = {}
        self._ranges: dict[int, int] = {}
        self._entered: dict[int, int] = {}
        """The number of the first node that each loop could make since it began."""
        self.optimizers: Iterable[torch.optim.Optimizer] = ()
        """Those that there are."""
        self.held = 0
        """Above 0, inside ``optimizer.step(closure)``, nothing ends a step."""
        self.on_ending: Callable[[int], None] = lambda index: None
        """Told the index of each step that is about to be told."""
        self.on_end: Callable[[int], None] = lambda index: None
        """Told the index of each step that has been told."""

    # ------------------------------------------------------------------ what takes part

    def parameter(self, leaf: Tensor) -> int:
        """The parameter that a leaf is which takes part in a pass; a new one is told.

        It may be the one whose name has moved to this leaf in the step under way, computed from its gradient: that goes on.
        """
        parameters = self.parameters
        if leaf in parameters:
            return parameters.index(leaf)
        for rebind in self._step.rebinds:
            if rebind.value() is leaf and self._goes_on(rebind.row, leaf):
                return rebind.row.parameter
        return parameters.add(leaf)

    def _goes_on(self, row: wire.RebindRow, leaf: Tensor) -> bool:
        return row.uses_gradient and self.parameters.go_on(row.parameter, leaf)

    def before_write(self, write: Write) -> None:
        """Leaves are about to be written to, by whatever way: a version does not tell of all of them."""
        self.parameters.forget_values(write.storages)
        if self._step.borrowed:
            for key in write.storages:
                self._keep_apart(key)

    def look_at_gradient(self, key: int) -> None:
        """The ``.grad`` at a storage may be written to unseen: an update reads it anew."""
        index = self.parameters.with_gradient_at(key)
        if index is not None and index in self._step.parts:
            self._step.parts[index].scaled()

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy what the step tells of it."""
        self._step.table.protect(write)

    def has_changed(self, index: int) -> bool:
        """Whether a parameter of the step has other elements than when it was last looked at; it is looked at now."""
        return index in self._step.parts and self.parameters.has_changed(index, self._step.table)

    def _keep_apart(self, key: int) -> None:
        """The ``.grad`` at a storage is about to be added to or overwritten: copy the contribution that it still is."""
        part = self._step.borrowed.pop(key, None)
        if part is not None:
            part.keep_apart()

    # ------------------------------------------------------------------ passes

    @property
    def index(self) -> int:
        """The index of the step under way."""
        return self._ended

    @property
    def has_passes(self) -> bool:
        """Whether a pass of the step under way has begun."""
        return bool(self._step.passes)

    def begin(self, facts: PassFacts, *, among: bool) -> tuple[int, dict[int, Snapshot]]:
        """A pass begins; returns the step that it belongs to, and its leaves as they are now, by parameter.

        ``among``: others are under way, around it or in other threads, and their step with them.
        """
        step = self._step
        facts.rounds = [max(self._counts.get(loop, 0), 0) for loop in facts.here.loops]
        if step.passes and not self.held and not among and (step.updating or not self._continues(facts)):
            self.end_step(facts.first_number)
            step = self._step
        facts.name = self._names.binding(facts.root)[0] if facts.root is not None else None
        values = {}
        for parameter, leaf in facts.leaves.items():
            now = self.parameters.value(parameter, step.table)
            values[parameter] = now.snapshot
            part = step.parts.get(parameter)
            if part is None:
                part = step.parts[parameter] = Part(leaf, now, step.table)
            if facts.accumulates:
                part.begin()
        if facts.root is not None:
            step.loss_row[facts.index] = step.table.copy(facts.root)
        step.backward.add(facts.here.line)
        self.parameters.forget_gradients()
        step.passes.append(facts)  # last: a pass for which there was no room has not begun
        return self._ended, values

    def let_go(self) -> None:
        """Hold no graph any more: the roots of passes that have begun are told already."""
        for facts in self._step.passes:
            facts.root = None

    def _continues(self, facts: PassFacts) -> bool:
        """Whether a pass that begins goes on with the step under way."""
        if any(parameter in self._step.parts for parameter in facts.leaves):
            return True
        last = self._step.passes[-1]
        if last.here.loops and facts.here.loops[0:1] == last.here.loops[0:1] and facts.rounds[0] == last.rounds[0]:
            return True
        return self._optimized(self._step.parts) and self._optimized(facts.leaves)

    def _optimized(self, parameters: Iterable[int]) -> bool:
        """Whether an optimizer has some of these parameters."""
        held = {id(leaf) for optimizer in self.optimizers for group in optimizer.param_groups for leaf in group["params"]}
        return any(id(self.parameters.leaf(parameter)) in held for parameter in parameters)

    def end(self, facts: PassFacts, contributions: Mapping[int, Contribution], lines: frozenset[int], root_line: int) -> None:
        """A pass has ended: what it added to each leaf or took out there, and the lines that made its graph and its root."""
        step = self._step
        step.forward |= lines
        step.loss_line[facts.index] = root_line
        for parameter, contribution in contributions.items():
            part = step.parts.get(parameter)
            if part is not None and facts.accumulates:
                part.contribute(contribution)
                if contribution.stolen:
                    step.borrowed[storage(contribution.tensor)] = part
            elif part is not None:
                part.take(contribution)
        if facts.accumulates:
            for parameter in facts.leaves:
                step.parts[parameter].accumulated()
        step.border = None
        self.parameters.forget_gradients()
        self._lines.settle()
        self._lines.moment = len(step.passes)

    # ------------------------------------------------------------------ what ends a step

    def updated(self, parameter: int, here: Here) -> None:
        """A leaf was written to on a line."""
        if parameter in self._step.parts and not self.held:
            self._step.parts[parameter].updated()
            self._update(here)

    def cleared(self, parameter: int, here: Here) -> None:
        """The gradient of a leaf was cleared on a line: that matters once a pass of the step has added to it."""
        step = self._step
        if any(facts.accumulates and parameter in facts.leaves for facts in step.passes):
            if self.held:
                step.parts[parameter].forget()
            elif (begun := self._begun_since(here)) is not None:
                self.end_step(begun)
            else:
                self._update(here)

    def _begun_since(self, here: Here) -> int | None:
        """The number of the first node of the step that has begun without us: in another round, or in another loop for passes.

        ``None`` if what happens here still belongs to the step under way.
        """
        step = self._step
        if step.border is not None and not step.updating:
            return step.border
        around = {loop for facts in step.passes for loop in facts.here.loops} | step.updated_in
        others = [loop for loop in here.loops if loop in self._source.passing and loop not in around]
        return self._entered.get(others[-1]) if others else None

    def scaled(self, parameter: int, here: Here) -> None:
        """The gradient of a leaf was written to on a line, as clipping does: that belongs to the update."""
        if any(facts.accumulates and parameter in facts.leaves for facts in self._step.passes) and not self.held:
            self._step.parts[parameter].scaled()
            self._step.update.update((here.line, *here.heads))

    def optimized(self, optimizer: torch.optim.Optimizer, parameters: list[int], here: Here) -> None:
        """An optimizer has made its step."""
        step = self._step
        taken = [parameter for parameter in parameters if parameter in step.parts]
        if not taken:
            return
        for parameter in taken:
            step.parts[parameter].updated(optimizer.state.get(self.parameters.leaf(parameter), {}))
        step.groups += groups(optimizer, {id(self.parameters.leaf(parameter)): parameter for parameter in taken})
        self._update(here)

    def rebound(self, row: wire.RebindRow | None, value: Tensor | None, here: Here) -> None:
        """A name of a leaf that took part was bound to something else; ``row`` if that was computed from the leaf."""
        if row is None or value is None:
            self._begin_update(here)
            self._lines.settle()
            return
        told = replace(row, row=self._step.table.copy(value))
        self._step.rebinds.append(_Rebind(told, weakref.ref(value)))
        self._update(here)

    def rebound_again(self, before: Tensor, value: Tensor, parameters: frozenset[int], here: Here) -> None:
        """What a name has moved to in this step gives place to a new leaf, computed from the gradients of parameters too."""
        for rebind in self._step.rebinds:
            if rebind.value() is before and rebind.row.parameter in parameters:
                rebind.value = weakref.ref(value)
                self._update(here)

    def _rebinds(self) -> list[wire.RebindRow]:
        """The names that have moved in the step; what has become a leaf since is told as one."""
        rows = []
        for rebind in self._step.rebinds:
            row, value = rebind.row, rebind.value()
            if value is not None and is_leaf(value) and value.requires_grad:
                if not row.leaf:
                    row = replace(row, row=self._step.table.copy(value), graph=-1, leaf=True)
                self._goes_on(row, value)
            rows.append(row)
        return rows

    def takes_part(self, parameter: int) -> bool:
        """Whether a parameter is in a pass of the step under way."""
        return parameter in self._step.parts

    def entered(self, loop: int, length: int | None) -> None:
        """A loop begins, of so many rounds where that is known."""
        self._counts[loop] = -1
        self._entered[loop] = next_sequence_nr()
        self._ranges[loop] = -1 if length is None else length
        step = self._step
        if loop in self._source.passing and step.passes and not step.updating and not self.held:
            self._draw_border()

    def round(self, loop: int) -> None:
        """A loop goes round: a step that stands in it and has been updated is over."""
        self._counts[loop] = self._counts.get(loop, -1) + 1
        if self.held or not self._stands_in(loop):
            return
        step = self._step
        if step.updating:
            self._lines.settle()
            self.end_step()
        else:
            self._draw_border()

    def _draw_border(self) -> None:
        """What runs from here on is another step's, unless a pass or an update shows that it is still this one."""
        if self._step.border is None:
            self._lines.settle()
            self._step.border = next_sequence_nr()

    def _begin_update(self, here: Here) -> None:
        if not self._step.updating:
            self._step.updating = True
            self._step.updated_in = frozenset(here.loops)
            self._lines.moment = len(self._step.passes) + 1

    def _update(self, here: Here) -> None:
        self._begin_update(here)
        self._step.update.update((here.line, *here.heads))
        self._lines.settle()

    # ------------------------------------------------------------------ the end of a step

    def end_step(self, before: int | None = None) -> None:
        """End the step under way, if it has a pass, and tell it.

        ``before`` is the number of the first node of the pass that begins: unless an update or the loop has drawn the
        border, the lines that ran after that node was made are the next step's.
        """
        step = self._step
        if not step.passes:
            return
        self.on_ending(self._ended)
        if before is not None and not step.updating and step.border is None:
            self._lines.settle(before)
        main = self._main()
        loss_line = step.loss_line.get(main.index, -1)
        loop, count = self._round()
        iteration = (self._source.loops[loop].head, count) if loop is not None else None
        rebinds, known = self._rebinds(), self.parameters
        parameters = [
            part.row(parameter, known.name(parameter), known.leaf(parameter), known.value(parameter, step.table))
            for parameter, part in sorted(step.parts.items())
        ]
        losses = {
            facts.name: step.loss_row[facts.index]
            for facts in step.passes
            if facts.name not in (None, main.name) and facts.accumulates and facts.index in step.loss_row
        }
        index = self._ended
        values = self._lines.end_step(index, step.table, step.update)
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
            ),
        )
        self._ended += 1
        self._calls.release(next_sequence_nr() if before is None else before)
        self._step = _Step(self._table())
        if loop is not None:
            self._emitter.emit(self._progress(main, loop))
        if index == 0:  # whoever watches sees at once that it has begun
            self._emitter.flush()
        self.on_end(index)

    def _progress(self, main: PassFacts, innermost: int) -> wire.ProgressEvent:
        """How many rounds of a loop are done, through all rounds of those around it, where it is known how many these make."""
        done, of = 0, 1
        for loop, count in reversed(list(zip(main.here.loops, main.rounds, strict=True))):
            length = self._ranges.get(loop, -1)
            if length < 0:
                return wire.ProgressEvent(self._ended)
            done, of = done * length + count, of * length
            if loop == innermost:
                break
        return wire.ProgressEvent(done + 1, max(of, done + 1))

    def _main(self) -> PassFacts:
        """The last pass that accumulates into leaves, else the first."""
        passes = self._step.passes
        return next((facts for facts in reversed(passes) if facts.accumulates and facts.kind != "nested"), passes[0])

    def _round(self) -> tuple[int | None, int]:
        """The loop that the step under way stands in, and how often that had gone round.

        It is the innermost one around both the main pass and the update. A step without an update stands in the innermost
        loop that did not go round between its passes.
        """
        step, main = self._step, self._main()
        rounds = list(zip(main.here.loops, main.rounds, strict=True))
        for loop, count in rounds:
            others = (zip(facts.here.loops, facts.rounds, strict=True) for facts in step.passes)
            if loop in step.updated_in if step.updating else all((loop, count) in other for other in others):
                return loop, count
        return None, 0

    def _stands_in(self, loop: int) -> bool:
        """Whether the step under way stands in a loop, or in one inside it."""
        if not self._step.passes:
            return False
        inner, loops = self._round()[0], self._main().here.loops
        return inner is not None and loop in loops and loops.index(loop) >= loops.index(inner)
