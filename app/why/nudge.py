"""Predict how the loss changes if one element of a parameter grows a little, and describe the replay that tests it."""

from __future__ import annotations

import math
from typing import Any, Final

from .answer import WhyNudge
from .parameter import ParameterInStep

PART: Final = 0.01
"""The change, as a share of the element's order of magnitude or of 1, whichever is smaller."""


def nudge_of(here: ParameterInStep, gradient: float | str | None, pass_: int | None) -> WhyNudge | None:
    """Return the change of an element that a replay can try; ``None`` without a value or a gradient."""
    value = here.number("value")
    if value is None or not isinstance(gradient, int | float) or not math.isfinite(value) or pass_ is None:
        return None
    size = 10.0 ** math.floor(math.log10(max(abs(value), 1e-3)) + 1e-12)
    by = PART * min(size, 1.0)
    element = here.address("value").element
    index = f"[{','.join(map(str, element))}]" if element else ""
    replay: dict[str, Any] = {
        "what": "surface", "step": here.step, "pass": pass_, "parameters": [f"{here.parameter.id}{index}"], "points": 2,
        "ranges": [[value, value + by]],
    }  # fmt: skip
    return WhyNudge(by, gradient * by, replay)
