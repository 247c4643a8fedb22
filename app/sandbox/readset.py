"""List the files that a confined program may read, and the modules that the zygote imports in advance.

Tapedeck's own files are not readable.
"""

from __future__ import annotations

import contextlib
import os
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "torch", "numpy", "torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec",
    "typing_extensions", "packaging", "setuptools", "_distutils_hack", "pkg_resources", "opt_einsum", "einops", "tqdm",
    "scipy", "pandas", "sklearn", "torchvision", "dateutil", "six", "pytz", "tzdata",
)  # fmt: skip
"""PyTorch, NumPy, their lazily imported dependencies, and packages that training programs often use, if installed."""

PRELOADED: Final = (
    "abc", "array", "base64", "bisect", "bz2", "cmath", "collections.abc", "contextlib", "copy", "csv", "ctypes",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io", "itertools",
    "json", "logging", "lzma", "math", "numbers", "operator", "pathlib", "pickle", "pprint", "queue", "random", "re",
    "secrets", "statistics", "string", "struct", "textwrap", "time", "timeit", "traceback", "types", "typing", "uuid",
    "warnings", "zipfile", "zlib",
)  # fmt: skip
"""Modules to import in the zygote: extension modules whose shared libraries a child cannot read, and common imports."""

PRELOADED_WITHOUT_FILES: Final = (
    "argparse", "ast", "asyncio", "calendar", "codecs", "colorsys", "configparser", "contextvars", "difflib", "fnmatch",
    "getopt", "gettext", "glob", "graphlib", "gzip", "html", "keyword", "linecache", "locale", "shlex", "shutil", "stat",
    "stringprep", "symtable", "tarfile", "tempfile", "token", "tokenize", "unicodedata", "unittest.mock", "urllib.parse",
    "urllib.request", "weakref", "xml.etree.ElementTree", "zoneinfo", "numpy.fft", "numpy.linalg", "numpy.polynomial",
    "numpy.random", "torch._decomp.decompositions_for_jvp", "torch.autograd.forward_ad", "torch.autograd.functional",
    "torch.autograd.gradcheck", "torch.distributions", "torch.fft", "torch.func", "torch.linalg",
    "torch.nn.utils.parametrizations", "torch.nn.utils.parametrize", "torch.nn.utils.prune", "torch.optim.swa_utils",
    "torch.special", "torch.utils.checkpoint", "torch.utils.data", "torch.utils.serialization.config",
)  # fmt: skip
"""More modules to import in the zygote in mode ``nofiles``, where a child cannot import any file."""

_DISTRIBUTIONS: Final = {"sklearn": "scikit-learn", "dateutil": "python-dateutil"}
"""The distribution of each package whose distribution has another name."""
_NOT_LIBRARY: Final = {"site-packages", "dist-packages", "__pycache__", "test", "idlelib", "tkinter", "ensurepip"}
_DATA: Final = ("/usr/share/zoneinfo",)


def readable_paths() -> list[str]:
    """Return the paths that a child may read. A folder includes everything below it."""
    return [*_standard_library(), *_packages(PACKAGES), *_metadata(PACKAGES), *(path for path in _DATA if os.path.isdir(path))]


def empty_folders() -> list[str]:
    """Return folders that must exist although nothing in them is read: PyTorch fails without the folder of its compiler."""
    return [folder for folder in [os.environ.get("TORCHINDUCTOR_CACHE_DIR")] if folder]


def _standard_library() -> Iterator[str]:
    """Yield the entries of the standard library's folders one by one, because a folder may also contain ``site-packages``."""
    for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}:
        if os.path.isdir(folder):
            yield from (entry.path for entry in os.scandir(folder) if entry.name not in _NOT_LIBRARY)


def _packages(names: Iterable[str]) -> Iterator[str]:
    """Yield the folders or files of the packages that are installed."""
    for name in names:
        spec = PathFinder.find_spec(name)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            yield folder
            # Wheels put bundled shared libraries into this folder.
            libraries = Path(folder).parent / f"{name}.libs"
            if libraries.is_dir():
                yield str(libraries)
        if spec.origin is not None and not spec.submodule_search_locations:
            yield spec.origin


def _metadata(names: Iterable[str]) -> Iterator[str]:
    """Yield the files from which :mod:`importlib.metadata` reads versions. Other files contain paths of this machine."""
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found = distribution(_DISTRIBUTIONS.get(name, name))
            file = found.locate_file(f"{found.name.replace('-', '_')}-{found.version}.dist-info/METADATA")
            if os.path.isfile(str(file)):
                yield str(file)
