"""Tests of the search for repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck.map.columns import StructureColumns
from tapedeck.map.repeats import LEAST_TURNS, Repeat, find_repeats
from tapedeck.map.tree import GroupTree

from ..tracer.run_twice import record
from .recorded_trees import START


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


def test_calls_of_one_module_in_a_row_are_a_repetition_even_if_there_are_two() -> None:
    program = "m = nn.Sequential(nn.Linear(3, 3), nn.Tanh())\nn = nn.Linear(3, 3)\n(m(m(n(x))) + n(x)).sum().backward()\n"
    event = record(START + program)[1].log.graph(0)
    tree = GroupTree(StructureColumns(event))
    named = {group.name: group for group in tree.children(tree.root)}
    pair = named["m"]
    assert (pair.kind, pair.id, [turn.name for turn in tree.children(pair)]) == ("repeat", "f:m", ["m, call 1", "m, call 2"])
    assert [turn.id for turn in tree.children(pair)] == ["m:m", "m:m~2"]
    assert {"n, call 1", "n, call 2"} <= named.keys(), "calls with other work between them are numbered"
    for turn in tree.children(pair):
        assert tree.find(turn.id) is turn
    assert [tree.children(turn)[0].name for turn in tree.children(pair)] == ["0", "0"]
