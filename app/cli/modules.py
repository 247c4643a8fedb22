"""Find the file of a module without importing anything: the command line never imports the program's packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from ..errors import BadRequest


def find(name: str) -> tuple[str, Path]:
    """Return the full name and the file of a module, or of the ``__main__`` of a package, as ``python -m`` finds them.

    Raises :class:`BadRequest`.
    """
    spec = _find(name)
    if spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise BadRequest(f"The module {name} is not a Python file, so it cannot be recorded.")
    return spec.name, Path(spec.origin).absolute()


def _find(name: str) -> ModuleSpec:
    search: Sequence[str] | None = [os.getcwd(), *sys.path]
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        part = ".".join(parts[:count])
        spec = None if search is None else _spec(part, search, top=count == 1)
        if spec is None:
            if parts[-1] == "__main__" and count == len(parts):
                raise BadRequest(
                    f"The package {'.'.join(parts[:-1])} has no __main__ and cannot be run: name one of its modules."
                )
            raise BadRequest(f"No module named {part} is in this folder or installed.")
        search = spec.submodule_search_locations
    assert spec is not None
    return spec


def _spec(name: str, search: Sequence[str], *, top: bool) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if (spec := finder.find_spec(name, list(search))) is not None:
            return spec
    if top:  # packages that are installed in editable mode are found without a path
        for finder in sys.meta_path:
            if (spec := finder.find_spec(name, None)) is not None:
                return spec
    return None
