"""Decide how much is recorded of each step, so that a long training does not exceed the limits of a recording."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Final

import torch
from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..tensors.kinds import PLAIN_TYPES
from ..tensors.table import TableBuilder

EVERY: Final = 100
"""Once steps are summarized, every hundredth step is still recorded whole."""
ELEMENTS: Final = 16
"""Largest number of elements of a tensor that a summarized step keeps. A larger tensor keeps its statistics."""
NONFINITE: Final = 20
"""Largest number of passes of summarized steps that are recorded whole because they have a NaN or Inf."""
MANY: Final = 1_000
"""Number of steps after which a recording that takes long is summarized too, even if it is not large."""
RESERVE: Final = 0.9
"""Fraction of a recording's limits. Once it is used, no further step is recorded. The rest is left for other events."""


class Detail:
    """Decides for each step whether it is recorded whole or summarized.

    Steps are whole until the budget of the job is used up. A replay repeats the decisions of the recording instead, except that
    the replayed step is always whole. A replay that evaluates an expression summarizes all steps and passes, because they are
    only compared with the recording. Its steps keep as many elements as whole steps. A replay for ``elements`` keeps more of
    them in the replayed step.
    """

    def __init__(self, job: wire.Job, emitter: Emitter) -> None:
        self._emitter = emitter
        self._budget = job.budget
        self._first = job.summarized_from
        self._replayed = job.replay.step if job.replay is not None else -1
        self._compares = job.replay is not None and job.replay.evaluates
        self._usual = partial(TableBuilder, job.values, job.capture)
        enlarges = job.replay is not None and job.replay.what == "elements"
        self._enlarged = partial(TableBuilder, job.replay.kept, "full") if job.replay is not None and enlarges else None
        self._here = self._usual
        self._due = monotonic() + job.budget.seconds if job.budget.seconds > 0 else math.inf
        self._nonfinite = 0
        self.whole = True
        """True if the current step is recorded whole."""

    def begin_step(self, index: int) -> None:
        """Decide about the step that begins."""
        self._here = self._enlarged if self._enlarged is not None and index == self._replayed else self._usual
        if self._compares:
            self.whole = False
            return
        if self._first < 0:
            large = self._is_large()
            if large or (index >= MANY and monotonic() > self._due):
                self._first = index
                self._emitter.emit(wire.StepsSummarized(step=index, every=EVERY, slow=not large))
        self.whole = not 0 <= self._first <= index or index % EVERY == 0 or index == self._replayed

    def new_table(self) -> TableBuilder:
        """Return an empty table for numbers of the current step."""
        return self._here()

    def limit(self, table: TableBuilder) -> TableBuilder:
        """Return the table of the current step. If the step is summarized, lower the table's limit of elements first."""
        if not self.whole and not self._compares:
            table.keep_at_most(ELEMENTS)
        return table

    def keeps_pass(self, tensors: Iterable[Tensor | None]) -> bool:
        """Return whether a pass with these gradients and this root is recorded whole.

        This is true for every pass of a whole step. In a summarized step, it is true for a pass with a NaN or Inf in these
        tensors, up to :data:`NONFINITE` passes.
        """
        if self.whole:
            return True
        if self._compares or self._nonfinite >= NONFINITE or all(map(_is_finite, tensors)):
            return False
        self._nonfinite += 1
        return True

    @property
    def full(self) -> bool:
        """True if the recording is so large that no further step can be recorded."""
        budget, emitter = self._budget, self._emitter
        return 0 < RESERVE * budget.most_bytes < emitter.sent_bytes or 0 < RESERVE * budget.most_events < emitter.sent_events

    def _is_large(self) -> bool:
        budget, emitter = self._budget, self._emitter
        return 0 < budget.bytes < emitter.sent_bytes or 0 < budget.events < emitter.sent_events


def _is_finite(tensor: Tensor | None) -> bool:
    """Return whether the sum of a tensor is finite. A tensor that cannot be summed counts as not finite."""
    if tensor is None:
        return True
    if type(tensor) not in PLAIN_TYPES:
        return False
    try:
        single = tensor.layout is torch.strided and tensor.numel() == 1
        total = (tensor if single else tensor.detach().sum()).item()
    except (RuntimeError, NotImplementedError):
        return False
    return math.isfinite(abs(total))
