"""Every operator of torch that has a derivative is recorded as it is, and none notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from .conftest import Tally
from .exclusions import REFUSED, UNREPEATABLE
from .operator_samples import LEAST, OPERATORS, sampled
from .run_three_ways import judge

STRIDE, FIRST = 13, 2
"""Every so many operators, from that one on, one is tried with the other tests; all of them are by ``make test-ops``."""


@pytest.fixture(autouse=True)
def _on_one_thread() -> Iterator[None]:
    """As a confined program runs; on several, tensors as small as these take longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.ops] if at % STRIDE != FIRST else []) for at, name in enumerate(OPERATORS)]
)
def test_an_operator_is_recorded_as_torch_runs_it(name: str, tally: Tally) -> None:
    tried: Counter[str] = Counter()
    refused: set[str] = set()
    for call in sampled(OPERATORS[name]):
        found = judge(call, loosely=name in UNREPEATABLE)
        assert not found.wrong, (call.name, call.sample, found.wrong)
        assert not found.refused or call.name in REFUSED, (call.name, found.refused)
        assert found.refused or found.nodes
        tried[call.name] += 1
        tally.calls += 1
        tally.nodes += found.nodes
        tally.gradients += found.gradients
        if found.refused:
            refused.add(call.name)
        if not found.repeatable:
            tally.unrepeatable.add(name)
    tally.operators += 1
    tally.refused |= refused
    assert refused == tried.keys() & REFUSED.keys(), "torch does now what the table says it refuses"
    assert tried
    assert min(tried.values()) >= LEAST, tried


def test_the_database_is_the_whole_one_and_the_exclusions_name_what_is_in_it() -> None:
    assert len(OPERATORS) > 500
    assert {name.split(" ")[0] for name in (*REFUSED, *UNREPEATABLE)} <= OPERATORS.keys()
