"""The code in C, compiled for the tests: an installed one may be missing or old."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import tomllib
from functools import cache
from pathlib import Path

import pytest
from tapedeck import native

ROOT = Path(__file__).parent.parent.parent
COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler: apt-get install gcc libc6-dev")


@cache
def library() -> native.Library:
    """Return the library, compiled as pyproject.toml says."""
    assert COMPILER is not None
    (extension,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    sources = [str(ROOT / source) for source in extension["sources"]]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "library.so")
        strict = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([COMPILER, *extension["extra-compile-args"], *strict, *sources, "-lm", "-o", str(target)], check=True)
        loaded = native.load(target)
    assert loaded is not None
    return loaded
