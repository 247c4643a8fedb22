"""Test that no damaged program, expression, training or notebook makes the server fail."""

from __future__ import annotations

from collections import Counter

import pytest

from .conftest import Ask
from .hostile import RUNS
from .mutations import mutated


def send(ask: Ask, count: int, seed: int) -> Counter[int]:
    """Send damaged requests, and return how many had each status. A program that can be read is run."""
    statuses: Counter[int] = Counter()
    for media_type, body in mutated(count, seed):
        answer = ask("POST", RUNS, content=body, headers={"Content-Type": media_type, "Authorization": ""})
        assert answer.status_code < 500, (media_type, body, answer.text)
        if answer.status_code >= 300:
            problem = answer.json()
            assert len(problem["detail"]) > 20, (media_type, body)
            assert len(answer.content) < 4_000, (media_type, body)
        statuses[answer.status_code] += 1
    return statuses


def test_no_damaged_request_makes_the_server_fail(ask: Ask) -> None:
    statuses = send(ask, 300, seed=1)
    assert (
        min(statuses[201] + statuses[200], statuses[400], statuses[422]) > 10
    )  # some requests are damaged slightly and some heavily


@pytest.mark.ops
@pytest.mark.parametrize("seed", range(2, 12))
def test_no_damaged_request_of_many_makes_the_server_fail(ask: Ask, seed: int) -> None:
    send(ask, 2_000, seed)
