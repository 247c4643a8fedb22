"""The code in C: statistics of arrays, by their addresses.

It uses neither Python nor PyTorch. When the package is built, ``static/compile.py`` compiles it if there is a C compiler.
Otherwise :func:`load` returns ``None``, and the tracer computes the same statistics with PyTorch.
"""

from __future__ import annotations

from .library import DTYPES, Library, Summary, load

__all__ = ["DTYPES", "Library", "Summary", "load"]
