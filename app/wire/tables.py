"""Check that the columns of a tensor table fit together."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..errors import ProtocolError
from .events import DTYPES, HAS_STATS, HAS_VALUES, PACKED, TensorTable

MAX_NUMEL: Final = 2.0**60
"""Maximum number of elements of a tensor: more than any machine has memory for."""


def check_table(table: TensorTable) -> int:
    """Return the number of rows of a table. Raises :class:`ProtocolError` if its columns do not fit together."""
    count = len(table.dtype)
    if count == 0:
        if any(getattr(table, name) for name in table.__struct_fields__):
            raise ProtocolError("a tensor table has numbers but no rows")
        return 0
    dtype = np.frombuffer(table.dtype, np.uint8)
    flags = np.frombuffer(table.flags, np.uint8)
    ndim = np.frombuffer(table.ndim, np.uint8)
    if not (len(flags) == len(ndim) == count and len(table.grad_fn) == 2 * count):
        raise ProtocolError("the columns of a tensor table differ in length")
    if len(table.names) > count:
        raise ProtocolError("a tensor table has more names than rows")
    if int(dtype.max()) >= len(DTYPES):
        raise ProtocolError("a tensor has an unknown dtype")
    if int(np.frombuffer(table.grad_fn, "<u2").max()) > len(table.names):
        raise ProtocolError("a tensor's grad_fn has no name")
    if len(table.dims) != 8 * int(ndim.sum(dtype=np.int64)):
        raise ProtocolError("the shapes of tensors do not fit their numbers of dimensions")
    stats = int(np.count_nonzero(flags & HAS_STATS))
    if len(table.stats) != 32 * stats or len(table.counts) != 24 * stats:
        raise ProtocolError("the statistics of tensors do not fit their flags")
    numel = elements(table)
    has_values = (flags & HAS_VALUES) != 0
    # Check the largest row first: the sum over all rows could overflow to the expected size.
    if has_values.any() and int(numel[has_values].max()) > len(table.values):
        raise ProtocolError("the values of tensors do not fit their shapes")
    size = sum(
        int(numel[has_values & (dtype == code)].sum()) * np.dtype(PACKED[DTYPES[code]]).itemsize
        if DTYPES[code] in PACKED
        else -1
        for code in set(dtype[has_values].tobytes())
    )
    if len(table.values) != size:
        raise ProtocolError("the values of tensors do not fit their shapes")
    return count


def elements(table: TensorTable) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of elements of each row. Raises :class:`ProtocolError` if a size is negative or impossibly large."""
    ndim = np.frombuffer(table.ndim, np.uint8)
    dims = np.frombuffer(table.dims, "<i8")
    if len(dims) == 0:
        return np.ones(len(ndim), np.int64)
    if int(dims.min()) < 0:
        raise ProtocolError("a tensor has a negative size")
    starts = np.concatenate(([0], np.cumsum(ndim, dtype=np.int64)[:-1]))
    padded = np.concatenate((dims.astype(np.float64), [1.0]))
    product = np.multiply.reduceat(padded, starts)
    product[ndim == 0] = 1.0
    if float(product.max()) > MAX_NUMEL:
        raise ProtocolError("a tensor has more elements than any machine can store")
    return product.astype(np.int64)
