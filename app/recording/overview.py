"""Collect the parts of a recording that are read as a whole, so that reading them costs the same however long the run is."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from .. import wire
from .line_history import LineHistory
from .table_rows import copy_rows
from .tensors import finite

NonfiniteIndices = tuple[Sequence[int], Sequence[int]]
"""Indices of the passes and of the steps that contain NaN or Inf."""
MAX_NONFINITE = 2_000
"""Largest number of passes, and of steps, whose indices are recorded because they contain NaN or Inf."""
JOINED_CHARACTERS = 4_096
"""Number of characters of a printed text above which no further text is joined to it."""
MAX_LINE_EVENTS = 16
"""Number of :class:`wire.LinesEvent` above which they are merged into one."""


class Overview:
    """The rare events of a run, the last value of each line, the sizes of its graphs, and the steps in which lines ran.

    ``others`` has all events except graphs, passes, steps, lines and progress, in order. Consecutive printed texts of one
    cell and stream are joined. One thread may add events while others read.
    """

    def __init__(
        self,
        others: Iterable[wire.AnyEvent] = (),
        lines: wire.LinesEvent | None = None,
        graph_sizes: Iterable[tuple[int, int]] = (),
        history: LineHistory | None = None,
        nonfinite: NonfiniteIndices = ((), ()),
    ) -> None:
        self.others = list(others)
        self.graph_sizes = list(graph_sizes)
        """Number of nodes and edges of each graph."""
        self.history = history or LineHistory()
        self._lines = [lines] if lines is not None else []
        self._awaiting: dict[int, wire.StepEvent | None] = {}
        """The lines whose last value was sent before its step ended, each with the last step that has a newer value."""
        self._await(lines.rows if lines is not None else [])
        self._nonfinite = (list(nonfinite[0]), list(nonfinite[1]))
        self._lock = threading.Lock()

    def add(self, event: wire.AnyEvent) -> None:
        """Add the next event of the run."""
        match event:
            case wire.GraphEvent():
                self.graph_sizes.append((len(event.kind), len(event.gradient)))
            case wire.PassEvent():
                self._check_finite(event.tensors, self._nonfinite[0], event.index)
            case wire.StepEvent():
                lines = own_lines(event)
                self.history.add(lines, [event.index])
                if self._awaiting:
                    with self._lock:
                        self._awaiting |= {line: event for line in lines if line in self._awaiting}
                self._check_finite(event.tensors, self._nonfinite[1], event.index)
            case wire.LinesEvent():
                with self._lock:
                    self._await(event.rows)
                    self._settle()
                    self._lines.append(event)
                    if len(self._lines) > MAX_LINE_EVENTS:
                        self._lines = [merge_lines(self._lines) or event]
            case wire.ProgressEvent():
                pass
            case wire.OutputEvent() if self.others and (joined := _joined(self.others[-1], event)) is not None:
                self.others[-1] = joined
            case _:
                self.others.append(event)

    def lines(self) -> wire.LinesEvent | None:
        """Return the last value of each line in one event, or ``None`` if no line has a value."""
        with self._lock:
            self._settle()
            merged = merge_lines(self._lines)
            self._lines = [merged] if merged is not None else []
            return merged

    def _await(self, rows: Iterable[wire.LineRow]) -> None:
        for row in rows:
            if row.file is None and row.at < 0:
                self._awaiting[row.line] = None
            elif row.file is None:
                self._awaiting.pop(row.line, None)

    def _settle(self) -> None:
        """Replace values that were sent before their step had ended by the newer values of the step."""
        for line, step in self._awaiting.items():
            if step is None:
                continue
            row = next(row for row in step.values if row.file is None and row.line == line)
            tensors = copy_rows([(step.tensors, [row.row] if row.row >= 0 else [])])
            value = wire.LineRow(line, None, row.text, 0 if row.row >= 0 else -1, row.graph, step.index)
            self._lines.append(wire.LinesEvent([value], tensors))
            self._awaiting[line] = None

    @property
    def nonfinite(self) -> NonfiniteIndices:
        """The first :data:`MAX_NONFINITE` passes and steps that contain NaN or Inf."""
        return self._nonfinite

    @staticmethod
    def _check_finite(table: wire.TensorTable, nonfinite: list[int], index: int) -> None:
        if len(nonfinite) < MAX_NONFINITE and not finite(table):
            nonfinite.append(index)


def own_lines(step: wire.StepEvent) -> list[int]:
    """Return the lines of the program that have a value in a step, without lines of other files."""
    return [line.line for line in step.values if line.file is None]


def _joined(last: wire.AnyEvent, event: wire.OutputEvent) -> wire.OutputEvent | None:
    """Return one event with the text of two, or ``None`` if they differ in cell or stream, or if the first is long."""
    if not isinstance(last, wire.OutputEvent) or (last.cell, last.stream) != (event.cell, event.stream):
        return None
    if len(last.text) >= JOINED_CHARACTERS:
        return None
    return wire.OutputEvent(last.text + event.text, event.cell, event.stream)


def merge_lines(events: Sequence[wire.LinesEvent]) -> wire.LinesEvent | None:
    """Return one event with the last value of each line and the tensors of these values, or ``None`` without events."""
    if len(events) <= 1:
        return events[0] if events else None
    last: dict[tuple[str | None, int], tuple[int, wire.LineRow]] = {}
    for index, event in enumerate(events):
        last |= {(row.file, row.line): (index, row) for row in event.rows}
    pieces: list[list[int]] = [[] for _ in events]
    for index, row in last.values():
        if row.row >= 0:
            pieces[index].append(row.row)
    moved = {each: at for at, each in enumerate((index, row) for index, rows in enumerate(pieces) for row in rows)}
    rows = [
        wire.LineRow(row.line, row.file, row.text, moved.get((index, row.row), -1), row.graph, row.at)
        for index, row in last.values()
    ]
    return wire.LinesEvent(rows, copy_rows(zip((event.tensors for event in events), pieces, strict=True)))
