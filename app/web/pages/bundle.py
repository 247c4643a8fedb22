"""Find the files of the bundled front end, whose names contain a hash of their content."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ... import assets
from ...errors import BundleUnusable


def file_of(name: str) -> str:
    """Return the file of an entry of the bundle, such as ``"playground.js"``. Raises :class:`BundleUnusable`."""
    file: str = _entry("manifest.json", name)
    return file


def imports_of(name: str) -> list[str]:
    """Return the files that a script of the bundle imports from the start. Raises :class:`BundleUnusable`."""
    files: list[str] = _entry("imports.json", name)
    return files


def text_of(name: str) -> str:
    """Return the text of an entry of the bundle. Raises :class:`BundleUnusable`."""
    file = file_of(name)
    try:
        return (assets.static_path() / file).read_text()
    except OSError as error:
        raise BundleUnusable(file) from error


def _entry(listing: str, name: str) -> Any:
    try:
        path = assets.static_path() / listing
        return _content(path, path.stat().st_mtime_ns)[name]
    except (OSError, ValueError, KeyError) as error:
        raise BundleUnusable(name) from error


@cache
def _content(path: Path, _changed: int) -> Any:
    return json.loads(path.read_text())
