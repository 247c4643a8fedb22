"""Build the answer for a number that is a sum: its terms by size, and the error of rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from .answer import Why, WhyTerm
from .names import number_of

MOST_TERMS: Final = 100
"""Largest number of terms in an answer. Smaller terms are summed in ``rest``."""


class SumOfTerms:
    """The terms of one number."""

    def __init__(self, value: float) -> None:
        self._value = value
        self._terms: list[tuple[Callable[[], WhyTerm], float]] = []

    def add(self, term: WhyTerm | Callable[[], WhyTerm], value: float) -> None:
        """Add a term, or a function that returns it. ``value`` is its value in float64."""
        self._terms.append((term if callable(term) else lambda: term, value))

    @property
    def error(self) -> float:
        """The difference between the number and the sum of the terms."""
        return self._value - math.fsum(value for _, value in self._terms)

    @property
    def size(self) -> float:
        """The sum of the sizes of the terms."""
        return math.fsum(abs(value) for _, value in self._terms)

    def answer(self, **fields: Any) -> Why:
        """Return the answer, with the terms that have the largest share first."""
        size = self.size
        known = math.isfinite(size) and size > 0
        ordered = sorted(self._terms, key=lambda each: -abs(each[1]) if not math.isnan(each[1]) else -math.inf)
        terms = [
            structs.replace(term(), share=abs(value) / size if known else 0.0, value=number_of(value))
            for term, value in ordered[:MOST_TERMS]
        ]
        rest = math.fsum(value for _, value in ordered[MOST_TERMS:])
        shown = math.fsum(value for _, value in ordered[:MOST_TERMS])
        omitted = len(ordered) - len(terms)
        rounding = self._value - (shown + rest) if math.isfinite(self._value) and math.isfinite(shown + rest) else None
        return Why(
            kind="sum",
            terms=terms,
            omitted=omitted,
            rest=number_of(rest) if omitted else None,
            rounding=None if rounding is None else number_of(rounding),
            **fields,
        )
