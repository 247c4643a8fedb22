"""Walk from a number through the addresses of its explanation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from urllib.parse import parse_qs

from tapedeck.recording import Recording
from tapedeck.why import Why, why

MOST = 400
"""Largest number of explanations that are read for one leaf."""


def ask(recording: Recording, href: str) -> Why:
    """Return the explanation at an address."""
    query = parse_qs(href.partition("?")[2])
    step, pass_ = (int(query[name][0]) if name in query else None for name in ("step", "pass"))
    return why(recording, query["of"][0], step, pass_)


def walk(recording: Recording, start: str) -> Iterator[Why]:
    """Yield explanations, from one address to those that it names, nearest first."""
    seen, waiting = {start}, deque([start])
    while waiting and len(seen) < MOST:
        answer = ask(recording, waiting.popleft())
        yield answer
        links = [term.source for term in answer.terms[:6] if term.source is not None] + answer.reads[:6]
        links += [link for term in answer.terms[:6] for link in term.reads]
        for link in links:
            if link.href not in seen:
                seen.add(link.href)
                waiting.append(link.href)


def real(value: object) -> float:
    """Return a number of an answer."""
    return float(value) if isinstance(value, int | float | str) else math.nan


def sums_exactly(answer: Why) -> bool:
    """Return whether the terms and the rounding add up to the number, up to the last bit of the sum in float64."""
    if answer.kind != "sum" or not math.isfinite(real(answer.value)) or answer.rounding is None:
        return True
    parts = [*(real(term.value) for term in answer.terms), real(answer.rest or 0.0), real(answer.rounding)]
    size = math.fsum(abs(part) for part in parts)
    return abs(math.fsum(parts) - real(answer.value)) <= 2**-50 * size


def rounding(answer: Why) -> float:
    """Return the rounding of an answer as a part of the sizes of its terms."""
    if answer.kind != "sum" or not isinstance(answer.rounding, float) or not math.isfinite(real(answer.value)):
        return 0.0
    size = math.fsum(abs(real(term.value)) for term in answer.terms) + abs(real(answer.value))
    return abs(answer.rounding) / size if size > 1e-6 and math.isfinite(size) else 0.0
