"""Read packed columns, and check their lengths and ranges."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ProtocolError


def int32(data: bytes, name: str, length: int | None = None) -> np.ndarray[Any, np.dtype[np.int32]]:
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
        raise ProtocolError(f"the column {name} has an entry that is out of range")
