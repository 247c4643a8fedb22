"""Read packed columns, and check their lengths and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ProtocolError
from .fields import EventPart

Int32 = np.ndarray[Any, np.dtype[np.int32]]


def int32(data: bytes, name: str, length: int | None = None) -> Int32:
    """Return a view of the packed column ``name``. Raises :class:`ProtocolError` if it does not have ``length`` entries."""
    return np.frombuffer(column(data, 4, name, length), "<i4")


def column(data: bytes, itemsize: int, name: str, length: int | None = None) -> bytes:
    """Return a column. Raises :class:`ProtocolError` if it does not have ``length`` entries of ``itemsize`` bytes."""
    if len(data) % itemsize or (length is not None and len(data) != itemsize * length):
        raise ProtocolError(f"the column {name} has {len(data):,} bytes")
    return data


def check_range(entries: np.ndarray[Any, Any], low: int, high: int, name: str) -> None:
    """Raise :class:`ProtocolError` unless ``low <= entry < high`` for every entry of the column ``name``."""
    if len(entries) and (int(entries.min()) < low or int(entries.max()) >= high):
        raise _out_of_range(name)


def check_columns(part: EventPart, length: int, bounds: Mapping[str, tuple[int, int]]) -> dict[str, Int32]:
    """Return columns of ``length`` entries by name. ``bounds`` are the least entry of each, and one more than the largest.

    Raises the errors of :func:`int32` and :func:`check_range`. Most columns are short, so checking them together is faster.
    """
    packed = [column(getattr(part, name), 4, name, length) for name in bounds]
    columns = np.frombuffer(b"".join(packed), "<i4").reshape(len(packed), length)
    if length:
        least, most = np.minimum.reduce(columns, axis=1).tolist(), np.maximum.reduce(columns, axis=1).tolist()
        for (name, (low, high)), smallest, largest in zip(bounds.items(), least, most, strict=True):
            if smallest < low or largest >= high:
                raise _out_of_range(name)
    return dict(zip(bounds, columns, strict=True))


def check_rows(part: EventPart, lengths: Mapping[str, int], rows: int) -> None:
    """Check that columns have these lengths, and that each entry is the index of one of ``rows`` rows, or -1."""
    packed = [column(getattr(part, name), 4, name, length) for name, length in lengths.items()]
    try:
        check_range(np.frombuffer(b"".join(packed), "<i4"), -1, rows, "")
    except ProtocolError:
        for name in lengths:
            check_range(int32(getattr(part, name), name), -1, rows, name)


def _out_of_range(name: str) -> ProtocolError:
    return ProtocolError(f"the column {name} has an entry that is out of range")
