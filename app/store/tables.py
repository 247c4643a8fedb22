"""Turn the numbers of tables of one layout into matrices of words, and back.

Statistics of elements that are kept follow from them: what is kept of such a statistic is how far it is from what its
elements give, which is nothing, nearly always. Sums are taken in one order on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from .. import wire

Matrix = np.ndarray[Any, np.dtype[Any]]

SUMMED: Final = 4096
"""Elements whose statistics are computed again; of more of them, statistics are kept as they are."""
_WORDS: Final = {"c": 2}  # a complex number is two
_SIZES: Final = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)


class TableLayout:
    """Where the numbers of a table lie: the same in all tables of one layout. ``table`` may lack its numbers."""

    def __init__(self, table: wire.TensorTable) -> None:
        flags = np.frombuffer(table.flags, np.uint8)
        codes = np.frombuffer(table.dtype, np.uint8)
        numel = wire.elements(table)
        kept, told = flags & wire.HAS_VALUES != 0, flags & wire.HAS_STATS != 0
        lengths = np.where(kept, numel * _SIZES[codes], 0)
        starts, places = np.cumsum(lengths) - lengths, np.cumsum(told) - told
        self.stats = int(np.count_nonzero(told))
        self.bytes = int(lengths.sum())
        words: dict[int, list[Matrix]] = {}
        self._told: dict[tuple[str, int], tuple[Matrix, Matrix]] = {}  # dtype, elements: starts of values, places of statistics
        for code in sorted(set(codes[kept].tobytes())):
            packed = wire.PACKED.get(wire.DTYPES[code])
            if packed is None:
                continue
            dtype = np.dtype(packed)
            size = dtype.itemsize // _WORDS.get(dtype.kind, 1)
            own = np.flatnonzero(kept & (codes == code))
            words.setdefault(size, []).append(_each(starts[own], lengths[own] // size, size))
            if dtype.kind == "f":
                own = own[told[own] & (numel[own] > 0) & (numel[own] <= SUMMED)]
                for count in sorted(set(numel[own].tolist())):
                    rows = own[numel[own] == count]
                    before = self._told.get((packed, count), (starts[:0], places[:0]))
                    self._told[packed, count] = (
                        np.concatenate((before[0], starts[rows])),
                        np.concatenate((before[1], places[rows])),
                    )
        self._words = {size: np.sort(np.concatenate(words[size])) for size in sorted(words)}

    @property
    def widths(self) -> list[tuple[int, int]]:
        """Size of a word, and how many there are in a row, of each matrix."""
        told = [(8, 4 * self.stats), (8, 3 * self.stats)] if self.stats else []
        return [(size, len(starts)) for size, starts in self._words.items()] + told

    def matrices(self, tables: Sequence[wire.TensorTable]) -> list[Matrix]:
        """The numbers of tables as matrices of unsigned words: values by size, then statistics, then counts."""
        count = len(tables)
        values = np.frombuffer(b"".join([table.values for table in tables]), np.uint8).reshape(count, self.bytes)
        stats = np.frombuffer(b"".join([table.stats for table in tables]), "<u8").reshape(count, self.stats * 4)
        counts = np.frombuffer(b"".join([table.counts for table in tables]), "<u8").reshape(count, self.stats * 3)
        given, counted = self._given(values)
        found = [self._of_words(values, size).view(f"<u{size}") for size in self._words]
        return [*found, stats - given, counts - counted] if self.stats else found

    def numbers(self, matrices: Iterator[Matrix], count: int) -> tuple[Matrix, Matrix, Matrix]:
        """Values as bytes, statistics and counts of ``count`` tables, a row for each; takes its own of the matrices."""
        values = np.zeros((count, self.bytes), np.uint8)
        for size, starts in self._words.items():
            own = np.ascontiguousarray(next(matrices)).view(np.uint8)
            if len(self._words) == 1:
                values = own
            else:
                values[:, (starts[:, None] + np.arange(size)).reshape(-1)] = own
        if not self.stats:
            none = np.zeros((count, 0), "<u8")
            return values, none, none
        given, counted = self._given(values)
        return values, next(matrices) + given, next(matrices) + counted

    def _of_words(self, values: Matrix, size: int) -> Matrix:
        """The bytes of all words of a size, side by side."""
        if len(self._words) == 1:
            return np.ascontiguousarray(values)
        return np.ascontiguousarray(values[:, (self._words[size][:, None] + np.arange(size)).reshape(-1)])

    def _given(self, values: Matrix) -> tuple[Matrix, Matrix]:
        """What elements give as statistics and counts, as words; zeros where none are kept or a number is not finite."""
        count = len(values)
        stats = np.zeros((count, self.stats, 4))
        counts = np.zeros((count, self.stats, 3), np.int64)
        for (packed, numel), (starts, places) in self._told.items():
            size = np.dtype(packed).itemsize
            columns = (starts[:, None] + np.arange(size * numel)).reshape(-1)
            own = np.ascontiguousarray(values[:, columns]).view(packed).reshape(count, len(starts), numel)
            numbers = own.astype(np.float64)
            with np.errstate(all="ignore"):
                stats[:, places] = _statistics(numbers)
            counts[:, places, 0] = sum((own[:, :, at] == 0).astype(np.int64) for at in range(numel))
            if not np.isfinite(numbers).all():
                counts[:, places, 1] = np.isnan(own).sum(axis=2)
                counts[:, places, 2] = np.isinf(own).sum(axis=2)
        return stats.view("<u8").reshape(count, -1), counts.view("<u8").reshape(count, -1)


def _each(starts: Matrix, counts: Matrix, size: int) -> Matrix:
    """Where each word begins, of pieces that begin somewhere and have so many words of a size."""
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(starts, counts) + size * within)


def _statistics(numbers: Matrix) -> Matrix:
    """Least, greatest, mean and L2 norm over the last axis, element by element: an axis of few is slow to reduce."""
    low = high = total = numbers[:, :, 0]
    squares = total * total
    for at in range(1, numbers.shape[2]):
        each = numbers[:, :, at]
        low, high, total, squares = np.minimum(low, each), np.maximum(high, each), total + each, squares + each * each
    found = np.stack((low, high, total / numbers.shape[2], np.sqrt(squares)), axis=2)
    return np.where(np.isfinite(found), found, 0.0)
