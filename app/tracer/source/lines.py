"""Keep what each line's value is: the last one of every line, and those of the step under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from ... import wire
from ..tensors.handles import next_sequence_nr, storage_pointer
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot, grad_fn_of
from ..tensors.table import TableBuilder
from .statements import Statement
from .value_text import is_plain, short_text, snapshot_text, tensor_text


class LineValue:
    """The value of a statement when it ran. A tensor is held until something writes to it, then a snapshot.

    ``moment`` is when in its step, see :class:`wire.LineRow`; ``step`` that step, once it has ended.
    """

    __slots__ = ("content", "moment", "sequence_nr", "statement", "step", "text")

    def __init__(self, statement: Statement, held: Tensor | Snapshot | None, text: str | None) -> None:
        self.statement = statement
        self.content = held
        self.text = text
        self.sequence_nr = next_sequence_nr()
        self.moment = 0
        self.step = -1

    def copy(self, tensor: Tensor, kept: int) -> None:
        """Something is about to write to the tensor that is held: copy it, and how it prints."""
        if self.text is None and self.statement.kind == "show":
            self.text = tensor_text(tensor)
        self.content = Snapshot(tensor, kept)


class LineValues:
    """The values of lines. ``kept`` is how many elements of a tensor are kept whole."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._latest: dict[int, LineValue] = {}
        self._step: dict[int, LineValue] = {}
        self._tail: dict[int, LineValue] = {}
        self._pending: set[int] = set()
        self.moment = 0
        """How many passes of the step under way have ended, and one more once its update has begun."""

    def record(self, statement: Statement, value: Any) -> None:
        """A statement has run."""
        if isinstance(value, Tensor):
            self.record_tensor(statement, value)
            return
        text = short_text(value)
        if text == "" or (statement.kind == "show" and text is not None and not is_plain(value)):
            return  # a function, or an object that shows nothing but its address
        if text is not None and statement.kind == "target":
            text = f"{statement.names[0]} = {text}"
        if value is None:
            if statement.kind in ("show", "return"):
                return
            text = "None"
        self._record(statement, LineValue(statement, None, text))

    def record_tensor(self, statement: Statement, value: Tensor) -> None:
        """A statement has run, and its value is a tensor."""
        self._record(statement, LineValue(statement, value, None))

    def _record(self, statement: Statement, taken: LineValue) -> None:
        line = statement.line
        taken.moment = self.moment
        self._latest[line] = taken
        self._tail[line] = taken
        self._pending.add(line)

    def protect(self, write: Write) -> None:
        """Memory is about to be written to."""
        ids, shared = write.ids, write.shared
        for values in (self._latest, self._step, self._tail):
            for value in values.values():
                held = value.content
                if held is None or type(held) is Snapshot:
                    continue
                assert isinstance(held, Tensor)
                if id(held) in ids or (shared and storage_pointer(held) in shared):
                    value.copy(held, self._kept)

    def release_graphs(self) -> None:
        """Hold no graph any more: what has one is copied."""
        for values in (self._latest, self._step, self._tail):
            for value in values.values():
                if isinstance(value.content, Tensor) and grad_fn_of(value.content) is not None:
                    value.copy(value.content, self._kept)

    def close_segment(self, before: int | None = None) -> None:
        """What ran until now belongs to the step under way; with ``before``, what ran until that node was made."""
        if before is None:
            self._step |= self._tail
            self._tail = {}
            return
        self._step |= {line: value for line, value in self._tail.items() if value.sequence_nr <= before}
        self._tail = {line: value for line, value in self._tail.items() if value.sequence_nr > before}

    def end_step(self, index: int, table: TableBuilder, update: Iterable[int]) -> list[wire.LineRow]:
        """The values of lines in the step that ends; what ran since :meth:`close_segment` belongs to the next.

        But for the lines of its ``update``: these have a value only once they have made it.
        """
        for line in update:
            if line not in self._step and line in self._tail:
                self._step[line] = self._tail.pop(line)
        rows = [
            wire.LineRow(line, None, value.text, table.add(value.content), at=value.moment)
            for line, value in sorted(self._step.items())
        ]
        for value in self._step.values():
            value.step = index
        for value in self._tail.values():
            value.moment = 0
        self._step = {}
        self.moment = 0
        return rows

    def pending_rows(self, table: TableBuilder) -> list[wire.LineRow]:
        """The last values that have not been told since they changed."""
        rows = [
            wire.LineRow(line, None, value.text, table.add(value.content), at=value.step)
            for line, value in sorted(self._latest.items())
            if line in self._pending and (value.content is not None or value.text is not None)
        ]
        self._pending.clear()
        return rows

    def final_rows(
        self, table: TableBuilder, graph_reached: Callable[[Tensor], int], graph_of: Callable[[Tensor], int]
    ) -> list[wire.LineRow]:
        """All last values as a notebook shows them, each tensor that has a grad_fn with its graph.

        What a line displays has a graph of its own; what it assigns is shown in the graph of the pass that reached it.
        """
        rows = []
        texts: dict[int, str] = {}  # what is shown on several lines is printed once, and its graph told once
        graphs: dict[int, int] = {}
        for line, value in sorted(self._latest.items()):
            held, text = value.content, value.text
            if text is None and isinstance(held, Tensor):
                text = texts.get(id(held))
                if text is None:
                    text = texts[id(held)] = tensor_text(held)
            elif text is None and isinstance(held, Snapshot):
                text = snapshot_text(held)
            if text is None:
                continue
            graph = -1
            if isinstance(held, Tensor) and grad_fn_of(held) is not None:
                graph = -1 if value.statement.kind == "show" else graph_reached(held)
                if graph < 0:
                    graph = graphs.get(id(held), -1)
                if graph < 0:
                    graph = graphs[id(held)] = graph_of(held)
            rows.append(wire.LineRow(line, None, text, table.add(held), graph, value.step))
        return rows

    def last_with_grad_fn(self) -> Tensor | None:
        """The tensor with a grad_fn that was computed or shown last."""
        found = [
            (value.sequence_nr, value.statement.line, value.content)
            for value in self._latest.values()
            if isinstance(value.content, Tensor) and grad_fn_of(value.content) is not None
        ]
        return max(found, key=lambda each: each[:2])[2] if found else None
