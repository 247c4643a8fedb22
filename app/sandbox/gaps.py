"""Fill the gaps that freed objects have left in this process's memory.

Python puts a new object into a gap of its size, if there is one. After PyTorch is imported, thousands of gaps are spread over
hundreds of memory pages. A forked process would copy a page for every few objects that it makes. Once the gaps are filled, its
objects share new pages.
"""

from __future__ import annotations

from typing import Final

_STEP: Final = 16
"""Python's allocator rounds the size of an object up to a multiple of this number of bytes (``Objects/obmalloc.c``)."""
_LARGEST: Final = 512
"""Size in bytes above which an object is allocated by the C library."""
_SMALL: Final = 64
"""Size in bytes up to which an object counts as small."""
_SMALL_GAPS: Final = 1_500
"""Number of gaps that are filled for each size of small objects. PyTorch leaves up to 1,200."""
_GAPS: Final = 250
"""Number of gaps that are filled for each larger size. PyTorch leaves up to 230."""
_FLOAT_SIZE: Final = 2 * _STEP
_BYTES_HEAD: Final = b"".__sizeof__()

_fillers: list[list[object]] = []
"""The objects in the gaps, which nothing uses. They take about 2.5 MB."""


def fill_gaps() -> None:
    """Make objects of every size, and keep them, so that later objects are allocated side by side."""
    for size in range(_STEP, _LARGEST + 1, _STEP):
        count = _SMALL_GAPS if size <= _SMALL else _GAPS
        if size == _STEP:
            _fillers.append([object() for _ in range(count)])
        elif size == _FLOAT_SIZE:
            _fillers.append([float(number) for number in range(count)])
        else:
            _fillers.append([bytes(size - _BYTES_HEAD) for _ in range(count)])
