"""Record the latest value of each line, and its value in the current step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from ... import wire
from ..tensors.handles import next_sequence_nr, storage_pointer
from ..tensors.kinds import PLAIN_TYPES, is_uninitialized
from ..tensors.lifetimes import Lifetimes
from ..tensors.memory import Write
from ..tensors.references import WeakTensor, weak
from ..tensors.snapshot import Snapshot, grad_fn_of, small_copy
from ..tensors.table import TableBuilder
from .statements import Statement
from .value_text import NUMBERS, SHORT, Text, brief_text, overwritten_text, snapshot_text, tensor_text, text_of, whole_text

_SWEEP = 1_000
"""Number of tensors above which tensors that are not the last value of a line are forgotten."""
_FEW = 4
"""Number of new values up to which checking each value is faster than indexing all of them."""

SHORT_TEXT = 40
"""Number of characters up to which a text is part of a summarized step."""
LARGE_ELEMENTS = 1 << 18
"""Number of elements from which a tensor counts as large."""
LARGE_BYTES = 1 << 28
"""Total bytes of the large tensors of all lines above which small copies replace the oldest, to release their memory."""


class StatementValue:
    """The value of a statement when it ran.

    ``content`` is a tensor until something writes to it, then a copy: a snapshot, or a tensor of the recorder's own. ``moment``
    is its time within the step (see :class:`wire.LineRow`), and ``step`` the index of that step once it has ended.
    ``sequence_nr`` is the number of the first node that was made afterwards. ``reference`` refers weakly to a tensor that
    has a graph and was copied at once.
    """

    __slots__ = ("content", "moment", "reference", "sequence_nr", "statement", "step", "text")
    statement: Statement
    content: Tensor | Snapshot | None
    text: Text | None
    sequence_nr: int
    moment: int

    def __init__(self) -> None:
        self.step = -1
        self.reference: WeakTensor | None = None

    def brief(self) -> str | None:
        """Return the text that is sent while the program runs. A loop variable's text includes its name, as in ``i = 3``."""
        text = brief_text(self.text)
        return text if text is None or self.statement.kind != "target" else f"{self.statement.names[0]} = {text}"

    def whole(self) -> str | None:
        """Return the text that is sent when the program has ended."""
        return self.brief() if self.statement.kind == "target" else whole_text(self.text)

    def copy_at_once(self, tensor: Tensor, kept: int) -> None:
        """Replace the tensor by a copy, and record how it prints, since the program may notice that it is kept."""
        self.reference = weak(tensor) if grad_fn_of(tensor) is not None else None
        self.copy(tensor, kept)
        if self.text is None and isinstance(self.content, Snapshot):
            self.text = overwritten_text(tensor, self.content)

    def with_graph(self) -> Tensor | None:
        """Return the tensor if it is alive and has a graph, else ``None``."""
        tensor = self.reference.get() if self.reference is not None else self.content
        return tensor if isinstance(tensor, Tensor) and grad_fn_of(tensor) is not None else None

    def copy(self, tensor: Tensor, kept: int) -> None:
        """Replace the tensor by a copy, and record how it prints, before something writes to it."""
        copied = small_copy(tensor)
        if copied is not None:
            self.content = copied
            return
        snapshot = self.content = Snapshot(tensor, kept)
        if self.text is None and self.statement.kind == "show":
            self.text = overwritten_text(tensor, snapshot)


