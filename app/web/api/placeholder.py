"""Draw the SVG that is returned in place of a picture when a run has no graph."""

from __future__ import annotations

import textwrap
from html import escape
from typing import Final

from ...drawing.style import SANS, THEMES

WIDTH: Final = 480
COLUMNS: Final = 60
LINE: Final = 20


def placeholder(sentence: str, theme: str = "light") -> bytes:
    """Return an SVG that shows a sentence."""
    tokens = THEMES["dark" if theme == "dark" else "light"]
    lines = textwrap.wrap(_without_controls(sentence), COLUMNS)[:12] or [""]
    height = 32 + LINE * len(lines)
    spans = "".join(f'<tspan x="16" y="{28 + LINE * at}">{escape(line)}</tspan>' for at, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(lines[0])}"><rect width="{WIDTH}" height="{height}" fill="{tokens["bg"]}"/>'
        f'<text font-family="{escape(SANS)}" font-size="13" fill="{tokens["ink-2"]}">{spans}</text></svg>'
    ).encode()


def _without_controls(text: str) -> str:
    """Return the text with a space for each character that XML does not allow."""
    return "".join(
        letter if letter >= " " and not "\ud800" <= letter <= "\udfff" and letter < "\ufffe" else " " for letter in text
    )
