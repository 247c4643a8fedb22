"""Tests of packed tables: they contain each tensor's values and statistics as PyTorch computes them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tapedeck import model, wire
from tapedeck.recording import Tensors
from tapedeck.tracer.tensors import statistics
from tapedeck.tracer.tensors.packing import pack
from tapedeck.tracer.tensors.snapshot import Snapshot
from tapedeck.tracer.tensors.table import TableBuilder

from ...native.compiled import COMPILER, library, needs_compiler


@pytest.fixture(params=[False, pytest.param(True, marks=needs_compiler)], ids=["PyTorch", "C"])
def in_c(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Compute statistics without and with the code in C."""
    monkeypatch.setattr(statistics, "_library", library() if request.param else None)
    return bool(request.param)


def packed_summaries(*tensors: torch.Tensor | Snapshot, kept: int = 64) -> list[model.TensorSummary]:
    table = TableBuilder(kept, "full")
    rows = [table.add(tensor) for tensor in tensors]
    packed = pack([table])[0]
    reader = wire.Reader(model.Limits())
    list(reader.feed(wire.frames(wire.pack([wire.LinesEvent([wire.LineRow(1 + row, None, "", row) for row in rows], packed)]))))
    found = [Tensors(packed).summary(row) for row in rows]
    assert all(summary is not None for summary in found)
    return [summary for summary in found if summary is not None]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8]
)
def test_values_equal_those_of_tolist(dtype: torch.dtype) -> None:
    for tensor in (torch.tensor(3, dtype=dtype), torch.tensor([[1, 2, 0], [4, 5, 6]], dtype=dtype)):
        (summary,) = packed_summaries(tensor)
        assert summary.values == tensor.tolist()
        assert summary.dtype == str(dtype).removeprefix("torch.")
        assert summary.shape == list(tensor.shape)


def test_booleans_and_complex_numbers_have_the_documented_form() -> None:
    flags, numbers = packed_summaries(torch.tensor([True, False]), torch.tensor([1 + 2j, -3j]))
    assert flags.values == [True, False]
    assert flags.zeros == 1
    assert numbers.values == [[1.0, 2.0], [0.0, -3.0]]
    assert numbers.norm == pytest.approx(math.sqrt(14))
    assert numbers.max == pytest.approx(3.0)


