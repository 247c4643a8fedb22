"""Estimate the width of text without a font, precisely enough to cut text that does not fit into its box.

Widths are those of Helvetica, in thousandths of the font size, rounded up to a few classes.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

MONO: Final = 0.602
"""Width of a character of a fixed-width font, as a share of the font size."""
BOLD: Final = 1.07
"""Width of bold text, as a multiple of regular text."""

_WIDTHS: Final = {
    **dict.fromkeys("ijl|'", 230),
    **dict.fromkeys(" .,:;/\\!ftI[]", 285),
    **dict.fromkeys('()-r`"{}', 340),
    **dict.fromkeys("*^", 430),
    **dict.fromkeys("ckszvxyJ", 510),
    **dict.fromkeys("FTZLE", 625),
    **dict.fromkeys("+=<>~−×", 590),
    **dict.fromkeys("ABCDHKNPRSUVXYw&G", 722),
    **dict.fromkeys("OQ", 785),
    **dict.fromkeys("mMW", 890),
    **dict.fromkeys("@%…", 1000),
}


@lru_cache(maxsize=4096)
def width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Return the width of a text in pixels.

    >>> width("m", 10) > width("i", 10), width("ab", 10, mono=True)
    (True, 12.04)
    """
    if mono and text.isascii():
        return len(text) * MONO * size
    if mono:
        return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text) * MONO * size
    return sum(_WIDTHS.get(character) or _other(character) for character in text) * size / 1000 * (BOLD if bold else 1)


def _other(character: str) -> int:
    if character < "\x7f":
        return 556
    return 1000 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 620


@lru_cache(maxsize=4096)
def fit(text: str, room: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """Return the text, shortened with an ellipsis if it is wider than ``room`` pixels.

    >>> fit("abcdefgh", 24, 10, mono=True)
    'ab…'
    """
    if width(text, size, bold=bold, mono=mono) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle].rstrip() + "…", size, bold=bold, mono=mono) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"
