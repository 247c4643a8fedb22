"""Tests of PyTorch's operators: each one with a derivative is recorded correctly and runs as without the recorder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from .conftest import Tally
from .exclusions import REFUSED, UNREPEATABLE
from .operator_samples import LEAST, OPERATORS, sampled
from .run_three_ways import compare

STRIDE, FIRST = 13, 2
"""Every 13th operator from the third on is tested by default; ``make test-ops`` tests all."""


@pytest.fixture(autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Run on one thread, as sandboxed programs do; several are slower for tensors this small."""
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
        found = compare(call, loosely=name in UNREPEATABLE)
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
    assert refused == tried.keys() & REFUSED.keys(), "PyTorch now supports a call that REFUSED lists"
    assert tried
    assert min(tried.values()) >= LEAST, tried


def test_the_database_is_complete_and_has_every_excluded_operator() -> None:
    assert len(OPERATORS) > 500
    assert {name.split(" ")[0] for name in (*REFUSED, *UNREPEATABLE)} <= OPERATORS.keys()
