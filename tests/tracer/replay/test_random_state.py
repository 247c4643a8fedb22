"""The random generators have the same state after a computation beside the program, however it draws numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tapedeck.tracer.replay.random_state import restored_random_state


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Put the generators back after each test."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    generator = np.random.get_bit_generator()
    yield
    np.random.set_bit_generator(generator)
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def state() -> str:
    numpy = np.random.get_state(legacy=False)
    return repr((random.getstate(), numpy, np.random.get_state(legacy=False)["state"], torch.get_rng_state().tolist()))


@pytest.mark.parametrize("before", [lambda: None, np.random.randn, np.random.rand], ids=["seeded", "normal kept", "moved"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda: None,
        np.random.randn,  # a normal number may be kept for the next call, or the kept one taken
        lambda: [np.random.randn(), np.random.randn()],
        lambda: np.random.seed(5),
        lambda: np.random.rand(1000),
        lambda: [random.gauss(0, 1), torch.rand(3)],
    ],
)
def test_every_draw_is_undone(before: Callable[[], Any], draw: Callable[[], Any]) -> None:
    np.random.seed(0)
    before()
    for _ in range(3):
        with np.printoptions(threshold=10**4):
            expected = state()
            with restored_random_state():
                draw()
            assert state() == expected
        np.random.randn()


def test_draws_of_nested_computations_are_undone() -> None:
    np.random.seed(0)
    expected = np.random.rand(3).tolist()
    np.random.seed(0)
    with restored_random_state():
        np.random.rand()
        with restored_random_state():
            np.random.rand(7)
    assert np.random.rand(3).tolist() == expected


def test_a_generator_of_another_kind_is_restored() -> None:
    np.random.set_bit_generator(np.random.PCG64(1))
    expected = np.random.get_state(legacy=False)
    with restored_random_state():
        np.random.rand(3)
    assert np.random.get_state(legacy=False) == expected


def test_the_state_of_numpy_is_set_only_if_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(0)
    calls = []
    set_state = np.random.set_state
    monkeypatch.setattr(np.random, "set_state", lambda given: (calls.append(1), set_state(given)))
    for draw, count in ((random.random, 0), (np.random.rand, 1)):
        with restored_random_state():
            draw()
        assert len(calls) == count
