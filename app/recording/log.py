"""Define the protocol for reading the events of a run, and implement it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol, TypeVar

import numpy as np

from .. import wire
from ..errors import NotFound
from .line_history import LineHistory
from .step_groups import StepGroup, group_steps
from .tensors import finite

T = TypeVar("T")


NonfiniteIndices = tuple[Sequence[int], Sequence[int]]
"""Indices of the passes and of the steps that contain NaN or Inf."""
MAX_NONFINITE = 2_000
"""Largest number of passes, and of steps, whose indices are recorded because they contain NaN or Inf."""


class Log(Protocol):
    """The events of a run, in memory or in the store. Methods raise :class:`NotFound` for a missing event."""

    def graph(self, index: int) -> wire.GraphEvent: ...
    def pass_(self, index: int) -> wire.PassEvent: ...
    def step(self, index: int) -> wire.StepEvent: ...
    def passes(self, start: int, stop: int) -> Iterable[wire.PassEvent]:
        """Return the passes from ``start`` to before ``stop``, as far as they exist."""

    def step_groups(self, start: int, stop: int) -> Iterable[StepGroup]:
        """Return the steps from ``start`` to before ``stop``, as far as they exist, in groups."""

    def previous_line_steps(self, step: int) -> dict[int, int]:
        """Return for each line of the program the last step before ``step`` in which it ran, if there is one."""

    def lines(self) -> wire.LinesEvent | None:
        """Return the last value of each line in one event."""

    def others(self) -> Iterator[wire.AnyEvent]:
        """Yield all events except graphs, passes, steps, lines and progress, in order."""

    def counts(self) -> tuple[int, int, int]:
        """Return the number of graphs, passes and steps."""

    def nonfinite(self) -> NonfiniteIndices:
        """Return the first :data:`MAX_NONFINITE` passes and steps that contain NaN or Inf."""


class MemoryLog:
    """A log of events in memory.

    ``earlier`` is the log of the preceding events, and ``nonfinite`` the indices of the passes and steps among them that
    contain NaN or Inf.
    """

    def __init__(
        self, events: Iterable[wire.AnyEvent] = (), earlier: Log | None = None, nonfinite: NonfiniteIndices = ((), ())
    ) -> None:
        self._earlier = earlier
        self._before = earlier.counts() if earlier is not None else (0, 0, 0)
        self._graphs: list[wire.GraphEvent] = []
        self._passes: list[wire.PassEvent] = []
        self._steps: list[wire.StepEvent] = []
        self._others: list[wire.AnyEvent] = []
        self._lines: list[wire.LinesEvent] = []
        self._history = LineHistory()
        _, passes, steps = self._before
        self._nonfinite = (
            [index for index in nonfinite[0] if index < passes],
            [index for index in nonfinite[1] if index < steps],
        )
        for event in events:
            self.append(event)

    def append(self, event: wire.AnyEvent) -> None:
        """Add the next event."""
        match event:
            case wire.GraphEvent():
                self._graphs.append(event)
            case wire.PassEvent():
                self._passes.append(event)
                self._check_finite(event.tensors, self._nonfinite[0], self.counts()[1] - 1)
            case wire.StepEvent():
                self._steps.append(event)
                self._history.add(own_lines(event), [event.index])
                self._check_finite(event.tensors, self._nonfinite[1], self.counts()[2] - 1)
            case wire.LinesEvent():
                self._lines.append(event)
            case wire.ProgressEvent():
                pass
            case _:
                self._others.append(event)

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

    def passes(self, start: int, stop: int) -> Iterable[wire.PassEvent]:
        before = self._before[1]
        own = self._passes[max(0, start - before) : max(0, stop - before)]
        return chain(self._earlier.passes(start, min(stop, before)), own) if self._earlier and start < before else own

    def previous_line_steps(self, step: int) -> dict[int, int]:
        own = self._history.before(step)
        return self._earlier.previous_line_steps(min(step, self._before[2])) | own if self._earlier else own

    def lines(self) -> wire.LinesEvent | None:
        earlier = self._earlier.lines() if self._earlier else None
        return merge_lines([earlier, *self._lines] if earlier else self._lines)

    def others(self) -> Iterator[wire.AnyEvent]:
        return chain(self._earlier.others(), self._others) if self._earlier else iter(self._others)

    def counts(self) -> tuple[int, int, int]:
        graphs, passes, steps = self._before
        return graphs + len(self._graphs), passes + len(self._passes), steps + len(self._steps)

    def nonfinite(self) -> NonfiniteIndices:
        return self._nonfinite

    @staticmethod
    def _check_finite(table: wire.TensorTable, nonfinite: list[int], index: int) -> None:
        if len(nonfinite) < MAX_NONFINITE and not finite(table):
            nonfinite.append(index)


def own_lines(step: wire.StepEvent) -> list[int]:
    """Return the lines of the program that have a value in a step, without lines of other files."""
    return [line.line for line in step.values if line.file is None]


def merge_lines(events: list[wire.LinesEvent]) -> wire.LinesEvent | None:
    """Return one event with the last value of each line and all tables joined, or ``None`` without events."""
    if len(events) <= 1:
        return events[0] if events else None
    tables: list[wire.TensorTable] = []
    last: dict[tuple[str | None, int], wire.LineRow] = {}
    base = names = 0
    for event in events:
        for row in event.rows:
            moved = wire.LineRow(row.line, row.file, row.text, row.row + base if row.row >= 0 else -1, row.graph, row.at)
            last[row.file, row.line] = moved
        tables.append(_shift_names(event.tensors, names))
        base += len(event.tensors.dtype)
        names += len(event.tensors.names)
    joined = wire.TensorTable(
        **{
            field: b"".join(getattr(table, field) for table in tables)
            for field in ("dtype", "flags", "grad_fn", "ndim", "dims", "stats", "counts", "values")
        },
        names=[name for table in tables for name in table.names],
    )
    return wire.LinesEvent(list(last.values()), joined)


def _shift_names(table: wire.TensorTable, by: int) -> wire.TensorTable:
    if not by or not table.names:
        return table
    column = np.frombuffer(table.grad_fn, "<u2")
    moved = np.where(column > 0, column + by, 0).astype("<u2")
    return wire.TensorTable(
        table.dtype, table.flags, moved.tobytes(), table.names, table.ndim, table.dims, table.stats, table.counts, table.values
    )


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
