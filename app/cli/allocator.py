"""Tell the C library's allocator how to use memory in a server."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""Parameters of ``mallopt``, from ``malloc.h`` of glibc."""
LARGE_BYTES: Final = 256 * 1024
ARENAS: Final = 2


def return_large_blocks() -> bool:
    """Give large blocks back to the system as soon as they are freed. Return whether the allocator supports it.

    By default, glibc raises the size from which a block is large to that of the largest block that was freed, up to 32 MB.
    After one body of 12 MB, the process would keep that much memory, in pieces.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(M_ARENA_MAX, ARENAS))
