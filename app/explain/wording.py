"""Write names and numbers as a sentence has them."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 3
"""Names that are all told; of more, how many there are."""


def listed(names: Sequence[str]) -> str:
    """Names in a row.

    >>> listed(["w"]), listed(["w", "b"]), listed(["a", "b", "c", "d"])
    ('w', 'w and b', 'a, b and 2 more')
    """
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])


def short(value: float) -> str:
    """A number in four digits, with a minus sign.

    >>> short(-9.33333), short(123456789.0)
    ('−9.333', '1.235e+08')
    """
    return f"{value:.4g}".replace("-", "−")
