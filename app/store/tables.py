"""Convert the numbers of tables with the same layout into matrices of words, and back.

The statistics of a tensor can be recomputed if its elements are stored. Only the difference between the recorded and the
recomputed statistic is then stored, which is nearly always zero. Sums are taken in the same order on every machine, so that
recomputed statistics are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from .. import wire
from ..recording.tensors import ITEM_SIZES
from .columns import Matrix

MAX_RECOMPUTED: Final = 4096
"""Largest number of elements of a tensor whose statistics are recomputed."""
_WORDS: Final = {"c": 2}
"""Number of words in an element, by the kind of its dtype; 1 for all other kinds."""


class NumberLayout:
    """The positions of numbers in all tables with the same layout as ``table``. The numbers of ``table`` are not read."""

    def __init__(self, table: wire.TensorTable) -> None:
        flags = np.frombuffer(table.flags, np.uint8)
        codes = np.frombuffer(table.dtype, np.uint8)
        numel = wire.elements(table)
        has_values, has_stats = flags & wire.HAS_VALUES != 0, flags & wire.HAS_STATS != 0
        lengths = np.where(has_values, numel * ITEM_SIZES[codes], 0)
        starts, stats_rows = np.cumsum(lengths) - lengths, np.cumsum(has_stats) - has_stats
        self.stats = int(np.count_nonzero(has_stats))
        """Number of rows with statistics."""
        self.bytes = int(lengths.sum())
        """Bytes of all values."""
        pieces: dict[int, list[tuple[Matrix, Matrix]]] = {}
        # By packed dtype and number of elements: the starts of the values, and the rows of the statistics.
        self._recomputed: dict[tuple[str, int], tuple[Matrix, Matrix]] = {}
        for code in sorted(set(codes[has_values].tobytes())):
            packed = wire.PACKED.get(wire.DTYPES[code])
            if packed is None:
                continue
            dtype = np.dtype(packed)
            size = dtype.itemsize // _WORDS.get(dtype.kind, 1)
            own = np.flatnonzero(has_values & (codes == code))
            pieces.setdefault(size, []).append((starts[own], lengths[own] // size))
            if dtype.kind == "f":
                own = own[has_stats[own] & (numel[own] > 0) & (numel[own] <= MAX_RECOMPUTED)]
                for count in sorted(set(numel[own].tolist())):
                    rows = own[numel[own] == count]
                    before = self._recomputed.get((packed, count), (starts[:0], stats_rows[:0]))
                    self._recomputed[packed, count] = (
                        np.concatenate((before[0], starts[rows])),
                        np.concatenate((before[1], stats_rows[rows])),
                    )
        self._counts = {size: sum(int(counts.sum()) for _, counts in pieces[size]) for size in sorted(pieces)}
        """The number of words in one table, by their size in bytes."""
        self._words: dict[int, Matrix] = {}
        """The starts of the words in bytes, by their size, if there are several sizes."""
        if len(pieces) > 1:
            for size in self._counts:
                each = [_word_starts(first, counts, size) for first, counts in pieces[size]]
                self._words[size] = np.sort(np.concatenate(each)) if len(each) > 1 else each[0]

    @property
    def widths(self) -> list[tuple[int, int]]:
        """The size of a word in bytes and the number of words in a row, for each matrix."""
        stats = [(8, 4 * self.stats), (8, 3 * self.stats)] if self.stats else []
        return list(self._counts.items()) + stats

    def matrices(self, tables: Sequence[wire.TensorTable]) -> list[Matrix]:
        """Return the numbers of tables as matrices of unsigned words: values by size of word, then statistics, then counts."""
        count = len(tables)
        values = np.frombuffer(b"".join([table.values for table in tables]), np.uint8).reshape(count, self.bytes)
        stats = np.frombuffer(b"".join([table.stats for table in tables]), "<u8").reshape(count, self.stats * 4)
        counts = np.frombuffer(b"".join([table.counts for table in tables]), "<u8").reshape(count, self.stats * 3)
        expected_stats, expected_counts = self._expected(values)
        found = [self._words_of_size(values, size).view(f"<u{size}") for size in self._counts]
        return [*found, stats - expected_stats, counts - expected_counts] if self.stats else found

    def numbers(self, matrices: Iterator[Matrix], count: int) -> tuple[Matrix, Matrix, Matrix]:
        """Return the values as bytes, the statistics and the counts of ``count`` tables, with a row for each table.

        Consume one of ``matrices`` for each entry of :attr:`widths`.
        """
        values = np.zeros((count, self.bytes), np.uint8)
        for size in self._counts:
            own = np.ascontiguousarray(next(matrices)).view(np.uint8)
            if len(self._counts) == 1:
                values = own
            else:
                values[:, (self._words[size][:, None] + np.arange(size)).reshape(-1)] = own
        if not self.stats:
            none = np.zeros((count, 0), "<u8")
            return values, none, none
        expected_stats, expected_counts = self._expected(values)
        return values, next(matrices) + expected_stats, next(matrices) + expected_counts

    def _words_of_size(self, values: Matrix, size: int) -> Matrix:
        """Return the bytes of all words of a size, side by side."""
        if len(self._counts) == 1:
            return np.ascontiguousarray(values)
        return np.ascontiguousarray(values[:, (self._words[size][:, None] + np.arange(size)).reshape(-1)])

    def _expected(self, values: Matrix) -> tuple[Matrix, Matrix]:
        """Return the statistics and counts computed from elements, as words.

        Both are zero for a tensor whose statistics are not recomputed. A statistic that is not finite is zero too.
        """
        count = len(values)
        stats = np.zeros((count, self.stats, 4))
        counts = np.zeros((count, self.stats, 3), np.int64)
        for (packed, numel), (starts, rows) in self._recomputed.items():
            size = np.dtype(packed).itemsize
            columns = (starts[:, None] + np.arange(size * numel)).reshape(-1)
            own = np.ascontiguousarray(values[:, columns]).view(packed).reshape(count, len(starts), numel)
            numbers = own.astype(np.float64)
            with np.errstate(all="ignore"):
                stats[:, rows] = _statistics(numbers)
            counts[:, rows, 0] = sum((own[:, :, element] == 0).astype(np.int64) for element in range(numel))
            if not np.isfinite(numbers).all():
                counts[:, rows, 1] = np.isnan(own).sum(axis=2)
                counts[:, rows, 2] = np.isinf(own).sum(axis=2)
        return stats.view("<u8").reshape(count, -1), counts.view("<u8").reshape(count, -1)


def _word_starts(starts: Matrix, counts: Matrix, size: int) -> Matrix:
    """Return the start of each word of ``size`` bytes, in bytes. Pieces begin at ``starts`` and have ``counts`` words each."""
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(starts, counts) + size * within)


def _statistics(numbers: Matrix) -> Matrix:
    """Return the minimum, maximum, mean and L2 norm over the last axis.

    They are computed element by element, because numpy reduces a short axis slowly.
    """
    low = high = total = numbers[:, :, 0]
    squares = total * total
    for element in range(1, numbers.shape[2]):
        each = numbers[:, :, element]
        low, high, total, squares = np.minimum(low, each), np.maximum(high, each), total + each, squares + each * each
    statistics = np.stack((low, high, total / numbers.shape[2], np.sqrt(squares)), axis=2)
    return np.where(np.isfinite(statistics), statistics, 0.0)
