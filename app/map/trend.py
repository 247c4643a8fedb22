"""Say how the gradient changes along modules of the same name, such as ``h.11`` to ``h.0``."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from .. import model
from .columns import Floats
from .read import per_turn

FAR: Final = 1_000.0
"""If one gradient is this many times another, the smaller one counts as vanishing, or the larger one as exploding."""
LEAST_MODULES: Final = 3
"""Smallest number of modules of one name for which a trend is computed."""


class Named(NamedTuple):
    """A module's name within the module around it, the index of that module, and its number of operations."""

    name: str
    parent: int
    nodes: int


def longest_sequence(modules: Sequence[Named]) -> list[int]:
    """Return the indices of the modules with one parent whose names differ only in the number at the end.

    Of several such sequences, return the one with most operations. Return ``[]`` if there is none.

    >>> longest_sequence([Named("head", 0, 9), Named("h.2", 0, 5), Named("h.1", 0, 5), Named("h.0", 0, 5), Named("0", 3, 1)])
    [1, 2, 3]
    """
    rows: dict[tuple[int, str], list[int]] = {}
    for index, each in enumerate(modules):
        if (base := _without_number(each.name)) is not None:
            rows.setdefault((each.parent, base), []).append(index)
    long = [row for row in rows.values() if len(row) >= LEAST_MODULES]
    return max(long, key=lambda row: sum(modules[index].nodes for index in row), default=[])


def _without_number(name: str) -> str | None:
    """Return a name without the number at its end, or ``None`` if it has none.

    >>> _without_number("h.12"), _without_number("blocks[3]"), _without_number("head")
    ('h.', 'blocks[', None)
    """
    text = name.removesuffix("]")
    base = text.rstrip(string.digits)
    return base if base != text else None


def trend(names: list[str], norms: Floats, unit: str, rows: list[int]) -> model.GradientTrend:
    """Return how the gradient changes along some modules, from the loss downwards."""
    factor = per_turn(norms[::-1])
    found, sentence = _described_sequence(names, norms)
    return model.GradientTrend(_headline(factor, unit), sentence, factor, unit, found, rows)


def _described_sequence(names: list[str], norms: Floats) -> tuple[model.Band, str]:
    """Return the band of a sequence from the loss downwards, and the sentence about it."""
    if len(bad := np.flatnonzero(~np.isfinite(norms))):
        return "exploding", f"Exploding. The gradient of {names[int(bad[0])]} is not finite."
    if len(zero := np.flatnonzero(norms == 0)):
        which = names[int(zero[0])]
        rest = "" if len(zero) == 1 else f", and that of {len(zero) - 1} more"
        return "vanishing", f"Vanishing. The gradient of {which} is 0{rest}."
    first, last = float(norms[0]), float(norms[-1])
    way = f"From {names[0]} to {names[-1]}, the gradient"
    found = band(last / first)
    if found == "even":
        change = last / first if last > first else first / last
        return found, f"Even. {way} changes by a factor of {change:.3g} over {len(names)} modules."
    verb = "shrinks" if found == "vanishing" else "grows"
    return found, f"{found.capitalize()}. {way} {verb} from {first:.3g} to {last:.3g}."


def _headline(factor: float | None, unit: str) -> str:
    """Return the change of the gradient from one module to the next, as it flows.

    >>> _headline(0.102, "block"), _headline(1.25, "layer"), _headline(None, "layer")
    ('÷ 9.8 per block', '× 1.25 per layer', 'no gradient')
    """
    if factor is None or not factor > 0:
        return "no gradient"
    return f"÷ {1 / factor:.3g} per {unit}" if factor < 1 else f"× {factor:.3g} per {unit}"


def band(relative: float) -> model.Band:
    """Return the band of a gradient that is given as a multiple of another one.

    >>> band(1e-4), band(9.0), band(float("nan"))
    ('vanishing', 'even', 'exploding')
    """
    if not math.isfinite(relative) or relative >= FAR:
        return "exploding"
    return "vanishing" if relative <= 1 / FAR else "even"
