"""Collect numbers over the steps of a run by keys, for the ``series`` route and the page's charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ..errors import InvalidInput
from ..recording import Recording, StepSeries, json_number
from .pass_columns import PackedMatrix

CELLS: Final = 2_000_000
"""Limit on the numbers in a response."""


class Series(Struct, frozen=True):
    """Numbers over steps: ``series[key][i]`` belongs to step ``index[i]`` and is null if that step has no such number."""

    index: list[int]
    series: dict[str, list[float | str | None]]


class PackedNumbers(Struct, frozen=True):
    """Packed little-endian numbers. ``gaps`` are the indices of missing numbers, which are NaN in ``data``."""

    dtype: str
    data: bytes
    gaps: list[int]


class PackedSeries(Struct, frozen=True):
    """Numbers over steps, for msgpack: ``index`` is packed as int32, the series as float64."""

    index: PackedMatrix
    series: dict[str, PackedNumbers]


def series(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> Series:
    """Return the numbers of the keys. Raise :class:`InvalidInput` for a key that no step has, or for too many numbers."""
    read = _read(recording, keys, start, count, points)
    return Series(read.index.tolist(), {key: _plain(read.values[key], read.present[key]) for key in read.values})


def packed(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> PackedSeries:
    """Return the numbers of the keys, packed."""
    read = _read(recording, keys, start, count, points)
    columns = {
        key: PackedNumbers(
            "<f8", np.where(present, read.values[key], np.nan).astype("<f8").tobytes(), np.flatnonzero(~present).tolist()
        )
        for key, present in read.present.items()
    }
    index = PackedMatrix("<i4", (1, len(read.index)), read.index.astype("<i4").tobytes())
    return PackedSeries(index, columns)


def _read(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> StepSeries:
    read = recording.series(keys, start, count, points)
    if (cells := len(read.index) * len(read.values)) > CELLS:
        raise InvalidInput(
            f"This request selects {cells:,} numbers, and a response has at most {CELLS:,}: request fewer keys, or set points.",
            where="query.points",
        )
    return read


def _plain(values: np.ndarray[Any, Any], present: np.ndarray[Any, Any]) -> list[float | str | None]:
    plain: list[float | str | None] = values.tolist()
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        plain[index] = json_number(float(values[index])) if present[index] else None
    return plain
