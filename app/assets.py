"""Locate the templates and the bundled front end, in the installed package or in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def templates_path() -> Path:
    """Return the folder of the HTML templates."""
    return _first(PACKAGE / "templates", PACKAGE.parent / "templates")


def static_path() -> Path:
    """Return the folder of the bundled front end. Its ``manifest.json`` maps the name of an entry to its file.

    Raises :class:`FileNotFoundError`, which names the remedy, if the front end was never bundled.
    """
    return _first(PACKAGE / "static", PACKAGE.parent / "static" / "dist")


def _first(*folders: Path) -> Path:
    for folder in folders:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{folders[-1]} is missing: run `python static/bundle.py` or `make run` to create it")
