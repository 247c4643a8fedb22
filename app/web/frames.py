"""Give the numbers of many passes by columns: what a page needs to play a recording without asking step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from .. import model, wire
from ..errors import InvalidInput
from ..recording import PassNumbers, Recording

WHAT: Final = ("value", "arrived", "used", "edge")
"""Of each node its value; of each output of each node the sum that arrived, and what was used; of each edge its gradient."""
NUMBERS: Final = ("norm", "min", "max", "mean")
COUNTS: Final = ("zeros", "nan", "inf")
OTHERS: Final = ("values", "shape", "dtype")
FIELDS: Final = tuple(f"{what}.{of}" for what in WHAT for of in (*NUMBERS, *COUNTS, *OTHERS))
USUAL: Final = ("value.norm", "arrived.norm", "edge.norm")
CELLS: Final = 400_000
"""Numbers that one answer may hold; more are left for the next one."""


class Frames(Struct, frozen=True):
    """Numbers of passes that share a graph: ``fields[f][i][j]`` is of pass ``passes[i]`` and of the j-th node, output or edge.

    Outputs are counted through all nodes in order. ``next`` is where to start to get the rest.
    """

    graph: str
    passes: list[int]
    steps: list[int]
    fields: dict[str, list[list[Any]]]
    next: int | None


class Column(Struct, frozen=True):
    """A field as packed numbers: little-endian, a row for each pass. What is not known is NaN."""

    dtype: str
    shape: tuple[int, int]
    data: bytes


class PackedFrames(Struct, frozen=True):
    """The same with packed columns, for msgpack."""

    graph: str
    passes: list[int]
    steps: list[int]
    fields: dict[str, Column]
    next: int | None


def chosen(text: str | None) -> list[str]:
    """The fields that an address names, separated by commas."""
    names = [name for name in (text or ",".join(USUAL)).split(",") if name]
    for name in names:
        if name not in FIELDS:
            raise InvalidInput(f"Unknown field {name[:60]!r}: known are {', '.join(FIELDS)}.", where="fields")
    return list(dict.fromkeys(names))


def frames(recording: Recording, graph: int, start: int, count: int, fields: Sequence[str]) -> Frames:
    """Read the passes over a graph, from pass ``start`` on, ``count`` at the most; raises :class:`NotFound` for a graph."""
    passes: list[int] = []
    steps: list[int] = []
    columns: dict[str, list[list[Any]]] = {name: [] for name in fields}
    room = CELLS
    following: int | None = None
    for numbers in _over(recording, graph, start):
        if len(passes) == count or (room <= 0 and passes):
            following = numbers.event.index
            break
        passes.append(numbers.event.index)
        steps.append(numbers.event.step)
        for name in fields:
            column = _plain(numbers, name)
            columns[name].append(column)
            room -= len(column)
    return Frames(f"g{graph}", passes, steps, columns, following)


def packed(recording: Recording, graph: int, start: int, count: int, fields: Sequence[str]) -> PackedFrames:
    """The same as packed columns: only of fields that are numbers."""
    if wrong := [name for name in fields if name.partition(".")[2] not in NUMBERS]:
        raise InvalidInput(f"{wrong[0]} cannot be packed: ask for it as JSON.", where="fields")
    passes: list[int] = []
    steps: list[int] = []
    columns: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in fields}
    room = CELLS
    following: int | None = None
    for numbers in _over(recording, graph, start):
        if len(passes) == count or (room <= 0 and passes):
            following = numbers.event.index
            break
        passes.append(numbers.event.index)
        steps.append(numbers.event.step)
        for name in fields:
            rows, kind = _rows(numbers, name)
            column = _statistics(numbers.event.tensors, kind)[0][rows]
            columns[name].append(column)
            room -= len(column)
    joined = {}
    for name, each in columns.items():
        matrix = np.stack(each).astype("<f8") if each else np.empty((0, 0), "<f8")
        joined[name] = Column("<f8", (matrix.shape[0], matrix.shape[1]), matrix.tobytes())
    return PackedFrames(f"g{graph}", passes, steps, joined, following)


def _over(recording: Recording, graph: int, start: int) -> Iterator[PassNumbers]:
    structure = recording.graph(graph)
    for index in range(max(0, start), recording.log.counts()[1]):
        event = recording.log.pass_(index)
        if event.graph == graph:
            yield PassNumbers(event, structure)


def _rows(numbers: PassNumbers, name: str) -> tuple[np.ndarray[Any, np.dtype[np.int32]], str]:
    what, _, kind = name.partition(".")
    return wire.int32(getattr(numbers.event, what), what), kind


def _plain(numbers: PassNumbers, name: str) -> list[Any]:
    rows, kind = _rows(numbers, name)
    if kind in NUMBERS:
        values, known = _statistics(numbers.event.tensors, kind)
        return [
            None if not there else _number(value)
            for value, there in zip(values[rows].tolist(), known[rows].tolist(), strict=True)
        ]
    read: dict[int, model.TensorSummary | None] = {row: numbers.tensors.summary(row) for row in set(rows.tolist())}
    return [None if (summary := read[row]) is None else getattr(summary, kind) for row in rows.tolist()]


def _statistics(table: wire.Tensors, kind: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """One statistic of every row of a table, and whether it is known; the last place stands for row -1."""
    count = len(table.dtype)
    flags = np.frombuffer(table.flags, np.uint8)
    values = np.full(count + 1, np.nan)
    known = np.zeros(count + 1, bool)
    told = np.flatnonzero(flags & wire.HAS_STATS)
    values[told] = np.frombuffer(table.stats, "<f8").reshape(-1, 4)[:, ("min", "max", "mean", "norm").index(kind)]
    known[told] = True
    numel = wire.elements(table)
    alone = np.flatnonzero((flags & wire.HAS_VALUES != 0) & (flags & wire.HAS_STATS == 0) & (numel == 1))
    if len(alone):
        dtype = np.frombuffer(table.dtype, np.uint8)
        sizes = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)[dtype]
        ends = np.cumsum(np.where(flags & wire.HAS_VALUES, numel * sizes, 0))
        data = np.frombuffer(table.values, np.uint8)
        for code in np.unique(dtype[alone]).tolist():
            packed_as = np.dtype(wire.PACKED[wire.DTYPES[code]])
            rows = alone[dtype[alone] == code]
            places = (ends[rows] - packed_as.itemsize)[:, None] + np.arange(packed_as.itemsize)
            read = data[places].view(packed_as)[:, 0]
            values[rows] = np.abs(read) if kind == "norm" or read.dtype.kind == "c" else read
            known[rows] = True
    return values, known


def _number(value: float) -> float | str:
    if value - value == 0.0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
