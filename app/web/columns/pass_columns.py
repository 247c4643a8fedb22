"""Collect numbers of many passes as columns, for the ``frames`` route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ... import wire
from ...errors import InvalidInput
from ...map.chosen_pass import passes_over
from ...recording import Recording, Tensors, json_number
from ...recording.pass_numbers import RowIndices
from ...recording.table_stack import COUNTS, NUMBERS, FloatArray, PresentMask, TableStack, table_layout

WHAT: Final = ("value", "arrived", "used", "edge")
"""The value of each node, the gradients that arrived and were used at each output, and the gradient on each edge."""
STATISTICS: Final = (*NUMBERS, *COUNTS)
OTHERS: Final = ("values", "shape", "dtype")
FIELDS: Final = tuple(f"{what}.{of}" for what in WHAT for of in (*STATISTICS, *OTHERS))
USUAL: Final = ("value.norm", "arrived.norm", "edge.norm")
CELLS: Final = 400_000
"""Limit on the numbers in a response. The remaining passes are left for the next response."""


class Frames(Struct, frozen=True):
    """Numbers of passes that share a graph.

    ``fields[f][i][j]`` belongs to pass ``passes[i]`` and to the j-th node, output or edge, counted from ``column_start``.
    Outputs are numbered through all nodes in order. Pass ``next`` as ``start`` to get the rest.
    """

    graph: str
    passes: list[int]
    steps: list[int]
    fields: dict[str, list[list[Any]]]
    next: int | None


class PackedMatrix(Struct, frozen=True):
    """A matrix of packed little-endian numbers. NaN marks a number that was not recorded."""

    dtype: str
    shape: tuple[int, int]
    data: bytes


class PackedFrames(Struct, frozen=True):
    """Numbers of passes that share a graph, in packed columns, for msgpack. Each matrix has a row for each pass."""

    graph: str
    passes: list[int]
    steps: list[int]
    fields: dict[str, PackedMatrix]
    next: int | None


def chosen(text: str | None) -> list[str]:
    """Return the fields that the ``fields`` parameter names, separated by commas."""
    names = [name for name in (text or ",".join(USUAL)).split(",") if name]
    for name in names:
        if name not in FIELDS:
            raise InvalidInput(f"Unknown field {name[:60]!r}: the fields are {', '.join(FIELDS)}.", where="fields")
    return list(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Span:
    """Columns of a field: those of ``count`` nodes, outputs or edges from ``start``; all if ``count`` is None."""

    start: int = 0
    count: int | None = None

    def of(self, column: bytes, what: str) -> RowIndices:
        """Return the part of a packed column of rows."""
        end = None if self.count is None else self.start + self.count
        return wire.int32(column, what)[self.start : end]


ALL: Final = Span()


def frames(recording: Recording, graph: int, start: int, count: int, fields: Sequence[str], span: Span = ALL) -> Frames:
    """Return at most ``count`` passes over a graph, from pass ``start``. Raises :class:`NotFound` for an unknown graph."""
    passes, following = _over(recording, graph, start, count, fields, span)
    groups = _alike(passes)
    columns = {
        name: _plain(groups, len(passes), name, span) if name.partition(".")[2] in STATISTICS else _read(passes, name, span)
        for name in fields
    }
    return Frames(f"g{graph}", [each.index for each in passes], [each.step for each in passes], columns, following)


def packed(recording: Recording, graph: int, start: int, count: int, fields: Sequence[str], span: Span = ALL) -> PackedFrames:
    """Return the passes of :func:`frames` as packed columns. Only minima, maxima, means and norms can be packed."""
    if wrong := [name for name in fields if name.partition(".")[2] not in NUMBERS]:
        raise InvalidInput(f"{wrong[0]} cannot be packed: request it as JSON.", where="fields")
    passes, following = _over(recording, graph, start, count, fields, span)
    groups = _alike(passes)
    columns = {}
    for name in fields:
        matrix, _ = _matrix(groups, len(passes), name, span)
        columns[name] = PackedMatrix("<f8", (matrix.shape[0], matrix.shape[1]), matrix.astype("<f8").tobytes())
    return PackedFrames(f"g{graph}", [each.index for each in passes], [each.step for each in passes], columns, following)


def _over(
    recording: Recording, graph: int, start: int, count: int, fields: Sequence[str], span: Span
) -> tuple[list[wire.PassEvent], int | None]:
    """Return as many passes over a graph as a response has room for, and the index of the next pass."""
    found: list[wire.PassEvent] = []
    for event in passes_over(recording, graph, start):
        if not found:
            cells = sum(len(_rows(event, name, span)) for name in fields)
            count = min(count, max(1, CELLS // max(1, cells)))
        if len(found) == count:
            return found, event.index
        found.append(event)
    return found, None


def _alike(passes: Sequence[wire.PassEvent]) -> list[tuple[list[int], wire.PassEvent, TableStack]]:
    """Group passes whose tables have the same layout: return their indices, the first pass, and the stacked tables."""
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for index, event in enumerate(passes):
        groups.setdefault((*table_layout(event.tensors), *(getattr(event, what) for what in WHAT)), []).append(index)
    return [
        (indices, passes[indices[0]], TableStack.of([passes[index].tensors for index in indices]))
        for indices in groups.values()
    ]


def _rows(event: wire.PassEvent, name: str, span: Span) -> RowIndices:
    """Return the rows of a pass's table that a field reads."""
    what = name.partition(".")[0]
    return span.of(getattr(event, what), what)


def _matrix(
    groups: list[tuple[list[int], wire.PassEvent, TableStack]], count: int, name: str, span: Span
) -> tuple[FloatArray, PresentMask]:
    """Return a statistic of every node, output or edge, with a row for each pass, and a mask of the numbers that exist.

    Numbers that were not recorded are NaN.
    """
    kind = name.partition(".")[2]
    width = len(_rows(groups[0][1], name, span)) if groups else 0
    values, present = np.full((count, width), np.nan), np.zeros((count, width), bool)
    for indices, first, stack in groups:
        rows, sources = np.unique(_rows(first, name, span), return_inverse=True)
        columns = [stack.statistic(row, kind) for row in rows.tolist()]
        if columns:
            values[indices] = np.stack([numbers for numbers, _ in columns])[sources].T
            present[indices] = np.stack([mask for _, mask in columns])[sources].T
    return values, present


def _plain(groups: list[tuple[list[int], wire.PassEvent, TableStack]], count: int, name: str, span: Span) -> list[list[Any]]:
    values, present = _matrix(groups, count, name, span)
    whole = name.partition(".")[2] in COUNTS
    matrix: list[list[Any]] = (np.where(present, values, 0).astype(np.int64) if whole else values).tolist()
    for row, column in np.argwhere(~np.isfinite(values) | ~present).tolist():
        matrix[row][column] = json_number(float(values[row, column])) if present[row, column] else None
    return matrix


def _read(passes: Sequence[wire.PassEvent], name: str, span: Span) -> list[list[Any]]:
    """Return a field that is not a single number: values, shapes or dtypes, pass by pass."""
    kind = name.partition(".")[2]
    found = []
    for event in passes:
        tensors = Tensors(event.tensors)
        rows = _rows(event, name, span).tolist()
        found.append([None if (summary := tensors.summary(row)) is None else getattr(summary, kind) for row in rows])
    return found
