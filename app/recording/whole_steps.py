"""Read steps as replays have recorded them again: summarized steps whole, and any step with the elements of larger tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from .. import wire
from ..byte_cache import ByteCache
from .log import Log
from .overview import NonfiniteIndices
from .series import StepSeries
from .step_groups import StepGroup

MOST_ELEMENTS: Final = 1 << 18
"""Largest number of elements of a tensor in an enlarged step."""


class WholeStep(Struct, frozen=True):
    """A step with its passes by index, as a replay has recorded them."""

    step: wire.StepEvent
    passes: Mapping[int, wire.PassEvent]


class WholeStepCache(ByteCache[tuple[str, int, bool], WholeStep]):
    """Steps of all runs of a server, by the id of their run, their index, and whether they have elements of larger tensors."""

    def of_run(self, run: str) -> WholeSteps:
        """Return the steps of a run."""
        return WholeSteps(self, run)


class WholeSteps:
    """The steps of a run that replays have recorded again. Several threads may use it.

    A step that is ``enlarged`` has the elements of tensors of which the recording has only statistics.
    """

    def __init__(self, cache: WholeStepCache, run: str) -> None:
        self._cache = cache
        self._run = run

    def get(self, index: int, *, enlarged: bool = False) -> WholeStep | None:
        """Return a step, or ``None`` if it is not cached."""
        return self._cache.get((self._run, index, enlarged))

    def add(self, whole: WholeStep, *, enlarged: bool = False) -> None:
        """Add a step, or replace it."""
        size = sum(map(wire.memory_of, (whole.step, *whole.passes.values())))
        self._cache.put((self._run, whole.step.index, enlarged), whole, size)


class WholeStepLog:
    """A log whose summarized steps and passes are replaced by whole ones, as far as ``whole`` has them.

    If it is ``enlarged``, enlarged steps replace the recorded ones too. It implements :class:`~tapedeck.recording.Log`.
    Series, groups of steps and values of lines still come from the recording: a summary has the same losses and statistics.
    """

    def __init__(self, log: Log, whole: WholeSteps, *, enlarged: bool = False) -> None:
        self.recorded = log
        self._whole = whole
        self._enlarged = enlarged

    def _replacement(self, step: int, *, summary: bool) -> WholeStep | None:
        found = self._whole.get(step, enlarged=True) if self._enlarged else None
        return found or (self._whole.get(step) if summary else None)

    def step(self, index: int) -> wire.StepEvent:
        event = self.recorded.step(index)
        found = self._replacement(index, summary=event.summary)
        return event if found is None else found.step

    def pass_(self, index: int) -> wire.PassEvent:
        return self._in_whole(self.recorded.pass_(index))

    def passes(self, start: int, stop: int) -> Iterator[wire.PassEvent]:
        return map(self._in_whole, self.recorded.passes(start, stop))

    def _in_whole(self, event: wire.PassEvent) -> wire.PassEvent:
        found = self._replacement(event.step, summary=event.summary)
        return event if found is None else found.passes.get(event.index, event)

    def graph(self, index: int) -> wire.GraphEvent:
        return self.recorded.graph(index)

    def step_groups(self, start: int, stop: int) -> Iterable[StepGroup]:
        return self.recorded.step_groups(start, stop)

    def series(self, keys: Sequence[str], start: int, stop: int) -> dict[str, StepSeries]:
        return self.recorded.series(keys, start, stop)

    def previous_line_steps(self, step: int) -> dict[int, int]:
        return self.recorded.previous_line_steps(step)

    def lines(self) -> wire.LinesEvent | None:
        return self.recorded.lines()

    def others(self) -> Iterator[wire.AnyEvent]:
        return self.recorded.others()

    def graph_sizes(self) -> Sequence[tuple[int, int]]:
        return self.recorded.graph_sizes()

    def counts(self) -> tuple[int, int, int]:
        return self.recorded.counts()

    def nonfinite(self) -> NonfiniteIndices:
        return self.recorded.nonfinite()
