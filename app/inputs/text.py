"""Check the size of a stranger's text, and shorten it for a message."""

from __future__ import annotations

from typing import Final

from .. import model
from ..errors import TooLarge

SOURCE_BYTES: Final = model.Limits().source_bytes
"""Default of the largest size of a program, an expression, or the code of a notebook."""


def short(text: str, most: int = 60) -> str:
    """Return a text. If it has more than ``most`` characters, the rest is replaced by an ellipsis.

    >>> short("learning_rate"), short("learning_rate", 8)
    ('learning_rate', 'learning…')
    """
    return text if len(text) <= most else f"{text[:most]}…"


def check_size(text: str, most_bytes: int, what: str, where: str) -> None:
    """Raise :class:`TooLarge` if a text has more than ``most_bytes`` in UTF-8. ``what`` names it at the start of a sentence."""
    size = len(text) if text.isascii() else len(text.encode())
    if size > most_bytes:
        raise TooLarge(
            f"{what} is {size:,} bytes long; the limit is {most_bytes:,}. Remove code that the gradients don't need.",
            where=where,
        )
