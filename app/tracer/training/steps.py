"""Follow the steps of a program: forward work, one or more passes, an update.

:mod:`boundaries` decides where a step ends, :mod:`open_step` gathers its data, and :mod:`step_emission` emits it.
:mod:`update_phase` records the update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from ..forward.calls import Calls
from ..source.lines import LineValues
from ..source.names import Names
from ..tensors.handles import next_sequence_nr
from ..tensors.lifetimes import Lifetimes
from ..tensors.snapshot import Snapshot
from ..tensors.table import TableBuilder
from .boundaries import IGNORE, Action, PassPosition, StepBoundaries
from .detail import Detail
from .facts import PassFacts
from .open_step import OpenStep
from .parameter_changes import Contribution
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
        boundaries: StepBoundaries,
        emission: StepEmission,
        detail: Detail,
        parameters: Parameters,
        lines: LineValues,
        names: Names,
        calls: Calls,
        new_table: Callable[[], TableBuilder],
        lifetimes: Lifetimes,
        observer: StepObserver,
    ) -> None:
        self._boundaries = boundaries
        self._emission = emission
        self._detail = detail
        self.parameters = parameters
        self._lines = lines
        self._names = names
        self._calls = calls
        self._new_table = new_table
        self._lifetimes = lifetimes
        self._observer = observer
        self.index = 0
        """The index of the current step."""
        self.passes_begun = 0
        """The number of passes of the run that have begun."""
        self.current = self._begin_step()
        """The data of the current step."""

    def _begin_step(self) -> OpenStep:
        self._detail.begin_step(self.index)
        return OpenStep(self._detail.limit(self._new_table()), self.parameters)

    def register(self, leaf: Tensor) -> int:
        """Return the index of a leaf's parameter, registering and emitting it on first use."""
        if leaf in self.parameters:
            return self.parameters.index(leaf)
        replaced = self.current.replaced_by(leaf)
        return self.parameters.add(leaf) if replaced is None else replaced

    # ------------------------------------------------------------------ passes

    def begin_pass(self, facts: PassFacts, *, concurrent: bool) -> tuple[int, dict[int, Snapshot]]:
        """Add a pass that begins; return the index of its step, and snapshots of its leaves by parameter.

        ``concurrent`` is true if other passes are running, around this one or in other threads. The pass then belongs to the
        same step.
        """
        position = PassPosition(facts.index, facts.leaves.keys(), facts.here.loops, facts.accumulates, facts.kind == "nested")
        if self._boundaries.separates(position, concurrent=concurrent):
            self.end_step(facts.first_number)
        facts.name = self._names.binding(facts.root)[0] if facts.root is not None else None
        values = self.current.begin_pass(facts)
        self._boundaries.begin_pass(position)
        self.passes_begun += 1
        return self.index, values

    def end_pass(
        self, facts: PassFacts, contributions: Mapping[int, Contribution], lines: frozenset[int], root_line: int
    ) -> None:
        """Add the results of a pass: its contribution to each parameter, and the lines that made its graph and its root."""
        self.current.end_pass(facts, contributions, lines, root_line)
        self._boundaries.end_pass()
        self.parameters.forget_gradients()
        self._lines.assign_to_step()
        self._lines.moment = len(self.current.passes)
        if self._lifetimes.observed:
            facts.release()
            self.current.release()

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
        index, whole = self.index, self._detail.whole
        self._observer.step_ending(index)
        if end.cut is not None:
            self._lines.assign_to_step(end.cut)
        self._emission.emit_step(index, self.current, end, whole=whole)
        self.index += 1
        if self._detail.full:
            self._emission.end_recording(self.index, self._new_table())
        self._calls.release(next_sequence_nr() if before is None else before)
        self.current = self._begin_step()
        self.parameters.release()
        self._boundaries.start_step()
        self._emission.emit_progress(self.index, end, whole=whole)
        self._observer.step_ended(index)
