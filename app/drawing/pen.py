"""Write the small pieces of an SVG: text and boxes, coloured by an attribute and a class at once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from . import measure
from .style import MONO, SANS, THEMES, Theme, level_colour

TEXT: Final = 11.0
TITLE: Final = 12.0


class Face(Struct, frozen=True):
    """The fonts to write in. ``fixed``: one fixed-width font for everything, where no other can be had.

    ``scale`` makes up for a font that runs wide.
    """

    sans: str = SANS
    mono: str = MONO
    fixed: bool = False
    scale: float = 1.0


BROWSER: Final = Face()
EMBEDDED: Final = Face("DejaVu Sans Mono", "DejaVu Sans Mono", fixed=True, scale=0.9)
"""The only fixed-width font that typst carries within itself."""

_SPECIAL: Final = re.compile("[&<>\"']")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def escape(text: str) -> str:
    """The text as it may stand anywhere in XML.

    >>> escape('<a b="c">')
    '&lt;a b=&quot;c&quot;&gt;'
    """
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


class Pen:
    """Writes in one theme and one face."""

    def __init__(self, theme: Theme, face: Face) -> None:
        self.theme: Literal["light", "dark"] = "dark" if theme == "dark" else "light"
        self.tokens = dict(THEMES[self.theme])
        self.face = face
        self.size = TEXT * face.scale
        self._fills: dict[tuple[str, str], str] = {}
        self._paints: dict[tuple[str, str, str], str] = {}

    def fill(self, token: str, names: str = "") -> str:
        """Attributes that fill with a token."""
        made = self._fills.get((token, names))
        if made is None:
            made = self._fills[token, names] = f'class="{names}f-{token}" fill="{self.tokens[token]}"'
        return made

    def paint(self, fill: str, stroke: str, names: str = "") -> str:
        """Attributes that fill with one token and outline with another."""
        made = self._paints.get((fill, stroke, names))
        if made is None:
            colours = f'fill="{self.tokens[fill]}" stroke="{self.tokens[stroke]}"'
            made = self._paints[fill, stroke, names] = f'class="{names}f-{fill} s-{stroke}" {colours}'
        return made

    def level(self, name: str) -> str:
        """The colour of a level of the scale."""
        return level_colour(name, self.theme)

    def wide(self, text: str, size: float = TEXT, *, bold: bool = False) -> float:
        """Width of a text as it will be written."""
        return measure.width(text, size * self.face.scale, bold=bold, mono=self.face.fixed)

    def title(self, text: str, room: float, x: float, y: float) -> str:
        """A bold line of 12 pixels, a little smaller where that lets it in, cut where it still has no room."""
        size = TITLE * self.face.scale * (0.95 if self.face.fixed else 1)
        natural = measure.width(text, size, bold=True, mono=self.face.fixed)
        if natural > room:
            size = round(max(size * 0.88, size * room / natural), 2)
            text = measure.fit(text, room + 0.5, size, bold=True, mono=self.face.fixed)
        return f'<text {self.fill("ink")} x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="600">{escape(text)}</text>'

    def small(self, text: str, x: float, y: float, room: float, token: str = "ink-3") -> str:
        """A line of 11 pixels, cut where it has no room."""
        shown = measure.fit(text, room, self.size, mono=self.face.fixed)
        return f'<text {self.fill(token)} x="{x:g}" y="{y:g}">{escape(shown)}</text>'

    def right(self, text: str, x: float, y: float) -> str:
        """A grey line that ends at ``x``."""
        return f'<text {self.fill("ink-3")} x="{x:g}" y="{y:g}" text-anchor="end">{escape(text)}</text>' if text else ""

    def numbers(self, text: str, token: str, x: float, y: float, field: str, room: int) -> str:
        """Numbers in the fixed-width font; ``field`` is what a script finds them by, ``room`` the characters it may write."""
        return (
            f'<text {self.fill(token, "mono ")} x="{x:g}" y="{y:g}" font-family="{self.face.mono}" '
            f'data-field="{field}" data-room="{room}">{escape(text)}</text>'
        )


@lru_cache(maxsize=16)
def pen(theme: Theme, face: Face) -> Pen:
    """The pen for a theme and a face: its attributes are made once."""
    return Pen(theme, face)
