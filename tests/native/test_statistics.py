"""The code in C computes the statistics that PyTorch computes, and adds in the order that it documents."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
import torch
from tapedeck import native
from torch import Tensor

from .compiled import library, needs_compiler

pytestmark = needs_compiler

COUNTS = [1, 3, 63, 64, 65, 127, 2047, 2048, 2049, 9000]
DTYPES = [getattr(torch, name) for name in native.DTYPES]
LANES, PART = 64, 2048


def summaries(*tensors: Tensor) -> list[native.Summary]:
    dtype = native.DTYPES.index(str(tensors[0].dtype).removeprefix("torch."))
    return library().summarize([tensor.data_ptr() for tensor in tensors], [tensor.numel() for tensor in tensors], dtype)


def in_the_documented_order(elements: list[float]) -> float:
    total = 0.0
    for start in range(0, len(elements), PART):
        lanes = [0.0] * LANES
        for index, element in enumerate(elements[start : start + PART]):
            lanes[index % LANES] += element
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [lanes[lane] + lanes[lane + half] for lane in range(half)]
        total += lanes[0]
    return total


def bits(summary: native.Summary) -> bytes:
    return struct.pack("4d3q", *summary)


@pytest.mark.parametrize("dtype", DTYPES, ids=native.DTYPES)
def test_statistics_are_right_and_their_sums_are_added_in_the_documented_order(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    for count in COUNTS:
        spread = torch.rand(count, generator=generator, dtype=torch.float64) ** 8
        tensor = (torch.randn(count, generator=generator, dtype=torch.float64) * spread).to(dtype)
        tensor[count // 2] = 0
        ((low, high, mean, norm, *counts),) = summaries(tensor)
        wide = tensor.double()
        elements = wide.tolist()
        assert (low, high, counts) == (wide.min().item(), wide.max().item(), [int((tensor == 0).sum()), 0, 0])
        assert mean == in_the_documented_order(elements) / count
        assert norm == math.sqrt(in_the_documented_order([element * element for element in elements]))
        assert norm == pytest.approx(wide.norm().item(), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=native.DTYPES)
def test_not_finite_elements_are_counted(dtype: torch.dtype) -> None:
    for count in (1, 64, 5000):
        tensor = torch.ones(count, dtype=dtype)
        tensor[-1] = math.inf
        assert summaries(tensor) == [(1.0 if count > 1 else math.inf, math.inf, math.inf, math.inf, 0, 0, 1)]
        tensor[0] = -math.inf
        low, high, mean, _, *counts = summaries(tensor)[0]
        assert (low, counts) == (-math.inf, [0, 0, min(count, 2)])
        assert high == (-math.inf if count == 1 else math.inf)
        assert math.isnan(mean) == (count > 1)
        tensor[count // 2] = math.nan
        low, high, mean, norm, *counts = summaries(tensor)[0]
        assert all(map(math.isnan, (low, high, mean, norm)))
        assert counts == [0, 1, 0 if count == 1 else 2]


def test_every_number_of_16_bits_is_read_as_pytorch_reads_it() -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        numbers = every.view(dtype)
        numbers = numbers[numbers.isfinite()]
        first, code = numbers.data_ptr(), native.DTYPES.index(str(dtype).removeprefix("torch."))
        addresses = [first + 2 * index for index in range(len(numbers))]
        read = library().summarize(addresses, [1] * len(numbers), code)
        assert [low for low, *_ in read] == [high for _, high, *_ in read] == numbers.double().tolist()


def test_the_extremes_of_a_dtype_keep_their_squares() -> None:
    for scale in (3e38, 1e-45, 1e-30):
        tensor = torch.full((3000,), scale)
        assert summaries(tensor)[0][3] == pytest.approx(tensor.double().norm().item(), rel=1e-12)
    low, high, _, norm, *counts = summaries(torch.full((3000,), -1e300, dtype=torch.float64))[0]
    assert (low, high, norm, counts) == (-1e300, -1e300, math.inf, [0, 0, 0])


def test_zeros_have_no_sign_and_nan_is_always_the_same() -> None:
    assert bits(summaries(-torch.zeros(70))[0]) == bits((0.0, 0.0, 0.0, 0.0, 70, 0, 0))
    (undefined,) = summaries(torch.tensor([math.inf, -math.inf]))
    assert bits(undefined) == bits((-math.inf, math.inf, math.nan, math.inf, 0, 0, 2))


def test_arrays_of_any_number_and_alignment_are_summarized_in_one_call() -> None:
    base = torch.randn(9000, generator=torch.Generator().manual_seed(1))
    tensors = [base[start : start + size] for start in range(5) for size in COUNTS if size < 9000]
    assert summaries(*tensors) == [summaries(tensor.clone())[0] for tensor in tensors]
    assert library().summarize([], [], 0) == []


def test_a_missing_file_and_one_that_is_no_library_are_not_loaded(tmp_path: Path) -> None:
    other = tmp_path / "other.so"
    assert native.load(other) is None
    other.write_text("no library")
    assert native.load(other) is None