def test_statistics_of_a_small_tensor_equal_those_of_torch_in_float64() -> None:
    tensor = torch.randn(3, 7, generator=torch.Generator().manual_seed(1))
    (summary,) = packed_summaries(tensor)
    wide = tensor.double()
    assert summary.norm == pytest.approx(wide.norm().item(), rel=1e-12)
    assert summary.mean == pytest.approx(wide.mean().item(), rel=1e-12)
    assert (summary.min, summary.max) == (wide.min().item(), wide.max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_statistics_of_a_large_tensor_equal_those_of_torch_in_its_dtype(dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 7, generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    wide = tensor if tensor.is_floating_point() else tensor.double()
    for summary in packed_summaries(tensor, tensor.T, Snapshot(tensor, 1), kept=4):
        assert summary.values is None
        assert summary.norm == pytest.approx(wide.norm().item(), rel=1e-6)
        assert summary.mean == pytest.approx(wide.mean().item(), rel=1e-6)
        assert (summary.min, summary.max, summary.zeros) == (wide.min().item(), wide.max().item(), int((tensor == 0).sum()))


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_norms_that_float32_cannot_square_are_computed_in_float64(scale: float) -> None:
    tensor = torch.arange(-8.0, 9.0) * scale
    (summary,) = packed_summaries(tensor, kept=4)
    assert summary.norm == pytest.approx(tensor.double().norm().item(), rel=1e-12)
    assert summary.norm != tensor.norm().item()


@pytest.mark.usefixtures("in_c")
def test_statistics_computed_for_many_tensors_at_once_equal_those_of_each() -> None:
    generator = torch.Generator().manual_seed(2)
    plain = [torch.randn(40, 60, generator=generator) for _ in range(4)]
    odd = [plain[0].relu(), torch.zeros(40, 60), plain[1].T.clone().T, plain[2] * 1e30, plain[2] * 1e-30]
    broken = [plain[0].clone(), plain[1].clone(), torch.full((40, 60), 3e35)]
    broken[0][3, 5], broken[1][0, 0] = float("nan"), float("-inf")
    tensors = [*plain, *odd, *broken]
    for summary, tensor in zip(packed_summaries(*tensors), tensors, strict=True):
        wide = tensor.double()
        assert [summary.min, summary.max] == pytest.approx([json_number(wide.min()), json_number(wide.max())], nan_ok=True)
        assert summary.zeros == int((tensor == 0).sum())
        assert (summary.nan, summary.inf) == (int(tensor.isnan().sum()), int(tensor.isinf().sum()))
        assert [summary.mean, summary.norm] == [
            value
            if isinstance(value, str)
            else pytest.approx(value, rel=1e-5, abs=1e-6 * float(tensor.nan_to_num(0, 0, 0).abs().max()))
            for value in (json_number(wide.mean()), json_number(wide.norm()))
        ]


LONG = {
    "normal": lambda count: torch.randn(count),
    "constant": lambda count: torch.full((count,), 1 / 3),
    "positive": lambda count: torch.rand(count),
    "of many magnitudes": lambda count: torch.randn(count) * torch.rand(count) ** 8 * 1e-3,
    "with one large element": lambda count: torch.cat([torch.tensor([1000.0]), torch.full((count - 1,), 0.7)]),
    "mostly zeros": lambda count: torch.randn(count).sub(2).relu(),
    "a slice": lambda count: torch.randn(count, 2)[:, 0],
    "transposed": lambda count: torch.randn(count // 2, 2).T,
    "expanded": lambda count: torch.randn(count // 8, 1).expand(-1, 8),
    "one element expanded": lambda count: torch.tensor(0.1).expand(count),
}


@pytest.mark.parametrize("count", [1_032, 8_192, 8_200, 100_000, 4_194_304])
@pytest.mark.parametrize("case", LONG)
def test_norm_and_mean_of_a_long_tensor_are_right_in_all_digits_that_are_shown(
    case: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    tensor = LONG[case](count)
    wide = tensor.double()
    norm, mean, size = wide.norm().item(), wide.mean().item(), wide.abs().mean().item()
    exact = wide.min().item(), wide.max().item(), int((tensor == 0).sum())
    for in_c in (False, True) if COMPILER else (False,):
        monkeypatch.setattr(statistics, "_library", library() if in_c else None)
        together = [tensor, tensor + 0] if count < 10_000 else []
        for summary in packed_summaries(tensor, kept=4) + packed_summaries(*together, kept=4):
            assert summary.norm == pytest.approx(norm, rel=1e-6)
            assert summary.mean == pytest.approx(mean, rel=1e-6, abs=1e-7 * size)
            assert (summary.min, summary.max, summary.zeros) == exact


@pytest.mark.parametrize("count", [100, 1_000, 1_024])
def test_norm_and_mean_of_a_shorter_tensor_equal_those_of_torch(count: int) -> None:
    tensor = torch.randn(count, generator=torch.Generator().manual_seed(3))
    (summary,) = packed_summaries(Snapshot(tensor, 1), kept=4)
    assert (summary.norm, summary.mean) == (torch.linalg.vector_norm(tensor).item(), tensor.sum().item() / count)


@pytest.mark.usefixtures("in_c")
def test_not_finite_elements_of_a_long_tensor_are_counted() -> None:
    tensor = torch.randn(70_001)
    tensor[5], tensor[7], tensor[70_000] = math.inf, -math.inf, math.nan
    for each in (tensor, tensor[:50_000], tensor[8:]):
        (summary,) = packed_summaries(each, kept=4)
        assert (summary.nan, summary.inf) == (int(each.isnan().sum()), int(each.isinf().sum()))
    (summary,) = packed_summaries(torch.full((70_000,), 3e38), kept=4)
    assert summary.norm == pytest.approx(3e38 * math.sqrt(70_000), rel=1e-6)


@needs_compiler
def test_only_memory_that_certainly_belongs_to_a_tensor_is_read_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Observed:
        def summarize(self, addresses: list[int], sizes: list[int], dtype: int) -> list[statistics.Statistics]:
            read.extend(addresses)
            return library().summarize(addresses, sizes, dtype)

    class Subclass(torch.Tensor):
        pass

    monkeypatch.setattr(statistics, "_library", Observed())
    count = 5000
    plain = torch.randn(count, generator=torch.Generator().manual_seed(4))
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        tensor = plain.to(dtype)
        assert statistics.of_many([tensor, tensor]) == [statistics.of_one(tensor)] * 2
        assert read == [tensor.data_ptr()] * 3
        read.clear()
    pairs = plain.view(-1, 2)
    assert statistics.of_one(pairs.T) == statistics.of_one(torch.nn.Parameter(pairs)) == statistics.of_one(plain)
    assert read == [plain.data_ptr()] * 3
    column = statistics.of_one(pairs[:, 0])  # of a copy
    assert column == statistics.of_one(pairs[:, 0].clone())
    assert pairs.data_ptr() not in read[3:]

    read.clear()
    numbers = torch.complex(plain, -plain)
    others = [
        numbers, torch._neg_view(plain), plain.long(), plain > 0, plain.as_subclass(Subclass), plain[:1024],
        torch._efficientzerotensor((count,)), plain.as_strided((100, 100), (1, 1)), torch.zeros(1).expand(count),
    ]  # fmt: skip
    for tensor in others:
        low, high, *_, zeros, nans, infinities = statistics.of_one(tensor)
        wide = tensor.abs() if tensor.is_complex() else tensor.double()
        assert (low, high) == (wide.min().item(), wide.max().item())
        assert (zeros, nans, infinities) == (int((tensor == 0).sum()), 0, 0)
    shortened = torch.zeros(count)
    shortened.untyped_storage().resize_(4 * count - 4)
    assert statistics._compiled([shortened], count) is None
    assert read == []


@needs_compiler
def test_tensors_of_all_sizes_are_summarized_by_one_call_for_each_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, list[int]]] = []

    class Observed:
        def summarize(self, addresses: list[int], sizes: list[int], dtype: int) -> list[statistics.Statistics]:
            read.append((dtype, list(sizes)))
            return library().summarize(addresses, sizes, dtype)

    monkeypatch.setattr(statistics, "_library", Observed())
    long = torch.randn(2, 1500, generator=torch.Generator().manual_seed(5))
    tensors = [long, long[:, 1:].clone(), long.T, long.flatten()[:2000], torch.randn(5000).double(), torch.arange(2000)]
    table = TableBuilder(4, "full")
    table.add_all(tensors)
    table.finalize()
    assert read == [(0, [3000, 2998, 2000]), (1, [5000])]  # the transpose has the elements of the first
    assert [row.numbers for row in table.rows] == [statistics.of_one(tensor) for tensor in tensors]


def json_number(number: torch.Tensor) -> float | str:
    """Return a number as the API writes it."""
    value = number.item()
    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]


def test_values_above_the_kept_size_are_left_out() -> None:
    small, large = packed_summaries(torch.ones(4), torch.ones(5), kept=4)
    assert small.values == [1.0] * 4
    assert large.values is None
    assert large.norm == pytest.approx(math.sqrt(5))


def test_non_finite_numbers_are_counted_and_spelled() -> None:
    (summary,) = packed_summaries(torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0]))
    assert summary.values == ["NaN", "Infinity", "-Infinity", 0.0]
    assert (summary.nan, summary.inf, summary.zeros) == (1, 2, 1)
    (scalar,) = packed_summaries(torch.tensor(float("nan")))
    assert (scalar.values, scalar.norm, scalar.nan) == ("NaN", "NaN", 1)


