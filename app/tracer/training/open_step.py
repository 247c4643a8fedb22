"""Gather the data of the current step."""

from __future__ import annotations

from msgspec import Struct, field

from ... import wire
from ..source.statements import LineContext
from ..tensors.references import WeakTensor
from ..tensors.table import TableBuilder
from .facts import PassFacts
from .parameter_changes import ParameterChanges


class PendingRebind(Struct):
    """A name that was bound to another tensor, and a weak reference to that tensor."""

    row: wire.RebindRow
    value: WeakTensor


class OpenStep(Struct):
    """The data of the current step: its passes, parameters, lines by phase, and the rows of its table."""

    table: TableBuilder
    passes: list[PassFacts] = field(default_factory=list)
    parameters: dict[int, ParameterChanges] = field(default_factory=dict)
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

    def release(self) -> None:
        """Stop keeping tensors of the program alive, since the program may notice."""
        self.table.copy_rows()
        self.borrowed.clear()
        for changes in self.parameters.values():
            changes.release()

    def add_to_update(self, here: LineContext) -> None:
        """Add a line to the update, with the lines of the gradient modes around it."""
        self.update.update((here.line, *here.heads))
        if here.origin is not None and len(self.update_origins) < wire.ORIGINS:
            self.update_origins[here.origin] = None
