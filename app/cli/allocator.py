"""Configure the C library's memory allocator for a server."""

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

    By default, once a large block of up to 32 MB has been freed, glibc treats blocks of its size as small and keeps them. After
    one request body of 12 MB, the process would keep all freed blocks of up to 12 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(M_ARENA_MAX, ARENAS))
