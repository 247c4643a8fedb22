"""Gather the tensors that an event contents of, a row each, and sum the large ones up.

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
from .snapshot import OTHER_DTYPE, PLAIN_TYPES, Snapshot, TensorTraits, traits_of
from .statistics import is_dense
from .transforms import outside_transforms

OMITTED, EMPTY, VALUE, BOTH, STATISTICS = range(5)
"""What a row contains: nothing, an empty tensor, one value, values with statistics, or statistics alone."""
SMALL = 1024
"""Elements up to which a tensor is held until it is packed, and then summed up with those of other tables."""
TABLE_BYTES = 14 << 20
"""What the numbers of a table may take; past it the elements of its largest tensors are left out, then its last statistics."""
_STATS_BYTES = 56
"""What the statistics of a row take."""


class TableBuilder:
    """Tensors on their way to one event. A row is known by its place; -1 stands for no tensor.

    ``kept`` is the largest number of elements that is kept whole.
    """

    def __init__(self, kept: int, capture: Capture) -> None:
        self.kept = {"full": max(kept, 1), "norms": 1, "graph": -1}[capture]
        self._copied = max(self.kept, SMALL) if capture != "graph" else -1
        self.has_values = capture != "graph"
        self.rows: list[Any] = []
        self.traits: list[TensorTraits] = []
        self.contents: list[int] = []
        self.deferred: list[int] = []
        """The rows whose statistics are still to be read."""
        self.deferred_bytes = 0
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

    def add_copy(self, tensor: Tensor | None) -> int:
        """Give a tensor a row with the elements that it has now."""
        return -1 if tensor is None else self.add(self.snapshot(tensor))

    def snapshot(self, tensor: Tensor) -> Snapshot:
        """A tensor as it is now, with as much of it as this table keeps."""
        return Snapshot(tensor, self._copied)

    def shareable(self, tensor: Tensor, *, in_transform: bool = False) -> Tensor | Snapshot:
        """What several tables can tell a tensor by: itself where it is small, else what is summed up but once.

        ``in_transform``: what it shows of others, inside a transform, is read now.
        """
        if in_transform or tensor.layout is not torch.strided or type(tensor) not in PLAIN_TYPES:
            return self.snapshot(tensor)
        if tensor.numel() <= self._copied or not self.has_values:
            return tensor
        traits = traits_of(tensor)
        return Snapshot.of(traits, tensor) if traits.readable and traits.code != OTHER_DTYPE else self.snapshot(tensor)

    def add_snapshot(self, tensor: Tensor, snapshot: Tensor | Snapshot) -> int:
        """Give a snapshot a row, and let the tensor that it was taken of be known by that row."""
        place = self._seen[id(tensor)] = self.add(snapshot)
        return place

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy the rows that are there. They are known by no tensor any more."""
        seen = self._seen
        if write.shared:
            for place, row in enumerate(self.rows):
                if isinstance(row, Tensor) and write.reaches(row):
                    self.copy_row(place)
            return
        for target in write.targets:
            known = seen.get(id(target))
            if known is not None and self.rows[known] is target:
                self.copy_row(known)
            elif known is not None:
                del seen[id(target)]  # it is known by a snapshot of what it was

    def copy_row(self, place: int) -> None:
        """Copy a row's tensor."""
        row = self.rows[place]
        if isinstance(row, Tensor):
            self._seen.pop(id(row), None)
            self.rows[place] = Snapshot(row, self._copied)

    def finalize(self) -> None:
        """The table is complete: note what is true of each row, and sum up the large ones."""
        with torch._C.DisableTorchFunction():  # the program's own modes and subclasses are not to see it
            self._finalize()

    def _finalize(self) -> None:
        kept, rows, contents = self.kept, self.rows, self.contents
        large: list[int] = []
        for place in range(len(self.traits), len(rows)):
            row = rows[place]
            traits = row.traits if type(row) is Snapshot else traits_of(row)
            count = traits.count
            if traits.sparse and type(row) is not Snapshot:
                row = rows[place] = Snapshot(row, self._copied)
            self.traits.append(traits)
            if not self.has_values or not traits.readable:
                contents.append(EMPTY if count == 0 and traits.code != OTHER_DTYPE else OMITTED)
            elif count <= kept and traits.code != OTHER_DTYPE and not (type(row) is Snapshot and row.value is None):
                contents.append(BOTH if count > 1 else VALUE if count else EMPTY)
                self._size += traits.width + (_STATS_BYTES if count > 1 else 0)
            elif count == 0:
                contents.append(EMPTY if traits.code != OTHER_DTYPE else OMITTED)
            else:
                contents.append(STATISTICS)
                self._size += _STATS_BYTES
                if count <= SMALL and traits.code != OTHER_DTYPE:
                    self.deferred.append(place)
                    self.deferred_bytes += traits.width
                else:
                    large.append(place)
        if large:
            summarize([(self, large)])
        if self._size > TABLE_BYTES:
            self._shorten(TABLE_BYTES)

    def _shorten(self, most: int) -> None:
        """Leave out numbers until they take no more bytes than ``most``."""
        self.shortened = True
        whole = [place for place, content in enumerate(self.contents) if content == BOTH]
        for place in sorted(whole, key=lambda place: -self.traits[place].width):
            if self._size <= most:
                return
            self._size -= self.traits[place].width
            self.contents[place] = STATISTICS
            self.deferred.append(place)
        for place in reversed([place for place, content in enumerate(self.contents) if content >= BOTH]):
            if self._size <= most:
                return
            self._size -= _STATS_BYTES
            self.contents[place] = OMITTED

    def omit_dtype(self, code: int) -> None:
        """Tell nothing of the elements of a dtype, which cannot be read after all."""
        rows = zip(self.traits, self.contents, strict=True)
        self.contents = [OMITTED if traits.code == code else content for traits, content in rows]


