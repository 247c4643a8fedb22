"""Format names and numbers for the sentences of findings."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_NAMES = 3
"""Largest number of names that are listed. If there are more, the first names are listed and the rest are counted."""


def listed(names: Sequence[str]) -> str:
    """Return names as an enumeration, each as code.

    >>> listed(["w"]), listed(["w", "b"]), listed(["a", "b", "c", "d"])
    ('`w`', '`w` and `b`', '`a`, `b` and 2 more')
    """
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > MOST_NAMES:
        return f"{', '.join(quoted[: MOST_NAMES - 1])} and {len(quoted) - MOST_NAMES + 1} more"
    return " and ".join([part for part in (", ".join(quoted[:-1]), quoted[-1]) if part])


def short(value: float) -> str:
    """Return a number with four significant digits, and with a minus sign instead of a hyphen.

    >>> short(-9.33333), short(123456789.0), short(2.375e-07)
    ('−9.333', '1.235e8', '2.375e−7')
    """
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.4g}").replace("-", "−")


def first_line(text: str) -> str:
    """Return the first line of a text, cut off after 79 characters."""
    line = text.split("\n")[0]
    return line if len(line) <= 80 else f"{line[:79]}…"
