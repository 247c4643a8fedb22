"""Compare the text of a number in a lesson with the value that it is bound to, and write a value in the same style."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import numpy as np

from .language import BindingError

DECIMALS: Final = 4
"""Decimals of a number that had no text before."""
FLOAT32: Final = 2**-23
"""Relative precision of the numbers that a program computes."""
_PARTS: Final = re.compile(r"-?(\d*)(?:\.(\d*))?(?:[eE]([-+]?\d+))?")
_WORDS: Final[dict[str, Any]] = {"True": True, "yes": True, "False": False, "no": False, "None": None}


def agrees(shown: str, value: Any) -> bool:
    """Return whether a text agrees with a value. Numbers may differ by half a unit of the text's last digit.

    >>> agrees("-9.3333", np.float64(-9.333334)), agrees("1, 2", np.array([1.0, 2.01])), agrees("no", False)
    (True, True, True)
    """
    if shown in _WORDS:
        return (
            bool(value is not None and _WORDS[shown] is not None and bool(np.all(value)) == _WORDS[shown])
            or value is _WORDS[shown]
        )
    if value is None or isinstance(value, str | bool):
        return shown == str(value)
    numbers = numbers_of(shown)
    values = np.asarray(value, np.float64).ravel()
    return len(numbers) == len(values) and all(
        abs(number - found) <= unit / 2 * 1.0001 + abs(found) * FLOAT32
        for (number, unit), found in zip(numbers, values, strict=True)
    )


def numbers_of(shown: str) -> list[tuple[float, float]]:
    """Return the numbers of a text, each with the unit of its last digit. Raises :class:`BindingError` for another text.

    >>> numbers_of("-9.33, 1e-04")
    [(-9.33, 0.01), (0.0001, 0.0001)]
    """
    found = []
    for part in shown.replace("−", "-").split(","):
        parts = _PARTS.fullmatch(part.strip())
        if parts is None or not (parts[1] or parts[2]):
            raise BindingError(f"`{shown}` is neither a number nor a list of numbers.")
        exponent = int(parts[3] or 0)
        found.append((float(part), 10.0 ** (exponent - len(parts[2] or ""))))
    return found


def rewritten(shown: str, value: Any) -> str:
    """Return a value as text in the style of an earlier text, which may be empty.

    >>> rewritten("1.00", np.float64(-9.33333)), rewritten("", np.array([1.0, 0.5])), rewritten("1e-3", np.float64(0.0021))
    ('-9.33', '1, 0.5000', '2e-03')
    """
    if value is None or isinstance(value, str | bool | np.bool_):
        return ("yes" if value else "no") if shown in ("yes", "no") else str(value)
    old = [part.strip() for part in shown.split(",")]
    values = np.asarray(value, np.float64).ravel().tolist()
    return ", ".join(_like(old[min(index, len(old) - 1)], each) for index, each in enumerate(values))


def _like(old: str, value: float) -> str:
    parts = _PARTS.fullmatch(old.replace("−", "-")) if old else None
    if parts is None:
        if value == round(value) or not math.isfinite(value):
            return f"{value:g}"
        return f"{value:.{DECIMALS}f}" if abs(value) >= 0.001 else f"{value:.3e}"
    decimals = len(parts[2] or "")
    return f"{value:.{decimals}e}" if parts[3] else f"{value:.{decimals}f}"
