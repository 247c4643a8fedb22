"""Collect numbers over the steps of a run by keys, for the ``series`` route and the page's charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import UNSET, Struct, UnsetType

from ...errors import InvalidInput
from ...recording import Recording, StepSeries, json_number, omitted
from ...recording.series import thinned
from .pass_columns import PackedMatrix

CELLS: Final = 2_000_000
"""Limit on the numbers in a response."""
DEFAULT_POINTS: Final = 2_000
"""Number of steps to which each key is reduced if a request does not choose one."""
DEFAULT_CELLS: Final = 20_000
"""Largest number of numbers in the response if a request does not choose ``points``: about 400 kB of JSON. For many keys,
fewer steps are kept."""
MOST_POINTS: Final = 100_000
"""Largest number of steps that a request can choose."""


class Series(Struct, frozen=True):
    """Numbers over steps: ``series[key][i]`` belongs to step ``index[i]`` and is null if that step has no such number.

    ``omitted`` is the number of steps that were left out, if any. Steps with extremes are kept. The parameter ``points`` sets
    the number of steps.
    """

    index: list[int]
    series: dict[str, list[float | str | None]]
    omitted: dict[str, int] | UnsetType = UNSET


class PackedNumbers(Struct, frozen=True):
    """Packed little-endian numbers. ``gaps`` are the indices of missing numbers, which are NaN in ``data``."""

    dtype: str
    data: bytes
    gaps: list[int]


class PackedSeries(Struct, frozen=True):
    """Numbers over steps, for msgpack: ``index`` is packed as int32, the series as float64.

    ``omitted`` is the number of steps that were left out, if any.
    """

    index: PackedMatrix
    series: dict[str, PackedNumbers]
    omitted: dict[str, int] | UnsetType = UNSET


def series(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> Series:
    """Return the numbers of the keys. Raises :class:`InvalidInput` for a key that no step has, or for too many numbers."""
    read, left_out = _read(recording, keys, start, count, points)
    return Series(read.index.tolist(), {key: _plain(read.values[key], read.present[key]) for key in read.values}, left_out)


def packed(recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None) -> PackedSeries:
    """Return the numbers of the keys, packed."""
    read, left_out = _read(recording, keys, start, count, points)
    columns = {
        key: PackedNumbers(
            "<f8", np.where(present, read.values[key], np.nan).astype("<f8").tobytes(), np.flatnonzero(~present).tolist()
        )
        for key, present in read.present.items()
    }
    index = PackedMatrix("<i4", (1, len(read.index)), read.index.astype("<i4").tobytes())
    return PackedSeries(index, columns, left_out)


def _read(
    recording: Recording, keys: Sequence[str], start: int, count: int | None, points: int | None
) -> tuple[StepSeries, dict[str, int] | UnsetType]:
    """Return the numbers, and the number of steps that were left out."""
    whole = recording.series(keys, start, count)
    read = _bounded(whole) if points is None else thinned(whole, points)
    if (cells := len(read.index) * len(read.values)) > CELLS:
        raise InvalidInput(
            f"This request selects {cells:,} numbers, and a response has at most {CELLS:,}: request fewer keys or points.",
            where="query.points",
        )
    return read, omitted(steps=len(whole.index) - len(read.index))


def _bounded(series: StepSeries) -> StepSeries:
    """Reduce a series to :data:`DEFAULT_POINTS` points, halved until the response has at most :data:`DEFAULT_CELLS` numbers."""
    points = DEFAULT_POINTS
    read = thinned(series, points)
    while len(read.index) * len(read.values) > DEFAULT_CELLS and points > 2:
        points //= 2
        read = thinned(series, points)
    return read


def _plain(values: np.ndarray[Any, Any], present: np.ndarray[Any, Any]) -> list[float | str | None]:
    plain: list[float | str | None] = values.tolist()
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        plain[index] = json_number(float(values[index])) if present[index] else None
    return plain
