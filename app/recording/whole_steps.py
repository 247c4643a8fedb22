"""Read steps as replays have recorded them again: summarized steps whole, and any step with the elements of larger tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

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


class WholeStepStore(Protocol):
    """The stored whole steps of a run. Several threads may use it."""

    def indices(self) -> set[int]:
        """Return the indices of the steps."""

    def read(self, index: int) -> WholeStep | None:
        """Return a step, or ``None`` if it is not stored."""

    def keep(self, whole: WholeStep) -> None:
        """Store a step, if there is room for it."""


class WholeStepCache(ByteCache[tuple[str, int, bool], WholeStep]):
    """Steps of all runs of a server, by the id of their run, their index, and whether they have elements of larger tensors."""

    def of_run(self, run: str, stored: WholeStepStore | None = None) -> WholeSteps:
        """Return the steps of a run, some of which may be stored."""
        return WholeSteps(self, run, stored)


class WholeSteps:
    """The steps of a run that replays have recorded again, from the cache or else from the store. Several threads may use it.

    A step that is ``enlarged`` has the elements of tensors of which the recording has only statistics. It is large, and not
    stored.
    """

    def __init__(self, cache: WholeStepCache, run: str, stored: WholeStepStore | None) -> None:
        self._cache = cache
        self._run = run
        self._stored = stored
        self._indices: set[int] | None = None

    def get(self, index: int, *, enlarged: bool = False) -> WholeStep | None:
        """Return a step, or ``None`` if no replay has recorded it, or its numbers were dropped since."""
        found = self._cache.get((self._run, index, enlarged))
        if found is not None or enlarged or self._stored is None:
            return found
        if self._indices is None:  # read once, because most steps are not stored
            self._indices = self._stored.indices()
        if index in self._indices and (found := self._stored.read(index)) is not None:
            self._remember(found, enlarged=False)
        return found

    def add(self, whole: WholeStep, *, enlarged: bool = False) -> None:
        """Add a step, or replace it."""
        self._remember(whole, enlarged=enlarged)
        if self._stored is not None and not enlarged:
            self._stored.keep(whole)
            self._indices = None

    def _remember(self, whole: WholeStep, *, enlarged: bool) -> None:
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
