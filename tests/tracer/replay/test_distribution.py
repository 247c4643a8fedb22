"""Tests of distributions: they count what PyTorch counts without Tapedeck, whatever the size and the dtype."""

from __future__ import annotations

import math

import pytest
import torch
from tapedeck.tracer.replay import distribution as module
from tapedeck.tracer.replay.distribution import distribution

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int32])
@pytest.mark.parametrize("part", [7, 1 << 20])
def test_the_histogram_and_the_largest_elements_are_torch_s(
    dtype: torch.dtype, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", part)
    tensor = (torch.randn(9, 11, generator=torch.Generator().manual_seed(1)) * 20).to(dtype).t()
    found = distribution(tensor)
    assert found is not None
    flat = tensor.reshape(-1).double()
    assert found.counts == torch.histc(flat, 24).int().tolist()
    assert (found.shape, found.low, found.high, found.bad) == ([11, 9], flat.min().item(), flat.max().item(), None)
    order = flat.abs().sort(descending=True, stable=True).indices[:5].tolist()
    assert found.largest == [(index, flat[index].item()) for index in order]


def test_elements_that_are_not_finite_are_left_out_and_the_first_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 2)
    found = distribution(torch.tensor([[1.0, -3.0], [-INF, NAN], [2.0, INF]]))
    assert found is not None
    assert (found.low, found.high, sum(found.counts), found.counts[0], found.counts[-1]) == (-3.0, 2.0, 3, 1, 1)
    assert found.largest == [(1, -3.0), (4, 2.0), (0, 1.0)]
    assert found.bad == (2, -INF)


def test_edge_cases() -> None:
    none_finite = distribution(torch.tensor([NAN, INF]))
    assert none_finite is not None
    assert (math.isnan(none_finite.low), none_finite.counts, none_finite.largest) == (True, [], [])
    constant = distribution(torch.full((100, 100), 0.5))
    assert constant is not None
    assert (constant.low, constant.high, constant.counts, constant.largest[:2]) == (0.5, 0.5, [10_000], [(0, 0.5), (1, 0.5)])
    widest = distribution(torch.tensor([-1.7e308, 0.0, 1.7e308], dtype=torch.float64))
    assert widest is not None
    assert (widest.counts[0], sum(widest.counts[11:13]), widest.counts[-1]) == (1, 1, 1)
    magnitudes = distribution(torch.tensor([3 + 4j, 0j]))
    assert magnitudes is not None
    assert (magnitudes.low, magnitudes.high, magnitudes.largest[0]) == (0.0, 5.0, (0, 5.0))
    sparse = distribution(torch.eye(3).to_sparse())
    assert sparse is not None
    assert (sparse.shape, sparse.counts[0], sparse.counts[-1]) == ([3, 3], 6, 3)
    assert distribution(None) is distribution(torch.empty(0)) is distribution(torch.empty(2, device="meta")) is None
