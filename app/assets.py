"""Find the templates and the bundled front end: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def templates_path() -> Path:
    """Return the folder of the HTML templates."""
    return _first(PACKAGE / "templates", PACKAGE.parent / "templates")


def static_path() -> Path:
    """Return the folder of the bundled front end; ``manifest.json`` in it maps an entry's name to its file.

    Raises ``FileNotFoundError``, naming the remedy, when the front end was never bundled.
    """
    return _first(PACKAGE / "static", PACKAGE.parent / "static" / "dist")


def _first(*places: Path) -> Path:
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{places[-1]} is missing: `python static/bundle.py` makes it, as `make run` does")
