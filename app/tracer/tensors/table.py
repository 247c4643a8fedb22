"""Collect the tensors of one event as rows of a table, and summarize the large ones.

Large tensors are summarized as soon as the table is complete, so that the table does not keep them alive. Tensors of one size
are summarized together. Small tensors are kept until they are packed, or until something is about to write to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from ...model import Capture
from . import statistics
from .handles import storage_pointer
from .kinds import PLAIN_TYPES
from .memory import Write
from .snapshot import MAX_CACHED_TRAITS, OTHER_DTYPE, SMALL, Snapshot, TensorTraits, traits_of
from .summaries import summarize

OMITTED, EMPTY, VALUE, BOTH, STATISTICS = range(5)
"""Contents of a row: nothing, an empty tensor, one value, values with statistics, or statistics alone."""
TABLE_BYTES = 14 << 20
"""Size limit of a table's numbers, in bytes. Above it, elements of the largest tensors are omitted, then statistics."""
_STATS_BYTES = 56
"""Size of a row's statistics, in bytes."""
_contents: dict[tuple[int, bool], dict[TensorTraits, int]] = {}
"""The content of a tensor's row by its traits, for each :attr:`TableBuilder.kept` and :attr:`TableBuilder.has_values`."""


class TableBuilder:
    """The tensors of one event, one per row; row -1 means no tensor.

    ``kept`` is the largest number of elements that is kept whole.
    """

    def __init__(self, kept: int, capture: Capture) -> None:
        self.kept = {"full": max(kept, 1), "norms": 1, "graph": -1}[capture]
        self._copied = max(self.kept, SMALL) if capture != "graph" else -1
        self.has_values = capture != "graph"
        self._contents_of = _contents.setdefault((self.kept, self.has_values), {})
        self.rows: list[Any] = []
        self.traits: list[TensorTraits] = []
        self.contents: list[int] = []
        self.deferred: list[int] = []
        """The rows whose statistics are computed when the table is packed."""
        self.deferred_bytes = 0
        """The size of their elements in bytes."""
        self.shortened = False
        """True if the numbers exceeded :data:`TABLE_BYTES`."""
        self._size = 0
        """The size of all numbers in bytes."""
        self._seen: dict[int, int] = {}
        self._by_storage: dict[int, list[int]] = {}
        self._indexed = 0
        """The number of rows that are in ``_by_storage``."""
        self._checked = 0
        """The number of rows that were checked when a standing write was last announced."""

    def keep_at_most(self, elements: int) -> None:
        """Keep tensors whole only up to this many elements, in all rows that are finalized from now on."""
        self.kept = min(self.kept, elements)
        self._contents_of = _contents.setdefault((self.kept, self.has_values), {})

    def add(self, tensor: Tensor | Snapshot | None) -> int:
        """Return the row of a tensor, adding one if needed.

        The elements are read when the table is packed. A write to the tensor before that must call :meth:`protect` first.
        """
        if tensor is None:
            return -1
        row_index = self._seen.get(id(tensor))
        if row_index is None:
            row_index = self._seen[id(tensor)] = len(self.rows)
            self.rows.append(tensor)
        return row_index

    def add_all(self, tensors: Sequence[Tensor | Snapshot | None]) -> list[int]:
        """Return the rows of several tensors, adding those that are missing."""
        seen, rows = self._seen, self.rows
        keys = list(map(id, tensors))
        for key, tensor in zip(keys, tensors, strict=True):
            if key not in seen and tensor is not None:
                seen[key] = len(rows)
                rows.append(tensor)
        return list(map(seen.get, keys, repeat(-1)))  # None has no row

    def add_copy(self, tensor: Tensor | None) -> int:
        """Add a row with the elements that a tensor has now, and return it."""
        return -1 if tensor is None else self.add(self.snapshot(tensor))

    def snapshot(self, tensor: Tensor) -> Snapshot:
        """Return a snapshot of a tensor with as many elements as this table keeps."""
        return Snapshot(tensor, self._copied)

    def shareable(self, tensor: Tensor, *, in_transform: bool = False) -> Tensor | Snapshot:
        """Return an object that several tables can add as a row for this tensor and that is summarized only once.

        A small tensor is returned as it is. With ``in_transform``, the tensor may be a transform's wrapper and is read now.
        """
        if in_transform or tensor.layout is not torch.strided or type(tensor) not in PLAIN_TYPES:
            return self.snapshot(tensor)
        if tensor.numel() <= self._copied or not self.has_values:
            return tensor
        traits = traits_of(tensor)
        return Snapshot.of(traits, tensor) if traits.readable and traits.code != OTHER_DTYPE else self.snapshot(tensor)

    def add_snapshot(self, tensor: Tensor, snapshot: Tensor | Snapshot) -> int:
        """Return the row of a snapshot, and use that row for ``tensor`` too.

        The caller keeps ``tensor`` alive until the table is complete, so that no other tensor gets its id.
        """
        row_index = self._seen[id(tensor)] = self.add(snapshot)
        return row_index

    def protect(self, write: Write) -> None:
        """Copy the rows that ``write`` is about to change. Their tensors get new rows if they are added again."""
        if write.standing:
            for row_index in range(self._checked, len(self.rows)):
                row = self.rows[row_index]
                if isinstance(row, Tensor) and storage_pointer(row) in write.shared:
                    self.copy_row(row_index)
            self._checked = len(self.rows)
            return
        seen = self._seen
        if write.shared:
            self._index()
            for key in write.shared & self._by_storage.keys():
                for row_index in self._by_storage.pop(key):
                    self.copy_row(row_index)
        for target in write.targets:
            existing = seen.get(id(target))
            if existing is not None and self.rows[existing] is target:
                self.copy_row(existing)
            elif existing is not None:
                del seen[id(target)]  # its row is a snapshot of an earlier value

    def _index(self) -> None:
        for row_index in range(self._indexed, len(self.rows)):
            row = self.rows[row_index]
            if isinstance(row, Tensor):
                self._by_storage.setdefault(storage_pointer(row), []).append(row_index)
        self._indexed = len(self.rows)

    def copy_row(self, row_index: int) -> None:
        """Replace the tensor of a row by a snapshot."""
        row = self.rows[row_index]
        if isinstance(row, Tensor):
            self._seen.pop(id(row), None)
            self.rows[row_index] = Snapshot(row, self._copied)

    def copy_rows(self) -> None:
        """Replace all tensors by snapshots."""
        for row_index in range(len(self.rows)):
            self.copy_row(row_index)

    def finalize(self) -> None:
        """Determine the traits and contents of the rows added so far, and summarize the large tensors."""
        if len(self.traits) < len(self.rows):
            with torch._C.DisableTorchFunction():  # hide the calls from the program's modes and subclasses
                self._finalize()

    def _finalize(self) -> None:
        rows, contents, deferred, known = self.rows, self.contents, self.deferred, self._contents_of
        large: list[int] = []
        for row_index in range(len(self.traits), len(rows)):
            row = rows[row_index]
            traits = row.traits if type(row) is Snapshot else traits_of(row)
            content = known.get(traits)
            if content is None:
                content = self._content(traits, held=True)
                if len(known) < MAX_CACHED_TRAITS:
                    known[traits] = content
            if traits.sparse and type(row) is not Snapshot:
                row = rows[row_index] = Snapshot(row, self._copied)
            if type(row) is Snapshot and row.value is None and content in (VALUE, BOTH):
                content = self._content(traits, held=False)
            self.traits.append(traits)
            contents.append(content)
            if content == STATISTICS:
                self._size += _STATS_BYTES
                if traits.count <= SMALL and traits.code != OTHER_DTYPE:
                    deferred.append(row_index)
                    self.deferred_bytes += traits.width
                else:
                    large.append(row_index)
            elif content >= VALUE:
                self._size += traits.width + (_STATS_BYTES if content == BOTH else 0)
        if large:
            summarize([(self, large)])
        if self._size > TABLE_BYTES:
            self._shorten(TABLE_BYTES)

    def _content(self, traits: TensorTraits, *, held: bool) -> int:
        """Return the content of a row. ``held`` is false for a snapshot without elements."""
        known, count = traits.code != OTHER_DTYPE, traits.count
        if not self.has_values or not traits.readable or not (count or known):
            return EMPTY if count == 0 and known else OMITTED
        if count == 0:
            return EMPTY
        if count <= self.kept and known and held:
            return BOTH if count > 1 else VALUE
        return STATISTICS

    def _shorten(self, most: int) -> None:
        """Omit numbers until they take at most ``most`` bytes."""
        self.shortened = True
        whole = [row_index for row_index, content in enumerate(self.contents) if content == BOTH]
        for row_index in sorted(whole, key=lambda row_index: -self.traits[row_index].width):
            if self._size <= most:
                return
            self._size -= self.traits[row_index].width
            self.contents[row_index] = STATISTICS
            self.deferred.append(row_index)
        for row_index in reversed([row_index for row_index, content in enumerate(self.contents) if content >= BOTH]):
            if self._size <= most:
                return
            self._size -= _STATS_BYTES
            self.contents[row_index] = OMITTED

    def set_statistics(self, row_index: int, numbers: statistics.Statistics | None) -> None:
        """Replace the elements of a row by their statistics, or omit them if they cannot be read.

        A small snapshot keeps its elements, because another table may send them.
        """
        row = self.rows[row_index]
        if type(row) is not Snapshot:
            self.rows[row_index] = Snapshot.of(self.traits[row_index], None, numbers)
        else:
            row.numbers = numbers
            if row.traits.count > SMALL:
                row.value = None
        if numbers is None:
            self.contents[row_index] = OMITTED

    def omit_dtype(self, code: int) -> None:
        """Omit the elements of a dtype that turned out to be unreadable."""
        rows = zip(self.traits, self.contents, strict=True)
        self.contents = [OMITTED if traits.code == code else content for traits, content in rows]


def width_of(traits: TensorTraits, content: int) -> int:
    """Return the number of bytes that the elements of a row take."""
    return traits.width if content in (VALUE, BOTH) else 0
