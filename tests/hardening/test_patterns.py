"""Test that no regular expression of the server backtracks on a stranger's text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tapedeck.errors import OverBudget
from tapedeck.workers import Budget, Workers

from .patterns import Pattern, feed, patterns

pytestmark = pytest.mark.anyio

BUDGET = Budget(cpu_seconds=1.0, wall_seconds=120.0)
"""A linear expression needs a tenth of a second for all of its texts. A quadratic expression needs seconds for each text."""


async def test_every_regular_expression_is_linear_on_hostile_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = patterns()
    assert len(found) > 40
    workers = Workers(1)
    assert not [name for name, pattern in found.items() if await _is_slow(workers, pattern)]
    await workers.close()


async def test_the_texts_exhaust_an_expression_that_backtracks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    workers = Workers(1)
    assert await _is_slow(workers, Pattern(r"([\w.,\s]+?)\s*=\s*([%!].*)", 0, ("fullmatch",)))
    await workers.close()


async def _is_slow(workers: Workers, pattern: Pattern) -> bool:
    try:
        await workers.run(feed, pattern, budget=BUDGET)
    except OverBudget:
        return True
    return False
