"""Gather the data of the current step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from msgspec import Struct, field
from msgspec.structs import replace
from torch import Tensor

from ... import wire
from ..source.statements import LineContext
from ..tensors.handles import storage_pointer
from ..tensors.memory import Write
from ..tensors.references import WeakTensor, weak
from ..tensors.snapshot import Snapshot
from ..tensors.table import TableBuilder
from .facts import PassFacts
from .optimizer_groups import groups
from .parameter_changes import Contribution, ParameterChanges
from .parameters import Parameters


class PendingRebind(Struct):
    """A name that was bound to another tensor, and a weak reference to that tensor."""

    row: wire.RebindRow
    value: WeakTensor


class OpenStep(Struct):
    """The data of the current step: its passes, parameters, lines by phase, and the rows of its table.

    It only stores what happens. :class:`~.boundaries.StepBoundaries` decides where the step ends, and
    :class:`~.step_emission.StepEmission` emits it. ``registered`` are the parameters of the run.
    """

    table: TableBuilder
    registered: Parameters
    passes: list[PassFacts] = field(default_factory=list)
    parameters: dict[int, ParameterChanges] = field(default_factory=dict)
    """The parameters that the step's passes have reached."""
    forward: set[int] = field(default_factory=set)
    backward: set[int] = field(default_factory=set)
    update: set[int] = field(default_factory=set)
    update_origins: dict[wire.OriginRow, None] = field(default_factory=dict)
    """The lines of the user's own modules in the update, in order."""
    loss_line: dict[int, int] = field(default_factory=dict)
    """For each pass, the line that made its root."""
    loss_row: dict[int, int] = field(default_factory=dict)
    """For each pass, the row of its root."""
    rebinds: list[PendingRebind] = field(default_factory=list)
    groups: list[wire.GroupRow] = field(default_factory=list)
    """The parameter groups of optimizers that have stepped."""
    borrowed: dict[int, ParameterChanges] = field(default_factory=dict)
    """By storage, the parameters whose contribution uses the memory of the leaf's ``.grad``, which may be overwritten."""

    # ------------------------------------------------------------------ passes

    def begin_pass(self, facts: PassFacts) -> dict[int, Snapshot]:
        """Add a pass that begins, and return snapshots of its leaves by parameter."""
        values = {}
        for parameter, leaf in facts.leaves.items():
            self.registered.keep(parameter, leaf)
            now = self.registered.value_of(parameter, leaf, self.table)
            values[parameter] = now.snapshot
            changes = self.parameters.get(parameter)
            if changes is None:
                changes = self.parameters[parameter] = ParameterChanges(leaf, now, self.table)
            if facts.accumulates:
                changes.begin_pass()
        if facts.root is not None:
            self.loss_row[facts.index] = self.table.add_copy(facts.root)
        self.backward.add(facts.here.line)
        self.registered.forget_gradients()
        self.passes.append(facts)  # last: if memory ran out above, the pass has not begun
        return values

    def end_pass(
        self, facts: PassFacts, contributions: Mapping[int, Contribution], lines: frozenset[int], root_line: int
    ) -> None:
        """Add the results of a pass: its contribution to each parameter, and the lines that made its graph and its root."""
        self.forward |= lines
        self.loss_line[facts.index] = root_line
        for parameter, contribution in contributions.items():
            changes = self.parameters.get(parameter)
            if changes is not None and facts.accumulates:
                changes.contribute(contribution)
                if contribution.stolen:
                    self.borrowed[storage_pointer(contribution.tensor)] = changes
            elif changes is not None:
                changes.take(contribution)
        if facts.accumulates:
            for parameter in facts.leaves:
                self.parameters[parameter].accumulated()

    # ------------------------------------------------------------------ updates

    def add_to_update(self, here: LineContext) -> None:
        """Add a line to the update, with the lines of the gradient modes around it."""
        self.update.update((here.line, *here.heads))
        if here.origin is not None and len(self.update_origins) < wire.ORIGINS:
            self.update_origins[here.origin] = None

    def optimized(self, optimizer: torch.optim.Optimizer, parameters: list[int]) -> bool:
        """Record that an optimizer has stepped. Return whether it has any of the step's parameters."""
        taken = [parameter for parameter in parameters if parameter in self.parameters]
        if not taken:
            return False
        states = optimizer.state
        for parameter in taken:
            changes = self.parameters[parameter]
            changes.updated(states.get(changes.leaf, {}) if states else {})
        self.groups += groups(optimizer, {id(self.registered.leaf(parameter)): parameter for parameter in taken})
        return True

    def replaced_by(self, leaf: Tensor) -> int | None:
        """Return the parameter whose leaf a new leaf has replaced; ``None`` if the new leaf is a parameter of its own.

        A leaf replaces another if it was computed in this step from the parameter's gradient, and bound to its name.
        """
        for rebind in self.rebinds:
            row = rebind.row
            if rebind.value.get() is leaf and row.uses_gradient and self.registered.replace_leaf(row.parameter, leaf):
                return row.parameter
        return None

    def rebound(self, row: wire.RebindRow, value: Tensor) -> None:
        """Record that a name of a leaf was bound to ``value``. The row with its new elements is added here."""
        self.rebinds.append(PendingRebind(replace(row, row=self.table.add_copy(value)), weak(value)))

    def rebound_again(self, before: Tensor, value: Tensor, parameters: frozenset[int]) -> bool:
        """Record that names of ``parameters`` were bound to ``value`` instead of ``before``.

        Return whether there are any such names.
        """
        found = [each for each in self.rebinds if each.value.get() is before and each.row.parameter in parameters]
        for rebind in found:
            rebind.value = weak(value)
        return bool(found)

    # ------------------------------------------------------------------ memory

    def copy_borrowed(self, write: Write) -> None:
        """Copy the contributions whose memory is about to be written to."""
        if self.borrowed:
            for key in write.storages:
                changes = self.borrowed.pop(key, None)
                if changes is not None:
                    changes.copy_contribution()

    def distrust_gradient(self, parameter: int | None) -> None:
        """Make the next update read the ``.grad`` of a parameter again, because NumPy may have written to it."""
        if parameter is not None and parameter in self.parameters:
            self.parameters[parameter].scaled()

    def has_changed(self, parameter: int) -> bool:
        """Read a parameter of the step, and return whether its elements have changed since it was last read."""
        return parameter in self.parameters and self.registered.has_changed(parameter, self.table)

    def release(self) -> None:
        """Stop keeping tensors of the program alive, since the program may notice."""
        self.table.copy_rows()
        self.borrowed.clear()
        for changes in self.parameters.values():
            changes.release()

    def release_graphs(self) -> None:
        """Drop the roots of the passes, which keep graphs alive. Their rows exist already."""
        for facts in self.passes:
            facts.root = None
