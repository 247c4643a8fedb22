"""Gather the tensors that an event tells of, a row each, and sum the large ones up.

That is done as soon as a table is complete, so that nothing holds them any longer, and for all of one size together. Small
ones are held until they are packed, or until something is about to write to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...model import Capture
from . import statistics
from .memory import Write
from .snapshot import OTHER, PLAIN, Facts, Snapshot, facts_of
from .statistics import is_dense
from .transforms import outside

NOTHING, EMPTY, VALUE, BOTH, NUMBERS = range(5)
"""What a row tells of its elements: nothing, that there are none, its one value, values with statistics, statistics alone."""
SMALL = 1024
"""Elements up to which a tensor is held until it is packed, and then summed up with those of other tables."""
TABLE_BYTES = 14 << 20
"""What the numbers of a table may take; past it the elements of its largest tensors are left out, then its last statistics."""
_STATS_BYTES = 56
"""What the statistics of a row take."""


class Table:
    """Tensors on their way to one event. A row is known by its place; -1 stands for no tensor.

    ``kept`` is the largest number of elements that is kept whole.
    """

    def __init__(self, kept: int, capture: Capture) -> None:
        self.kept = {"full": max(kept, 1), "norms": 1, "graph": -1}[capture]
        self._copied = max(self.kept, SMALL) if capture != "graph" else -1
        self.numbers = capture != "graph"
        self.rows: list[Any] = []
        self.facts: list[Facts] = []
        self.tells: list[int] = []
        self.later: list[int] = []
        """The rows whose statistics are still to be read."""
        self.waiting = 0
        """The bytes of their elements."""
        self.shortened = False
        """Whether there were more numbers than :data:`TABLE_BYTES`."""
        self._size = 0
        """The bytes of all its numbers."""
        self._seen: dict[int, int] = {}

    def add(self, tensor: Tensor | Snapshot | None) -> int:
        """Give a tensor a row. Its elements are read when the table is packed: nothing may write to it until then."""
        return self.add_all((tensor,))[0]

    def add_all(self, tensors: Iterable[Tensor | Snapshot | None]) -> list[int]:
        """Give each of several tensors a row; what has one already keeps it."""
        seen, rows = self._seen, self.rows
        places = []
        for tensor in tensors:
            if tensor is None:
                places.append(-1)
                continue
            place = seen.get(id(tensor))
            if place is None:
                place = seen[id(tensor)] = len(rows)
                rows.append(tensor)
            places.append(place)
        return places

    def copy(self, tensor: Tensor | None) -> int:
        """Give a tensor a row with the elements that it has now."""
        return -1 if tensor is None else self.add(self.snapshot(tensor))

    def snapshot(self, tensor: Tensor) -> Snapshot:
        """A tensor as it is now, with as much of it as this table keeps."""
        return Snapshot(tensor, self._copied)

    def shared(self, tensor: Tensor, *, apart: bool = False) -> Tensor | Snapshot:
        """What several tables can tell a tensor by: itself where it is small, else what is summed up but once.

        ``apart``: what it shows of others, inside a transform, is read now.
        """
        if apart or tensor.layout is not torch.strided or type(tensor) not in PLAIN:
            return self.snapshot(tensor)
        if tensor.numel() <= self._copied or not self.numbers:
            return tensor
        facts = facts_of(tensor)
        return Snapshot.of(facts, tensor) if facts.readable and facts.code != OTHER else self.snapshot(tensor)

    def known_as(self, tensor: Tensor, snapshot: Tensor | Snapshot) -> int:
        """Give a snapshot a row, and let the tensor that it was taken of be known by that row."""
        place = self._seen[id(tensor)] = self.add(snapshot)
        return place

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy the rows that are there. They are known by no tensor any more."""
        seen = self._seen
        if write.shared:
            for place, row in enumerate(self.rows):
                if isinstance(row, Tensor) and write.reaches(row):
                    self.keep(place)
            return
        for target in write.targets:
            known = seen.get(id(target))
            if known is not None and self.rows[known] is target:
                self.keep(known)
            elif known is not None:
                del seen[id(target)]  # it is known by a snapshot of what it was

    def keep(self, place: int) -> None:
        """Copy a row's tensor."""
        row = self.rows[place]
        if isinstance(row, Tensor):
            self._seen.pop(id(row), None)
            self.rows[place] = Snapshot(row, self._copied)

    def settle(self) -> None:
        """The table is complete: note what is true of each row, and sum up the large ones."""
        with torch._C.DisableTorchFunction():  # the program's own modes and subclasses are not to see it
            self._settle()

    def _settle(self) -> None:
        kept, rows, tells = self.kept, self.rows, self.tells
        large: list[int] = []
        for place in range(len(self.facts), len(rows)):
            row = rows[place]
            facts = row.facts if type(row) is Snapshot else facts_of(row)
            count = facts.count
            if facts.sparse and type(row) is not Snapshot:
                row = rows[place] = Snapshot(row, self._copied)
            self.facts.append(facts)
            if not self.numbers or not facts.readable:
                tells.append(EMPTY if count == 0 and facts.code != OTHER else NOTHING)
            elif count <= kept and facts.code != OTHER and not (type(row) is Snapshot and row.value is None):
                tells.append(BOTH if count > 1 else VALUE if count else EMPTY)
                self._size += facts.width + (_STATS_BYTES if count > 1 else 0)
            elif count == 0:
                tells.append(EMPTY if facts.code != OTHER else NOTHING)
            else:
                tells.append(NUMBERS)
                self._size += _STATS_BYTES
                if count <= SMALL and facts.code != OTHER:
                    self.later.append(place)
                    self.waiting += facts.width
                else:
                    large.append(place)
        if large:
            sum_up([(self, large)])
        if self._size > TABLE_BYTES:
            self._shorten(TABLE_BYTES)

    def _shorten(self, most: int) -> None:
        """Leave out numbers until they take no more bytes than ``most``."""
        self.shortened = True
        whole = [place for place, told in enumerate(self.tells) if told == BOTH]
        for place in sorted(whole, key=lambda place: -self.facts[place].width):
            if self._size <= most:
                return
            self._size -= self.facts[place].width
            self.tells[place] = NUMBERS
            self.later.append(place)
        for place in reversed([place for place, told in enumerate(self.tells) if told >= BOTH]):
            if self._size <= most:
                return
            self._size -= _STATS_BYTES
            self.tells[place] = NOTHING

    def without(self, code: int) -> None:
        """Tell nothing of the elements of a dtype, which cannot be read after all."""
        self.tells = [NOTHING if facts.code == code else told for facts, told in zip(self.facts, self.tells, strict=True)]


