"""Tests of the search for repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck.map.repeats import LEAST_TURNS, Repeat, find_repeats


@given(st.lists(st.integers(0, 3), max_size=60))
def test_found_repetitions_are_exact_and_do_not_overlap(keys: list[int]) -> None:
    end = 0
    for repeat in find_repeats(np.array(keys, np.int64)):
        assert repeat.start >= end
        end = repeat.end
        assert end <= len(keys)
        assert repeat.turns >= LEAST_TURNS
        stretch = keys[repeat.start : repeat.end]
        assert stretch[: repeat.period] * repeat.turns == stretch


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(3, 9))
def test_a_sequence_of_equal_turns_is_covered_completely(turn: list[int], turns: int) -> None:
    found = find_repeats(np.array(turn * turns, np.int64))
    assert sum(repeat.end - repeat.start for repeat in found) == len(turn) * turns


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], []),
        ([1, 1], []),
        ([1, 1, 1], [Repeat(0, 1, 3)]),
        ([1, 2, 1, 2, 1, 2], [Repeat(0, 2, 3)]),
        ([9, 1, 2, 1, 2, 1, 2, 1], [Repeat(1, 2, 3)]),
        ([1, 1, 2] * 3, [Repeat(0, 3, 3)]),
    ],
)
def test_the_longest_repetition_is_found(keys: list[int], expected: list[Repeat]) -> None:
    assert find_repeats(np.array(keys, np.int64)) == expected
