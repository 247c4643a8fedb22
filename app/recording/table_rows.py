"""Copy rows of packed tensor tables into a new table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .. import wire
from .tensors import ITEM_SIZES, starts


def copy_rows(pieces: Iterable[tuple[wire.TensorTable, Sequence[int]]]) -> wire.TensorTable:
    """Return a table with the given rows of each table, in order."""
    names: dict[str, int] = {}
    columns: dict[str, list[bytes]] = {
        name: [] for name in ("dtype", "flags", "grad_fn", "ndim", "dims", "stats", "counts", "values")
    }
    for table, rows in pieces:
        flags, dtype = np.frombuffer(table.flags, np.uint8), np.frombuffer(table.dtype, np.uint8)
        summarized = starts((flags & wire.HAS_STATS) != 0)
        dims = starts(np.frombuffer(table.ndim, np.uint8))
        values = starts(np.where(flags & wire.HAS_VALUES, wire.elements(table) * ITEM_SIZES[dtype], 0))
        for row in rows:
            name = int.from_bytes(table.grad_fn[2 * row : 2 * row + 2], "little")
            index = names.setdefault(table.names[name - 1], len(names) + 1) if name else 0
            columns["dtype"].append(table.dtype[row : row + 1])
            columns["flags"].append(table.flags[row : row + 1])
            columns["grad_fn"].append(index.to_bytes(2, "little"))
            columns["ndim"].append(table.ndim[row : row + 1])
            columns["dims"].append(table.dims[8 * dims[row] : 8 * dims[row + 1]])
            columns["stats"].append(table.stats[32 * summarized[row] : 32 * summarized[row + 1]])
            columns["counts"].append(table.counts[24 * summarized[row] : 24 * summarized[row + 1]])
            columns["values"].append(table.values[values[row] : values[row + 1]])
    return wire.TensorTable(**{name: b"".join(parts) for name, parts in columns.items()}, names=list(names))