def sum_up(waiting: Iterable[tuple[Table, Sequence[int]]]) -> None:
    """Put statistics in the place of tensors: rows of several tables, those of one dtype and size together.

    Views of all the same elements, as a transpose is one, share them.
    """
    views: dict[tuple[Any, ...], list[tuple[Table, int]]] = {}
    waiting = list(waiting)
    for table, places in waiting:
        rows = table.rows
        for place in places:
            row = rows[place]
            tensor = row
            if type(row) is Snapshot:
                if row.numbers is not None or row.value is None:
                    continue
                tensor = row.value
            if type(tensor) in PLAIN and is_dense(tensor):
                key = (tensor.dtype, tensor.numel(), tensor.data_ptr(), tensor.is_neg(), tensor.is_conj())
                views.setdefault(key, []).append((table, place))
            elif tensor is row:
                rows[place] = Snapshot(tensor, 0)
            else:
                _told_by(row, _numbers([tensor])[0])
    alike: dict[tuple[torch.dtype, int], list[list[tuple[Table, int]]]] = {}
    for key, shown in views.items():
        alike.setdefault(key[:2], []).append(shown)
    for shared in alike.values():
        first = [table.rows[place] for (table, place), *_ in shared]
        found = _numbers([row.value if type(row) is Snapshot else row for row in first])
        for shown, numbers in zip(shared, found, strict=True):
            for table, place in shown:
                row = table.rows[place]
                if type(row) is Snapshot:
                    _told_by(row, numbers)
                else:
                    table.rows[place] = Snapshot.of(table.facts[place], None, numbers)
    for table, places in waiting:
        for place in places:
            if table.rows[place].numbers is None:
                table.tells[place] = NOTHING


def _told_by(snapshot: Snapshot, numbers: statistics.Numbers | None) -> None:
    """Let a snapshot tell statistics, wherever it stands, and hold the elements no longer if these were too many."""
    snapshot.numbers = numbers
    if snapshot.facts.count > SMALL:  # else another table may tell its elements
        snapshot.value = None


def _numbers(tensors: Sequence[Tensor]) -> Sequence[statistics.Numbers | None]:
    """The statistics of tensors of one dtype and size; ``None`` for what torch itself cannot read."""
    with torch.no_grad(), outside():
        try:
            return statistics.of_many(tensors)
        except (RuntimeError, NotImplementedError, TypeError):
            return [Snapshot(tensor, 0).numbers for tensor in tensors]


def width_of(facts: Facts, told: int) -> int:
    """Bytes of the elements that a row tells."""
    return facts.width if told in (VALUE, BOTH) else 0
