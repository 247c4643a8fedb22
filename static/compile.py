"""Compile the code in C of app/native/, and name the wheel after the machine if it contains the result.

The classes are commands of setuptools, named in pyproject.toml. The library is called by ctypes, not imported, so one file
serves every version of Python. Without a compiler, the build goes on, and the wheel serves every machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


class BuildLibrary(build_ext):
    """Compile, and name the library as ``app/native/library.py`` expects it."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of a library without the version of Python that ran the build."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def get_export_symbols(self, ext: Any) -> list[str]:
        """Return no symbols beside those of the C code: a library has no initialization function of Python."""
        return list(ext.export_symbols)


class BuildWheel(bdist_wheel):
    """Build a wheel for any Python 3, and for any machine if it has no library."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, its binary interface and the platform."""
        compiled = self.bdist_dir is not None and any(Path(self.bdist_dir).rglob("*.so"))
        return "py3", "none", super().get_tag()[2] if compiled else "any"