class LineValues:
    """The values of lines. ``kept`` is the largest number of elements of a tensor that is kept whole."""

    def __init__(self, kept: int, lifetimes: Lifetimes) -> None:
        self._kept = kept
        self._lifetimes = lifetimes
        self._latest: dict[int, StatementValue] = {}
        self._step: dict[int, StatementValue] = {}
        self._unassigned: dict[int, StatementValue] = {}
        """The latest values that belong to no step yet."""
        self._fresh: set[int] = set()
        """The lines whose new tensors are not in the sets and dicts below yet. :meth:`_look_at_fresh` adds them."""
        self._pending: set[int] = set()
        self._unchecked: set[int] = set()
        """The lines whose values were recorded since a standing write (see :class:`Write`) was last announced."""
        self._lines_of: dict[int, set[int]] = {}
        """By the id of a tensor, the lines whose values may contain it."""
        self._by_storage: dict[int, set[int]] = {}
        """By the address of a storage, the lines whose values may use it, except for the ``_unsorted`` lines."""
        self._unsorted: set[int] = set()
        self._sweep_at = _SWEEP
        self._large: dict[int, StatementValue] = {}
        """By line, the values that are large tensors without a graph, the oldest first."""
        self.moment = 0
        """The number of passes of the current step that have ended, plus one once its update has begun."""

    def record(self, statement: Statement, value: Any) -> None:
        """Record the value of a statement that has run."""
        kind = type(value)
        content: Tensor | None = None
        text: Text | None = None
        if kind in PLAIN_TYPES or (kind not in NUMBERS and isinstance(value, Tensor) and not is_uninitialized(value)):
            content = value
        else:
            text = (value,) if kind is float or (kind is int and -SHORT < value < SHORT) else _text_of(statement, value)
            if text is None:
                return
        line = statement.line
        taken = self._unassigned.get(line)
        if taken is None:  # otherwise reuse the value, which belongs to no step yet
            taken = self._latest[line] = self._unassigned[line] = StatementValue()
        taken.statement = statement
        taken.content = content
        taken.text = text
        taken.sequence_nr = next_sequence_nr()
        taken.moment = self.moment
        if self._lifetimes.observed:
            taken.reference = None
            if content is not None:
                taken.copy_at_once(content, self._kept)
            self._pending.add(line)
        else:
            (self._pending if content is None else self._fresh).add(line)
            if content is not None and content.numel() >= LARGE_ELEMENTS and not content.requires_grad:
                self._limit_memory(line, taken)

    def _limit_memory(self, line: int, newest: StatementValue) -> None:
        """Replace the oldest large tensors by copies of a few elements, so that the others take at most :data:`LARGE_BYTES`."""
        self._large.pop(line, None)
        sizes = {each: value.content.nbytes for each, value in self._large.items() if isinstance(value.content, Tensor)}
        total = sum(sizes.values())
        for oldest, size in sizes.items():
            if total <= LARGE_BYTES:
                break
            value = self._large.pop(oldest)
            assert isinstance(value.content, Tensor)
            value.copy(value.content, self._kept)
            total -= size
        self._large[line] = newest

    def _look_at_fresh(self) -> None:
        """Index the tensors that were recorded since the last call. Most tensors are replaced before they must be indexed."""
        fresh = self._fresh
        self._pending |= fresh
        self._unchecked |= fresh
        self._unsorted |= fresh
        for value in self._values(fresh):
            self._lines_of.setdefault(id(value.content), set()).add(value.statement.line)
        fresh.clear()
        if len(self._lines_of) > self._sweep_at:
            self._sweep()

    def _values(self, lines: Iterable[int]) -> Iterator[StatementValue]:
        """Yield the values of these lines that are still tensors, not copies."""
        for line in lines:
            for values in (self._latest, self._step):
                value = values.get(line)
                if value is not None and isinstance(value.content, Tensor):
                    yield value

    def _sort(self) -> None:
        for value in self._values(self._unsorted):
            assert isinstance(value.content, Tensor)
            self._by_storage.setdefault(storage_pointer(value.content), set()).add(value.statement.line)
        self._unsorted.clear()

    def _sweep(self) -> None:
        """Rebuild the indexes of lines by tensor and by storage from the latest values."""
        self._lines_of.clear()
        self._by_storage.clear()
        for value in self._values(list(self._latest)):
            self._lines_of.setdefault(id(value.content), set()).add(value.statement.line)
            self._unsorted.add(value.statement.line)
        self._sweep_at = 2 * len(self._lines_of) + _SWEEP

    def protect(self, write: Write) -> None:
        """Copy the tensors that ``write`` is about to change."""
        if write.standing:
            self._look_at_fresh()
            self._copy(write, self._unchecked)
            self._unchecked.clear()
            return
        fresh = self._fresh
        if write.shared or len(fresh) > _FEW or len(write.targets) > 1:
            self._look_at_fresh()
        every = (self._latest, self._step) if self._step else (self._latest,)
        for target in write.targets:
            for line in (*self._lines_of.pop(id(target), ()), *fresh):
                for values in every:
                    value = values.get(line)
                    if value is not None and value.content is target:
                        value.copy(target, self._kept)
        if write.shared:
            self._sort()
            if len(self._by_storage) > self._sweep_at:
                self._sweep()
                self._sort()
            for key in write.shared & self._by_storage.keys():
                self._copy(write, self._by_storage.pop(key))

    def _copy(self, write: Write, lines: set[int]) -> None:
        """Copy those tensors of these lines that ``write`` reaches."""
        for line in lines:
            for values in (self._latest, self._step):
                value = values.get(line)
                if value is not None and isinstance(content := value.content, Tensor) and write.reaches(content):
                    value.copy(content, self._kept)

    def release_graphs(self) -> None:
        """Replace each tensor that has a graph by a snapshot."""
        for values in (self._latest, self._step):
            for value in values.values():
                if isinstance(value.content, Tensor) and grad_fn_of(value.content) is not None:
                    value.copy(value.content, self._kept)

    def assign_to_step(self, before: int | None = None) -> None:
        """Assign the values recorded so far to the current step, or only those recorded before the node numbered ``before``."""
        taken, self._unassigned = (
            self._unassigned,
            {},
        )  # replacing a value may run a finalizer or another thread, which adds more
        if before is not None:
            later = {line: value for line, value in taken.items() if value.sequence_nr > before}
            self._unassigned = later | self._unassigned
            taken = {line: value for line, value in taken.items() if value.sequence_nr <= before}
        self._step |= taken

    def end_step(self, index: int, table: TableBuilder, update: Iterable[int], *, whole: bool = True) -> list[wire.LineRow]:
        """Return the rows of the step that ends. Later values belong to the next step.

        The value of a line of the step's ``update`` is recorded after its write has called :meth:`assign_to_step`, so it is
        added here. If the step is not recorded ``whole``, only single numbers and short texts are included.
        """
        for line in update:
            if line not in self._step and line in self._unassigned:
                self._step[line] = self._unassigned.pop(line)
        rows = [
            wire.LineRow(line, None, text, table.add(value.content), at=value.moment)
            if whole or _is_short(text, value.content)
            else wire.LineRow(line, None, None, at=value.moment)
            for line, value, text in ((line, value, value.brief()) for line, value in sorted(self._step.items()))
        ]
        for value in self._step.values():
            value.step = index
        for value in self._unassigned.values():
            value.moment = 0
        self._step = {}
        self.moment = 0
        return rows

    def pending_rows(self, table: TableBuilder) -> list[wire.LineRow]:
        """Return the latest values that have not been sent since they changed."""
        self._look_at_fresh()
        latest = [(line, self._latest[line]) for line in sorted(self._pending)]
        rows = [
            wire.LineRow(line, None, value.brief(), table.add(value.content), at=value.step)
            for line, value in latest
            if value.content is not None or value.text is not None
        ]
        self._pending.clear()
        return rows

    def final_rows(
        self, table: TableBuilder, graph_reached: Callable[[Tensor], int], graphs_of: Callable[[Sequence[Tensor]], list[int]]
    ) -> list[wire.LineRow]:
        """Return all latest values as a notebook shows them. The row of a tensor with a graph has the index of a graph.

        For an assigned value, it is the graph of the last pass that reached the value. A displayed value has a graph of its own
        where that is cheap.
        """
        graphs: dict[int, int] = {}
        """By line, the graph of the last pass that reached its value, or -1."""
        others: dict[int, Tensor] = {}
        """By id, the tensors without such a graph. Several lines may show one tensor."""
        values = sorted(self._latest.items())
        for line, value in values:
            tensor = value.with_graph()
            if tensor is not None:
                graphs[line] = -1 if value.statement.kind == "show" else graph_reached(tensor)
                if graphs[line] < 0:
                    others[id(tensor)] = tensor
        graphs_of_others = dict(zip(others, graphs_of(list(others.values())), strict=True))
        rows = []
        texts: dict[int, str] = {}  # an object shown on several lines is printed once
        for line, value in values:
            content, text = value.content, value.whole()
            if text is None and isinstance(content, Tensor):
                text = texts.get(id(content))
                if text is None:
                    text = texts[id(content)] = tensor_text(content)
            elif text is None and isinstance(content, Snapshot):
                text = snapshot_text(content)
            if text is None:
                continue
            graph = graphs.get(line, -1)
            if graph < 0:
                graph = graphs_of_others.get(id(value.with_graph()), -1)
            rows.append(wire.LineRow(line, None, text, table.add(content), graph, value.step))
        return rows

    def last_with_grad_fn(self) -> Tensor | None:
        """Return the tensor with a ``grad_fn`` that was computed or shown last."""
        found = [
            (value.sequence_nr, value.statement.line, tensor)
            for value in self._latest.values()
            if (tensor := value.with_graph()) is not None
        ]
        return max(found, key=lambda each: each[:2])[2] if found else None


def _is_short(text: str | None, content: Tensor | Snapshot | None) -> bool:
    """Return whether a value is a single number or a short text."""
    count = content.traits.count if isinstance(content, Snapshot) else 1 if content is None else content.numel()
    return count == 1 and (text is None or len(text) <= SHORT_TEXT)


def _text_of(statement: Statement, value: Any) -> Text | None:
    """Return the text of a value that is not a tensor, or ``None`` if there is nothing to show."""
    show = statement.kind == "show"
    if value is None:
        return None if show or statement.kind == "return" else "None"
    text, shows_content = text_of(value)
    return text if shows_content or not show else None  # a function, or a repr that would only show an address
