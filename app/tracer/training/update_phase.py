"""Record the update of a step: the writes, optimizers and assignments that change its leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import wire
from ..source.lines import LineValues
from ..source.statements import LineContext
from ..tensors.handles import next_sequence_nr
from .boundaries import Action, StepBoundaries
from .steps import Steps


class UpdatePhase:
    """The update of the current step. A line that updates a leaf may also be the first line of the next step.

    In every method, ``here`` is the line of the program that acts.
    """

    def __init__(self, *, steps: Steps, boundaries: StepBoundaries, lines: LineValues) -> None:
        self._steps = steps
        self._boundaries = boundaries
        self._lines = lines

    def suspend(self, *, closure: bool) -> None:
        """End no step until :meth:`resume` is called, because an optimizer's ``step()`` begins."""
        self._boundaries.suspend(next_sequence_nr() if closure else None)

    def resume(self) -> None:
        """Undo one call of :meth:`suspend`."""
        self._boundaries.resume()

    def updated(self, parameter: int, here: LineContext) -> None:
        """Record that a line has written to a leaf."""
        changes = self._steps.current.parameters.get(parameter)
        if changes is not None and not self._boundaries.suspended:
            changes.updated()
            self._add(here)

    def cleared(self, parameter: int, here: LineContext) -> None:
        """Record that a line has cleared the gradient of a leaf."""
        decision = self._boundaries.clear(parameter, here.loops)
        if decision.action is Action.FORGET:
            self._steps.current.parameters[parameter].forget()
        elif decision.action is Action.END:
            self._steps.end_step(decision.before)
        elif decision.action is Action.UPDATE:
            self._add(here)

    def scaled(self, parameter: int, here: LineContext) -> None:
        """Record that a line has written to the gradient of a leaf, as clipping does. The line belongs to the update."""
        if self._boundaries.has_contribution(parameter) and not self._boundaries.suspended:
            self._steps.current.parameters[parameter].scaled()
            self._steps.current.add_to_update(here)

    def optimized(self, optimizer: torch.optim.Optimizer, parameters: list[int], here: LineContext) -> None:
        """Record that an optimizer, which has these parameters, has stepped."""
        if self._steps.current.optimized(optimizer, parameters):
            self._add(here)

    def rebound(self, row: wire.RebindRow | None, value: Tensor | None, here: LineContext) -> None:
        """Record that the name of a leaf of the step was bound to another value.

        ``row`` describes the new value if it was computed from the leaf's gradient, or if it has the leaf's shape and a node.
        It is ``None`` otherwise.
        """
        if row is None or value is None:
            self._begin(here)
            self._lines.assign_to_step()
            return
        self._steps.current.rebound(row, value)
        self._add(here)

    def rebound_again(self, before: Tensor, value: Tensor, parameters: frozenset[int], here: LineContext) -> None:
        """Record that a name was rebound again in this step.

        The new ``value`` is a leaf that was computed from the gradients of ``parameters``. It replaces ``before``.
        """
        if self._steps.current.rebound_again(before, value, parameters):
            self._add(here)

    def _begin(self, here: LineContext) -> None:
        if self._boundaries.update(here.loops):
            self._lines.moment = len(self._steps.current.passes) + 1

    def _add(self, here: LineContext) -> None:
        self._begin(here)
        self._steps.current.add_to_update(here)
        self._lines.assign_to_step()
