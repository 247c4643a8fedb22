"""List what a confined program may read: the standard library and the named packages, never Tapedeck itself."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "torch", "numpy", "torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec",
    "typing_extensions", "packaging", "setuptools", "_distutils_hack", "pkg_resources", "opt_einsum",
    "einops", "tqdm", "scipy", "pandas", "sklearn", "torchvision", "dateutil", "six", "pytz", "tzdata",
)  # fmt: skip
"""torch, numpy, what they import late, and a few that programs about training like; one that is not installed is left out."""

_NOT_LIBRARY: Final = {"site-packages", "dist-packages", "__pycache__", "test", "idlelib", "tkinter", "ensurepip"}
_DATA: Final = ("/usr/share/zoneinfo",)


def readable() -> list[str]:
    """Paths that may be read, folders with all that is below them."""
    return [*_standard_library(), *_packages(PACKAGES), *(path for path in _DATA if os.path.isdir(path))]


def _standard_library() -> Iterator[str]:
    """Each entry by itself: the folder as a whole also holds site-packages."""
    for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}:
        if os.path.isdir(folder):
            yield from (entry.path for entry in os.scandir(folder) if entry.name not in _NOT_LIBRARY)


def _packages(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        spec = PathFinder.find_spec(name)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            yield folder
            # Where wheels put the shared libraries that they bring.
            libraries = Path(folder).parent / f"{name}.libs"
            if libraries.is_dir():
                yield str(libraries)
        if spec.origin is not None and not spec.submodule_search_locations:
            yield spec.origin
