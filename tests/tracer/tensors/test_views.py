"""A view is out of date once its memory was written to. Other views are not."""

from __future__ import annotations

import pytest
import torch
from tapedeck.tracer.tensors import views
from tapedeck.tracer.tensors.views import is_outdated, remember


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "known", {})
    monkeypatch.setattr(views, "_sweep_at", 500)


def test_a_view_is_out_of_date_after_a_write_to_its_memory() -> None:
    base = torch.ones(3, requires_grad=True) * 2
    view = base[0]
    remember(view)
    assert not is_outdated(view)
    base.mul_(3)
    assert is_outdated(view)


def test_a_view_with_the_id_of_a_dead_view_is_not_mistaken_for_it() -> None:
    base = torch.ones(3, requires_grad=True) * 2
    dead, other = base[0], base[1]
    remember(dead)
    views.known[id(other)] = views.known[id(dead)]  # as if `other` had got the id of `dead`
    base.mul_(3)
    del dead
    assert not is_outdated(other)


def test_freed_views_are_removed_and_living_ones_are_not() -> None:
    base = torch.ones(3, requires_grad=True) * 2
    view = base[0]
    remember(view)
    for _ in range(10_000):
        remember(base[1])
    assert len(views.known) <= 1_000
    base.mul_(3)
    assert is_outdated(view)


def test_the_number_of_living_views_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST", 1_000)
    base = torch.ones(3, requires_grad=True) * 2
    living = [base[0] for _ in range(10_000)]
    for view in living:
        remember(view)
    assert len(views.known) <= 3_000
