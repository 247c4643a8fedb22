"""Load the compiled C code, and call it with addresses."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DTYPES: Final = ("float32", "float64", "float16", "bfloat16")
"""The dtypes that the C code reads, in its order."""
INTERFACE: Final = 1
"""The version of the C functions. A library of another version was left behind by an older build, and is not used."""
PATH: Final = Path(__file__).with_name("_statistics.so")
"""The file that ``static/compile.py`` writes, on every system."""

Summary = tuple[float, float, float, float, int, int, int]
"""Min, max, mean, L2 norm; counts of zeros, NaN and Inf."""


class Library:
    """The functions of ``statistics.c``."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        self._summarize = loaded.tapedeck_summarize
        self._summarize.restype = None
        pointer = ctypes.c_void_p
        self._summarize.argtypes = [ctypes.c_int64, pointer, pointer, ctypes.c_int32, pointer, pointer]

    def summarize(self, addresses: Sequence[int], sizes: Sequence[int], dtype: int) -> list[Summary]:
        """Return the summaries of contiguous arrays with at least one element.

        ``addresses`` are those of the first elements, ``sizes`` the numbers of elements, and ``dtype`` is an index in
        :data:`DTYPES`. The caller keeps the arrays alive and has checked that their memory has all elements.
        """
        arrays = len(addresses)
        elements, counts = array("Q", addresses), array("q", sizes)
        numbers, tallies = array("d", bytes(32 * arrays)), array("q", bytes(24 * arrays))
        buffers = [each.buffer_info()[0] for each in (elements, counts, numbers, tallies)]
        self._summarize(arrays, buffers[0], buffers[1], dtype, buffers[2], buffers[3])
        rows, counted = iter(numbers), iter(tallies)
        return list(zip(rows, rows, rows, rows, counted, counted, counted, strict=True))


def load(path: Path = PATH) -> Library | None:
    """Return the compiled library, or ``None`` if there is none for this machine and version."""
    try:
        loaded = ctypes.CDLL(str(path))
        return Library(loaded) if loaded.tapedeck_interface() == INTERFACE else None
    except (OSError, AttributeError):  # not compiled, compiled for another machine, or without our functions
        return None
