"""Define the protocol for reading the events of a run, and implement it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from .. import wire
from ..errors import NotFound
from .overview import NonfiniteIndices, Overview
from .series import StepSeries, read_each
from .step_groups import StepGroup, group_steps

T = TypeVar("T")


class Log(Protocol):
    """The events of a run, in memory or in the store. Methods raise :class:`NotFound` for a missing event."""

    def graph(self, index: int) -> wire.GraphEvent: ...
    def pass_(self, index: int) -> wire.PassEvent: ...
    def step(self, index: int) -> wire.StepEvent: ...
    def passes(self, start: int, stop: int) -> Iterable[wire.PassEvent]:
        """Return the passes from ``start`` to before ``stop``, as far as they exist."""

    def step_groups(self, start: int, stop: int) -> Iterable[StepGroup]:
        """Return the steps from ``start`` to before ``stop``, as far as they exist, in groups."""

    def series(self, keys: Sequence[str], start: int, stop: int) -> dict[str, StepSeries]:
        """Return the series of each key over the steps from ``start`` to before ``stop``, as :func:`.series.read_each` does."""

    def previous_line_steps(self, step: int) -> dict[int, int]:
        """Return, for each line of the program that ran before ``step``, the last step before it in which the line ran."""

    def lines(self) -> wire.LinesEvent | None:
        """Return the last value of each line in one event."""

    def others(self) -> Iterator[wire.AnyEvent]:
        """Yield all events except graphs, passes, steps, lines and progress, in order.

        Consecutive printed texts of one cell and stream may be joined.
        """

    def graph_sizes(self) -> Sequence[tuple[int, int]]:
        """Return the number of nodes and edges of each graph, without reading the graphs."""

    def counts(self) -> tuple[int, int, int]:
        """Return the number of graphs, passes and steps."""

    def nonfinite(self) -> NonfiniteIndices:
        """Return the first :data:`.overview.MAX_NONFINITE` passes and steps that contain NaN or Inf."""


class MemoryLog:
    """A log of events in memory. It keeps an :class:`Overview` of the whole run.

    The first events can be in another log, such as the store: see :meth:`without` and :meth:`after`. Only their overview is
    then in memory.
    """

    def __init__(self, events: Iterable[wire.AnyEvent] = ()) -> None:
        self._earlier: Log | None = None
        self._before = (0, 0, 0)
        self._graphs: list[wire.GraphEvent] = []
        self._passes: list[wire.PassEvent] = []
        self._steps: list[wire.StepEvent] = []
        self.overview = Overview()
        for event in events:
            self.append(event)

    def append(self, event: wire.AnyEvent) -> None:
        """Add the next event."""
        match event:
            case wire.GraphEvent():
                self._graphs.append(event)
            case wire.PassEvent():
                self._passes.append(event)
            case wire.StepEvent():
                self._steps.append(event)
            case _:
                pass
        self.overview.add(event)

    def without(self, earlier: Log) -> MemoryLog:
        """Return the same log without its first events. From now on, these events are read from ``earlier``."""
        left = MemoryLog()
        left._earlier, left._before = earlier, earlier.counts()
        dropped = [after - before for after, before in zip(left._before, self._before, strict=True)]
        left._graphs = self._graphs[dropped[0] :]
        left._passes = self._passes[dropped[1] :]
        left._steps = self._steps[dropped[2] :]
        left.overview = self.overview
        return left

    @classmethod
    def after(cls, earlier: Log, events: Iterable[wire.AnyEvent], overview: Overview) -> MemoryLog:
        """Return the log of ``earlier`` and the events after it. ``overview`` is the overview of all these events."""
        log = cls(events)
        log._earlier, log._before, log.overview = earlier, earlier.counts(), overview
        return log

    def graph(self, index: int) -> wire.GraphEvent:
        before = self._before[0]
        earlier = self._earlier if index < before else None
        return earlier.graph(index) if earlier else _get(self._graphs, index, before, "graph")

    def pass_(self, index: int) -> wire.PassEvent:
        before = self._before[1]
        earlier = self._earlier if index < before else None
        return earlier.pass_(index) if earlier else _get(self._passes, index, before, "pass")

    def step(self, index: int) -> wire.StepEvent:
        before = self._before[2]
        earlier = self._earlier if index < before else None
        return earlier.step(index) if earlier else _get(self._steps, index, before, "step")

    def step_groups(self, start: int, stop: int) -> Iterable[StepGroup]:
        before = self._before[2]
        own = group_steps(self._steps[max(0, start - before) : max(0, stop - before)])
        return chain(self._earlier.step_groups(start, min(stop, before)), own) if self._earlier and start < before else own

    def series(self, keys: Sequence[str], start: int, stop: int) -> dict[str, StepSeries]:
        return read_each(self.step_groups(start, stop), keys)

    def passes(self, start: int, stop: int) -> Iterable[wire.PassEvent]:
        before = self._before[1]
        own = self._passes[max(0, start - before) : max(0, stop - before)]
        return chain(self._earlier.passes(start, min(stop, before)), own) if self._earlier and start < before else own

    def previous_line_steps(self, step: int) -> dict[int, int]:
        return self.overview.history.before(step)

    def lines(self) -> wire.LinesEvent | None:
        return self.overview.lines()

    def others(self) -> Iterator[wire.AnyEvent]:
        return iter(self.overview.others)

    def graph_sizes(self) -> Sequence[tuple[int, int]]:
        return self.overview.graph_sizes

    def counts(self) -> tuple[int, int, int]:
        graphs, passes, steps = self._before
        return graphs + len(self._graphs), passes + len(self._passes), steps + len(self._steps)

    def nonfinite(self) -> NonfiniteIndices:
        return self.overview.nonfinite


def _get(items: list[T], index: int, before: int, kind: str) -> T:
    if 0 <= index - before < len(items):
        return items[index - before]
    raise missing(kind, index, before + len(items))


def missing(kind: str, index: int, count: int) -> NotFound:
    """Return the error for a graph, pass or step that does not exist. ``count`` is the number that exist.

    >>> missing("step", 5, 2)
    NotFound('There is no step 5: the last is 1.')
    """
    reason = f"the last is {count - 1}" if count else f"this run has no {kind}"
    return NotFound(f"There is no {kind} {index}: {reason}.")
