"""Write the small parts of an SVG: text and boxes, with an attribute and a class for each colour."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from . import measure
from .style import MONO, SANS, Theme, level_colour, palette

TEXT: Final = 11.0
"""Font size of text, in pixels."""
TITLE: Final = 12.0
"""Font size of titles, in pixels."""


class Face(Struct, frozen=True):
    """The fonts of a picture."""

    sans: str = SANS
    mono: str = MONO
    fixed: bool = False
    """True if all text has the fixed-width font."""
    scale: float = 1.0
    """Factor on all font sizes, to compensate for a wide font."""


BROWSER: Final = Face()
EMBEDDED: Final = Face("DejaVu Sans Mono", "DejaVu Sans Mono", fixed=True, scale=0.9)
"""The only sans-serif font that typst embeds. It has a fixed width."""

_SPECIAL: Final = re.compile("[&<>\"']")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def escape(text: str) -> str:
    """Return the text with all characters escaped that are special in XML.

    >>> escape('<a b="c">')
    '&lt;a b=&quot;c&quot;&gt;'
    """
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


class Pen:
    """Writes the text and boxes of one theme and one face."""

    def __init__(self, theme: Theme, face: Face) -> None:
        self.theme, self.tokens = palette(theme)
        self.face = face
        self.size = TEXT * face.scale
        self._fills: dict[tuple[str, str], str] = {}
        self._paints: dict[tuple[str, str, str], str] = {}

    def fill(self, token: str, names: str = "") -> str:
        """Return attributes that fill with a colour token; ``names`` are further classes, each followed by a space."""
        attributes = self._fills.get((token, names))
        if attributes is None:
            attributes = self._fills[token, names] = f'class="{names}f-{token}" fill="{self.tokens[token]}"'
        return attributes

    def paint(self, fill: str, stroke: str, names: str = "") -> str:
        """Return attributes that fill with one colour token and outline with another."""
        attributes = self._paints.get((fill, stroke, names))
        if attributes is None:
            colours = f'fill="{self.tokens[fill]}" stroke="{self.tokens[stroke]}"'
            attributes = self._paints[fill, stroke, names] = f'class="{names}f-{fill} s-{stroke}" {colours}'
        return attributes

    def level(self, name: str) -> str:
        """Return the colour of a level of the scale."""
        return level_colour(name, self.theme)

    def wide(self, text: str, size: float = TEXT, *, bold: bool = False) -> float:
        """Return the width in pixels of a text that this pen writes."""
        return measure.width(text, size * self.face.scale, bold=bold, mono=self.face.fixed)

    def title(self, text: str, room: float, x: float, y: float) -> str:
        """Return a bold line of 12 pixels, up to 12 % smaller if it is too wide, and cut if it still does not fit."""
        size = TITLE * self.face.scale * (0.95 if self.face.fixed else 1)
        natural = measure.width(text, size, bold=True, mono=self.face.fixed)
        if natural > room:
            size = round(max(size * 0.88, size * room / natural), 2)
            text = measure.fit(text, room + 0.5, size, bold=True, mono=self.face.fixed)
        return f'<text {self.fill("ink")} x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="600">{escape(text)}</text>'

    def small(self, text: str, x: float, y: float, room: float, token: str = "ink-3", field: str = "") -> str:
        """Return a line of 11 pixels, cut if it does not fit: its tooltip has the whole text then.

        A script finds the text by ``field``, if given.
        """
        shown = measure.fit(text, room, self.size, mono=self.face.fixed)
        whole = f"<title>{escape(text)}</title>" if shown != text else ""
        name = f' data-field="{field}"' if field else ""
        return f'<text {self.fill(token)} x="{x:g}" y="{y:g}"{name}>{escape(shown)}{whole}</text>'

    def right(self, text: str, x: float, y: float) -> str:
        """Return a grey line that ends at ``x``."""
        return f'<text {self.fill("ink-3")} x="{x:g}" y="{y:g}" text-anchor="end">{escape(text)}</text>' if text else ""

    def numbers(self, text: str, token: str, x: float, y: float, field: str, room: int) -> str:
        """Return numbers in the fixed-width font.

        A script finds the text by ``field`` and may write up to ``room`` characters.
        """
        return (
            f'<text {self.fill(token, "mono ")} x="{x:g}" y="{y:g}" font-family="{self.face.mono}" '
            f'data-field="{field}" data-room="{room}">{escape(text)}</text>'
        )


@lru_cache(maxsize=16)
def pen(theme: Theme, face: Face) -> Pen:
    """Return the pen for a theme and a face. Pens are cached, because they cache attributes."""
    return Pen(theme, face)
