"""Give numbers over steps, by keys, all of a run in one answer: what curves are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ..errors import InvalidInput
from ..recording import Recording, StepSeries, number
from .frames import Column

CELLS: Final = 2_000_000
"""Numbers that one answer may hold."""


class Series(Struct, frozen=True):
    """Numbers over steps: ``series[key][i]`` is of step ``index[i]``, null where that step has no such number."""

    index: list[int]
    series: dict[str, list[float | str | None]]


class PackedColumn(Struct, frozen=True):
    """Packed numbers, little-endian; ``gaps`` are the places where NaN stands for no number."""

    dtype: str
    data: bytes
    gaps: list[int]


class PackedSeries(Struct, frozen=True):
    """The same with packed columns, for msgpack: ``index`` as int32, the rest as float64."""

    index: Column
    series: dict[str, PackedColumn]


def series(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> Series:
    """Read the keys; raises :class:`InvalidInput` for one that no step has, or for too much at once."""
    read = _read(recording, keys, start, count, points)
    return Series(read.index.tolist(), {key: _plain(read.values[key], read.present[key]) for key in read.values})


def packed(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> PackedSeries:
    """The same, packed."""
    read = _read(recording, keys, start, count, points)
    columns = {
        key: PackedColumn(
            "<f8", np.where(there, read.values[key], np.nan).astype("<f8").tobytes(), np.flatnonzero(~there).tolist()
        )
        for key, there in read.present.items()
    }
    index = Column("<i4", (1, len(read.index)), read.index.astype("<i4").tobytes())
    return PackedSeries(index, columns)


def _read(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> StepSeries:
    read = recording.series(keys, start, count, points)
    if (cells := len(read.index) * len(read.values)) > CELLS:
        raise InvalidInput(
            f"That is {cells:,} numbers, and one answer holds {CELLS:,}: ask for fewer keys, or for points.",
            where="query.points",
        )
    return read


def _plain(values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> list[float | str | None]:
    told: list[float | str | None] = values.tolist()
    for place in np.flatnonzero(~np.isfinite(values)).tolist():
        told[place] = number(float(values[place])) if known[place] else None
    return told