def summarize(waiting: Iterable[tuple[TableBuilder, Sequence[int]]]) -> None:
    """Put statistics in the place of tensors: rows of several tables, those of one dtype and size together.

    Views of all the same elements, as a transpose is one, share them.
    """
    views: dict[tuple[Any, ...], list[tuple[TableBuilder, int]]] = {}
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
            if type(tensor) in PLAIN_TYPES and is_dense(tensor):
                key = (tensor.dtype, tensor.numel(), tensor.data_ptr(), tensor.is_neg(), tensor.is_conj())
                views.setdefault(key, []).append((table, place))
            elif tensor is row:
                rows[place] = Snapshot(tensor, 0)
            else:
                _set_statistics(row, _statistics([tensor])[0])
    alike: dict[tuple[torch.dtype, int], list[list[tuple[TableBuilder, int]]]] = {}
    for key, shown in views.items():
        alike.setdefault(key[:2], []).append(shown)
    for shared in alike.values():
        first = [table.rows[place] for (table, place), *_ in shared]
        found = _statistics([row.value if type(row) is Snapshot else row for row in first])
        for shown, numbers in zip(shared, found, strict=True):
            for table, place in shown:
                row = table.rows[place]
                if type(row) is Snapshot:
                    _set_statistics(row, numbers)
                else:
                    table.rows[place] = Snapshot.of(table.traits[place], None, numbers)
    for table, places in waiting:
        for place in places:
            if table.rows[place].numbers is None:
                table.contents[place] = OMITTED


def _set_statistics(snapshot: Snapshot, numbers: statistics.Statistics | None) -> None:
    """Let a snapshot tell statistics, wherever it stands, and hold the elements no longer if these were too many."""
    snapshot.numbers = numbers
    if snapshot.traits.count > SMALL:  # else another table may tell its elements
        snapshot.value = None


def _statistics(tensors: Sequence[Tensor]) -> Sequence[statistics.Statistics | None]:
    """The statistics of tensors of one dtype and size; ``None`` for what torch itself cannot read."""
    with torch.no_grad(), outside_transforms():
        try:
            return statistics.of_many(tensors)
        except (RuntimeError, NotImplementedError, TypeError):
            return [Snapshot(tensor, 0).numbers for tensor in tensors]


def width_of(traits: TensorTraits, content: int) -> int:
    """Bytes of the elements that a row contents."""
    return traits.width if content in (VALUE, BOTH) else 0
