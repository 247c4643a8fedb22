"""Reduce the signals of a run to those that can lead to different findings."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

from ... import wire

S = TypeVar("S", bound=wire.Signal)

MOST: Final = 100
"""Largest number of signals of one kind that a rule examines. More of them would not help a person."""


def distinct(signals: Iterable[S], key: Callable[[S], Hashable]) -> list[S]:
    """Return the first signal with each key, in order, up to ``MOST`` signals."""
    found: dict[Hashable, S] = {}
    for signal in signals:
        found.setdefault(key(signal), signal)
        if len(found) >= MOST:
            break
    return list(found.values())
