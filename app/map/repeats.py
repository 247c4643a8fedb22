"""Find stretches of a sequence that repeat one after another."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .columns import Longs

LEAST_TURNS: Final = 3
"""Smallest number of turns of a repetition. Two equal stretches are often a coincidence, as in attention."""
_PERIODS: Final = 24
"""Largest number of periods that are tried: those at which the most keys recur."""
_OCCURRENCES: Final = 12
"""Largest number of times that the rarest key of a turn may occur in that turn."""


class Repeat(NamedTuple):
    """``turns`` turns of ``period`` keys each, from index ``start`` on."""

    start: int
    period: int
    turns: int

    @property
    def end(self) -> int:
        return self.start + self.period * self.turns


def find_repeats(keys: Longs) -> list[Repeat]:
    """Return the repetitions in a sequence of keys, in order and without overlap, in nearly linear time.

    If repetitions overlap, the longest one is taken. If they are equally long, the one with the shortest period is taken.

    >>> find_repeats(np.array([7, 1, 2, 1, 2, 1, 2, 5, 5, 5, 5]))
    [Repeat(start=1, period=2, turns=3), Repeat(start=7, period=1, turns=4)]
    """
    found = [repeat for period in _periods(keys) for repeat in _with_period(keys, period)]
    found.sort(key=lambda repeat: (-repeat.period * repeat.turns, repeat.period, repeat.start))
    taken = np.zeros(len(keys), bool)
    chosen = []
    for repeat in found:
        free = taken[repeat.start : repeat.end]
        if free.any():
            repeat = _largest_free(repeat, free)
        if repeat.turns >= LEAST_TURNS:
            taken[repeat.start : repeat.end] = True
            chosen.append(repeat)
    return sorted(chosen)


def _periods(keys: Longs) -> list[int]:
    """Return the distances at which the most keys recur, the shortest first."""
    by_key = np.argsort(keys, kind="stable")
    most = len(keys) // LEAST_TURNS
    counts = np.zeros(most + 1, np.int64)
    for occurrence in range(1, min(_OCCURRENCES, len(keys) - 1) + 1):
        same = keys[by_key[occurrence:]] == keys[by_key[:-occurrence]]
        distances = (by_key[occurrence:] - by_key[:-occurrence])[same]
        counts += np.bincount(distances[distances <= most], minlength=most + 1)
    often = np.argsort(-counts, kind="stable")[:_PERIODS]
    return sorted(often[counts[often] > 0].tolist())


def _with_period(keys: Longs, period: int) -> list[Repeat]:
    equal = np.concatenate(([False], keys[period:] == keys[:-period], [False]))
    borders = np.flatnonzero(np.diff(equal.astype(np.int8)))
    starts, lengths = borders[::2], borders[1::2] - borders[::2]
    turns = lengths // period + 1
    often = turns >= LEAST_TURNS
    return [Repeat(int(start), period, int(count)) for start, count in zip(starts[often], turns[often], strict=True)]


def _largest_free(repeat: Repeat, taken: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Repeat:
    """Return the part of a repetition in the longest stretch that is not taken yet."""
    borders = np.flatnonzero(np.diff(np.concatenate(([1], taken.astype(np.int8), [1]))))
    starts, ends = borders[::2], borders[1::2]
    if not len(starts):
        return Repeat(repeat.start, repeat.period, 0)
    longest = int(np.argmax(ends - starts))
    return Repeat(repeat.start + int(starts[longest]), repeat.period, int(ends[longest] - starts[longest]) // repeat.period)
