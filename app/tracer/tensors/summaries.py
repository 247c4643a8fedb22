"""Replace the elements of large tensors in tables by their statistics, computing those of many tensors together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from . import statistics
from .kinds import PLAIN_TYPES
from .snapshot import Snapshot, TensorTraits
from .statistics import is_dense
from .transforms import outside_transforms


class SummarizedTable(Protocol):
    """A table with rows that are summarized."""

    rows: list[Any]
    traits: list[TensorTraits]

    def set_statistics(self, row_index: int, numbers: statistics.Statistics | None) -> None:
        """Replace the elements of a row by their statistics, or omit them if they cannot be read."""


_Row = tuple[SummarizedTable, int]


def summarize(waiting: Iterable[tuple[SummarizedTable, Sequence[int]]]) -> None:
    """Replace rows of several tables by their statistics.

    The code in C computes those of one dtype together, PyTorch those of one dtype and size. Views of the same elements, such as
    a transpose, share one computation.
    """
    with torch.no_grad(), outside_transforms():
        arrays: dict[torch.dtype, dict[tuple[int, int], list[_Row]]] = {}
        others: list[tuple[_Row, Tensor]] = []
        for row, tensor in _unsummarized(waiting):
            count = row[0].traits[row[1]].count
            address = statistics.readable_address(tensor, count)
            if address:
                arrays.setdefault(tensor.dtype, {}).setdefault((address, count), []).append(row)
            else:
                others.append((row, tensor))
        for dtype, views in arrays.items():
            _set_all(views.values(), statistics.at_addresses(dtype, views))
        for alike in _alike(others):
            _set_all([rows for _, rows in alike], _statistics([tensor for tensor, _ in alike]))


def _unsummarized(waiting: Iterable[tuple[SummarizedTable, Sequence[int]]]) -> Iterator[tuple[_Row, Tensor]]:
    """Yield the rows that have no statistics yet, with their elements. Mark rows without elements as omitted instead."""
    for table, indexes in waiting:
        for row_index in indexes:
            row = table.rows[row_index]
            if type(row) is not Snapshot:
                yield (table, row_index), row
            elif row.numbers is None:
                if row.value is None:
                    table.set_statistics(row_index, None)
                else:
                    yield (table, row_index), row.value


def _alike(rows: Iterable[tuple[_Row, Tensor]]) -> Iterable[list[tuple[Tensor, list[_Row]]]]:
    """Group dense tensors by dtype and size, each with the rows that have its elements. Summarize rows of other tensors."""
    views: dict[tuple[Any, ...], list[_Row]] = {}
    alike: dict[tuple[torch.dtype, int], list[tuple[Tensor, list[_Row]]]] = {}
    for row, tensor in rows:
        table, row_index = row
        if type(tensor) in PLAIN_TYPES and is_dense(tensor):
            kind = table.traits[row_index]
            key = (kind.dtype, kind.count, tensor.data_ptr(), tensor.is_neg(), tensor.is_conj())
            same = views.get(key)
            if same is None:
                same = views[key] = []
                alike.setdefault(key[:2], []).append((tensor, same))
            same.append(row)
        else:
            numbers = Snapshot(tensor, 0).numbers if tensor is table.rows[row_index] else _statistics([tensor])[0]
            table.set_statistics(row_index, numbers)
    return alike.values()


def _set_all(views: Iterable[list[_Row]], found: Iterable[statistics.Statistics | None]) -> None:
    for rows, numbers in zip(views, found, strict=True):
        for table, row_index in rows:
            table.set_statistics(row_index, numbers)


def _statistics(tensors: Sequence[Tensor]) -> Sequence[statistics.Statistics | None]:
    """Return the statistics of tensors of one dtype and size; ``None`` for those that PyTorch cannot read."""
    try:
        return statistics.of_many(tensors)
    except (RuntimeError, NotImplementedError, TypeError):
        return [Snapshot(tensor, 0).numbers for tensor in tensors]
