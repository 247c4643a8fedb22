"""Store the series of long runs that have ended, so that reading a curve does not unpack all steps."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from ..byte_cache import ByteCache
from ..recording import StepSeries
from .derived import SERIES, DerivedParts, unpack

LEVEL: Final = 1
"""Compression level of zlib. A higher level saves few bytes of numbers, and takes much longer."""
MANY_STEPS: Final = 256
"""Number of steps from which the series of a run are stored. For a shorter run, reading the steps is as fast."""
CACHE_BYTES: Final = 16 * 1024 * 1024

ReadKeys = Callable[[Sequence[str]], dict[str, StepSeries]]


class _StoredColumn(Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    """``<f4`` if that loses nothing, else ``<f8``."""
    numbers: bytes
    absent: bytes
    """int32: positions of the steps without a number."""


class _StoredColumns(Struct, frozen=True, array_like=True):
    end: int
    """Number of events of the run from which the series was read."""
    index: bytes
    """int32: indices of the steps, each as the difference from the one before."""
    columns: list[_StoredColumn]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_StoredColumns)


class StoredSeries:
    """Reads the series of runs, and caches the most recently read ones. Several threads may use it."""

    def __init__(self, parts: DerivedParts) -> None:
        self._parts = parts
        self._cache = ByteCache[tuple[int, int, str], StepSeries](CACHE_BYTES)

    def read(self, run: int, end: int, keys: Sequence[str], make: ReadKeys) -> dict[str, StepSeries]:
        """Return the series of each key over all steps. Series that are not stored are read by ``make``, and then stored."""
        found = {key: series for key in keys if (series := self._cache.get((run, end, key))) is not None}
        if absent := [key for key in keys if key not in found]:
            stored = self._parts.read(run, [f"{SERIES}{key}" for key in absent])
            fresh = {key: unpack_series(stored[f"{SERIES}{key}"], end) for key in absent if f"{SERIES}{key}" in stored}
            if missing := [key for key in absent if fresh.get(key) is None]:
                made = make(missing)
                self._parts.keep(run, end, {f"{SERIES}{key}": pack_series(series, end) for key, series in made.items()})
                fresh |= made
            for key, series in fresh.items():
                assert series is not None
                found[key] = series
                self._cache.put((run, end, key), series, 200 + 9 * len(series.index) * (len(series.values) + 1))
        return {key: found[key] for key in keys}


def pack_series(series: StepSeries, end: int) -> bytes:
    """Pack a series that was read from ``end`` events."""
    columns = []
    for name, values in series.values.items():
        present = series.present[name]
        numbers = np.where(present, values, 0.0)
        with np.errstate(all="ignore"):
            single = numbers.astype("<f4")
        exact = bool(np.array_equal(single.astype("<f8"), numbers, equal_nan=True))
        packed = (single if exact else numbers.astype("<f8")).tobytes()
        columns.append(_StoredColumn(name, "<f4" if exact else "<f8", packed, np.flatnonzero(~present).astype("<i4").tobytes()))
    index = np.diff(series.index, prepend=0).astype("<i4").tobytes()
    return zlib.compress(_encode(_StoredColumns(end, index, columns)), LEVEL)


def unpack_series(data: bytes, end: int) -> StepSeries | None:
    """Undo :func:`pack_series`. Return ``None`` as :func:`.derived.unpack` does."""
    packed = unpack(data, _decoder, end)
    if packed is None:
        return None
    index = np.cumsum(np.frombuffer(packed.index, "<i4"), dtype=np.int64)
    values, present = {}, {}
    for column in packed.columns:
        numbers = np.frombuffer(column.numbers, column.dtype).astype(np.float64)
        mask = np.ones(len(index), bool)
        absent = np.frombuffer(column.absent, "<i4")
        numbers[absent], mask[absent] = np.nan, False
        values[column.name], present[column.name] = numbers, mask
    return StepSeries(index, values, present)
