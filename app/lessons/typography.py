"""Write numbers in prose with a true minus."""

from __future__ import annotations

import re
from typing import Final

SIGNED: Final = re.compile(r"(?<![\w)\]])-?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")
"""A number, with a minus only where it is a sign."""


def typographic(text: str) -> str:
    """Return a text with a true minus before each negative number.

    >>> typographic("-9.3333, 1e-04"), typographic("m-1")
    ('−9.3333, 1e−04', 'm-1')
    """
    return SIGNED.sub(lambda found: found[0].replace("-", "−"), text)
