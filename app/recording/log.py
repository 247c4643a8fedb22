"""Find the events of a run again, at hand or wherever they are kept."""

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
MAX_NONFINITE = 2_000
"""Passes and steps that are remembered for numbers that are not finite: the first ones tell where these began."""


class Log(Protocol):
    """Where the events of a run are found again. Missing ones raise :class:`NotFound`."""

    def graph(self, index: int) -> wire.GraphEvent: ...
    def pass_(self, index: int) -> wire.PassEvent: ...
    def step(self, index: int) -> wire.StepEvent: ...
    def passes(self, start: int, stop: int) -> Iterable[wire.PassEvent]:
        """The passes from one index to before another, as far as there are."""

    def step_groups(self, start: int, stop: int) -> Iterable[StepGroup]:
        """The steps likewise, those together that are alike."""

    def previous_line_steps(self, step: int) -> dict[int, int]:
        """The last step before one in which each line of the program ran, for those that did."""

    def lines(self) -> wire.LinesEvent | None:
        """All last values of lines, merged."""

    def others(self) -> Iterator[wire.AnyEvent]:
        """Every event but graphs, passes, steps, lines and progress, in order."""

    def counts(self) -> tuple[int, int, int]:
        """How many graphs, passes and steps there are."""

    def nonfinite(self) -> NonfiniteIndices:
        """The passes and steps with a number that is not finite, the first :data:`MAX_NONFINITE` of each."""


class MemoryLog:
    """A log of the events at hand; ``earlier`` has those before them, and ``nonfinite`` is what is known of these."""

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
        self._ran = LineHistory()
        _, passes, steps = self._before
        self._nonfinite = [at for at in nonfinite[0] if at < passes], [at for at in nonfinite[1] if at < steps]
        for event in events:
            self.append(event)

    def append(self, event: wire.AnyEvent) -> None:
        """Take in the next event."""
        match event:
            case wire.GraphEvent():
                self._graphs.append(event)
            case wire.PassEvent():
                self._passes.append(event)
                self._look(event.tensors, self._nonfinite[0], self.counts()[1] - 1)
            case wire.StepEvent():
                self._steps.append(event)
                self._ran.tell(own_lines(event), [event.index])
                self._look(event.tensors, self._nonfinite[1], self.counts()[2] - 1)
            case wire.LinesEvent():
                self._lines.append(event)
            case wire.ProgressEvent():
                pass
            case _:
                self._others.append(event)

    def graph(self, index: int) -> wire.GraphEvent:
        before = self._before[0]
        earlier = self._earlier if index < before else None
        return earlier.graph(index) if earlier else _at(self._graphs, index, before, "graph")

    def pass_(self, index: int) -> wire.PassEvent:
        before = self._before[1]
        earlier = self._earlier if index < before else None
        return earlier.pass_(index) if earlier else _at(self._passes, index, before, "pass")

    def step(self, index: int) -> wire.StepEvent:
        before = self._before[2]
        earlier = self._earlier if index < before else None
        return earlier.step(index) if earlier else _at(self._steps, index, before, "step")

    def step_groups(self, start: int, stop: int) -> Iterable[StepGroup]:
        before = self._before[2]
        own = group_steps(self._steps[max(0, start - before) : max(0, stop - before)])
        return chain(self._earlier.step_groups(start, min(stop, before)), own) if self._earlier and start < before else own

    def passes(self, start: int, stop: int) -> Iterable[wire.PassEvent]:
        before = self._before[1]
        own = self._passes[max(0, start - before) : max(0, stop - before)]
        return chain(self._earlier.passes(start, min(stop, before)), own) if self._earlier and start < before else own

    def previous_line_steps(self, step: int) -> dict[int, int]:
        own = self._ran.before(step)
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
    def _look(table: wire.TensorTable, nonfinite: list[int], index: int) -> None:
        if len(nonfinite) < MAX_NONFINITE and not finite(table):
            nonfinite.append(index)


def own_lines(step: wire.StepEvent) -> list[int]:
    """The lines of the program itself that a step has values of."""
    return [line.line for line in step.values if line.file is None]


def merge_lines(events: list[wire.LinesEvent]) -> wire.LinesEvent | None:
    """One event with the last value of each line. The tables are joined end to end."""
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


def _at(items: list[T], index: int, before: int, what: str) -> T:
    if 0 <= index - before < len(items):
        return items[index - before]
    count = before + len(items)
    remedy = f"the last is {count - 1}" if count else f"this run has no {what}"
    raise NotFound(f"There is no {what} {index}: {remedy}.")