def test_an_empty_tensor_has_no_statistics() -> None:
    (summary,) = packed_summaries(torch.empty(0, 3))
    assert (summary.shape, summary.min, summary.norm, summary.zeros) == ([0, 3], None, None, 0)
    assert summary.values == []


def test_a_tensor_that_cannot_be_read_is_recorded_by_its_shape() -> None:
    (summary,) = packed_summaries(torch.empty(3, device="meta"))
    assert summary.shape == [3]
    assert (summary.values, summary.norm) == (None, None)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_a_sparse_tensor_is_recorded_with_its_zeros(layout: torch.layout) -> None:
    tensor = torch.tensor([[0.0, 2.0], [0.0, -3.0]])
    (summary,) = packed_summaries(tensor.to_sparse(layout=layout))
    assert (summary.values, summary.shape, summary.zeros, summary.min) == (tensor.tolist(), [2, 2], 2, -3.0)


@pytest.mark.filterwarnings("ignore")
def test_a_sparse_tensor_that_would_be_large_is_recorded_by_its_shape() -> None:
    (summary,) = packed_summaries(torch.sparse_coo_tensor([[5], [7]], [1.0], (100_000, 100_000)))
    assert (summary.shape, summary.values, summary.norm) == ([100_000, 100_000], None, None)


def test_views_conjugates_and_broadcasts_are_recorded_with_the_values_they_show() -> None:
    base = torch.arange(6.0).reshape(2, 3)
    tensors: list[torch.Tensor] = [base.T, base[:, 1], torch.ones(1).expand(3), torch.tensor([1 + 1j]).conj(), base.flip(0)]
    for summary, tensor in zip(packed_summaries(*tensors), tensors, strict=True):
        plain: Any = torch.view_as_real(tensor.resolve_conj()).tolist() if tensor.is_complex() else tensor.tolist()
        assert summary.values == plain


def test_a_snapshot_keeps_the_values_that_were_overwritten() -> None:
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    out = leaf * 2
    snapshot = Snapshot(out, 64)
    with torch.no_grad():
        out.zero_()
    (summary,) = packed_summaries(snapshot)
    assert (summary.values, summary.grad_fn, summary.requires_grad) == ([2.0, 4.0], "MulBackward0", True)
    large = Snapshot(leaf, 1)
    (summary,) = packed_summaries(large, kept=1)
    assert (summary.values, summary.is_leaf) == (None, True)
    assert summary.norm == pytest.approx(math.sqrt(5))


@pytest.mark.usefixtures("in_c")
def test_the_statistics_of_a_tensor_do_not_depend_on_tensors_packed_with_it() -> None:
    generator = torch.Generator().manual_seed(3)
    for size in (8, 24, 60, 120):
        tensors = [torch.randn(size, size, generator=generator) for _ in range(6)]
        alone = [packed_summaries(tensor, kept=1)[0] for tensor in tensors]
        turned = [packed_summaries(tensor.T, kept=1)[0] for tensor in tensors]
        together = packed_summaries(*(tensor.T if index % 2 else tensor for index, tensor in enumerate(tensors)), kept=1)
        for one, other, third in zip(alone, turned, together, strict=True):
            assert (one.min, one.max, one.mean, one.norm) == (other.min, other.max, other.mean, other.norm)
            assert (one.min, one.max, one.mean, one.norm) == (third.min, third.max, third.mean, third.norm)
