"""Give numbers of many passes by columns: a few of all, for who computes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from .. import wire
from ..errors import InvalidInput
from ..recording import Recording, Tensors, number
from ..recording.table_stack import COUNTS, NUMBERS, FloatArray, PresentMask, TableStack, table_layout

WHAT: Final = ("value", "arrived", "used", "edge")
"""Of each node its value; of each output of each node the sum that arrived, and what was used; of each edge its gradient."""
STATISTICS: Final = (*NUMBERS, *COUNTS)
OTHERS: Final = ("values", "shape", "dtype")
FIELDS: Final = tuple(f"{what}.{of}" for what in WHAT for of in (*STATISTICS, *OTHERS))
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
    passes, following = _over(recording, graph, start, count, fields)
    groups = _alike(passes)
    columns = {
        name: _plain(groups, len(passes), name) if name.partition(".")[2] in STATISTICS else _read(passes, name)
        for name in fields
    }
    return Frames(f"g{graph}", [each.index for each in passes], [each.step for each in passes], columns, following)


def packed(recording: Recording, graph: int, start: int, count: int, fields: Sequence[str]) -> PackedFrames:
    """The same as packed columns: only of fields that are numbers."""
    if wrong := [name for name in fields if name.partition(".")[2] not in NUMBERS]:
        raise InvalidInput(f"{wrong[0]} cannot be packed: ask for it as JSON.", where="fields")
    passes, following = _over(recording, graph, start, count, fields)
    groups = _alike(passes)
    columns = {}
    for name in fields:
        matrix, _ = _matrix(groups, len(passes), name)
        columns[name] = Column("<f8", (matrix.shape[0], matrix.shape[1]), matrix.astype("<f8").tobytes())
    return PackedFrames(f"g{graph}", [each.index for each in passes], [each.step for each in passes], columns, following)


def _over(
    recording: Recording, graph: int, start: int, count: int, fields: Sequence[str]
) -> tuple[list[wire.PassEvent], int | None]:
    """The passes over a graph that fit into an answer, and the first that does not."""
    recording.graph(graph)  # which there must be
    found: list[wire.PassEvent] = []
    for event in recording.log.passes(max(0, start), recording.log.counts()[1]):
        if event.graph == graph:
            if not found:
                cells = sum(len(getattr(event, name.partition(".")[0])) // 4 for name in fields)
                count = min(count, max(1, CELLS // max(1, cells)))
            if len(found) == count:
                return found, event.index
            found.append(event)
    return found, None


def _alike(passes: Sequence[wire.PassEvent]) -> list[tuple[list[int], wire.PassEvent, TableStack]]:
    """The passes in groups of one layout: their places, the first of them, and their tables on top of each other."""
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for place, event in enumerate(passes):
        groups.setdefault((*table_layout(event.tensors), *(getattr(event, what) for what in WHAT)), []).append(place)
    return [
        (places, passes[places[0]], TableStack.of([passes[place].tensors for place in places])) for places in groups.values()
    ]


def _matrix(
    groups: list[tuple[list[int], wire.PassEvent, TableStack]], count: int, name: str
) -> tuple[FloatArray, PresentMask]:
    """A statistic of every node, output or edge in every pass, a row for each pass; what is not known is NaN."""
    what, _, kind = name.partition(".")
    width = len(getattr(groups[0][1], what)) // 4 if groups else 0
    values, known = np.full((count, width), np.nan), np.zeros((count, width), bool)
    for places, first, stack in groups:
        rows, sources = np.unique(wire.int32(getattr(first, what), what), return_inverse=True)
        columns = [stack.statistic(row, kind) for row in rows.tolist()]
        if columns:
            values[places] = np.stack([numbers for numbers, _ in columns])[sources].T
            known[places] = np.stack([there for _, there in columns])[sources].T
    return values, known


def _plain(groups: list[tuple[list[int], wire.PassEvent, TableStack]], count: int, name: str) -> list[list[Any]]:
    values, known = _matrix(groups, count, name)
    whole = name.partition(".")[2] in COUNTS
    told: list[list[Any]] = (np.where(known, values, 0).astype(np.int64) if whole else values).tolist()
    for at, place in np.argwhere(~np.isfinite(values) | ~known).tolist():
        told[at][place] = number(float(values[at, place])) if known[at, place] else None
    return told


def _read(passes: Sequence[wire.PassEvent], name: str) -> list[list[Any]]:
    """What is no number: values, shapes and dtypes, pass by pass."""
    what, _, kind = name.partition(".")
    found = []
    for event in passes:
        tensors = Tensors(event.tensors)
        rows = wire.int32(getattr(event, what), what).tolist()
        found.append([None if (summary := tensors.summary(row)) is None else getattr(summary, kind) for row in rows])
    return found
