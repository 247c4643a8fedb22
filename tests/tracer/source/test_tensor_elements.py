"""A tensor is printed as PyTorch prints it, without formatting each element as a tensor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck.tracer.source.tensor_elements import plain_tensor_repr
from tapedeck.tracer.source.value_text import tensor_text
from torch import Tensor

DTYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32,
    torch.int64,
)  # fmt: skip
SHAPES = ((), (7,), (3, 4), (2, 1, 5), (4, 40), (1200,))
SPECIAL = [0.0, -0.0, 1.0, -2.5, 1e-5, 1e-45, 9e-4, 12345.678, 1e9, 3e38, float("inf"), float("-inf"), float("nan")]


def tensors() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    found = [
        torch.tensor(numbers) for size in (1, 2, 3) for numbers in zip(*(SPECIAL[at:] for at in range(size)), strict=False)
    ]
    found += [torch.tensor(numbers) for numbers in (SPECIAL, SPECIAL[:2], SPECIAL[-3:], [5.0, -123.0], [1e6, 1e8], [1.5, 2e3])]
    for dtype in DTYPES:
        for shape in SHAPES:
            for scale in (1, 3e4):
                drawn = torch.randn(shape, generator=draw) * scale
                found += [drawn.to(dtype), drawn.round().to(dtype)]
    leaf = torch.randn(3, 30, generator=draw, requires_grad=True)
    return [*found, leaf, leaf * 2, leaf.detach().T, torch.nn.Parameter(leaf.detach()), leaf[:, ::7], torch.ones(1).expand(9)]


@pytest.mark.parametrize(
    "options",
    [{}, {"sci_mode": True}, {"sci_mode": False, "precision": 2}, {"linewidth": 40, "threshold": 20, "edgeitems": 2}],
    ids=str,
)
def test_a_tensor_has_the_text_of_pytorch(options: dict[str, Any]) -> None:
    with torch._tensor_str.printoptions(**{**torch._tensor_str.get_printoptions(), **options}):
        for tensor in tensors():
            assert plain_tensor_repr(tensor) == repr(tensor)


def test_no_element_is_formatted_as_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    formatted: list[Tensor] = []
    monkeypatch.setattr(Tensor, "__format__", lambda tensor, spec: formatted.append(tensor) or "0")
    tensor = torch.randn(30)
    assert tensor_text(tensor)
    assert not formatted
    assert repr(tensor)
    assert formatted


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(0), torch.zeros(2, 0), torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta"),
        torch.eye(3).to_sparse(), torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
        torch.ones(2).to(torch.float8_e4m3fn),
        torch._efficientzerotensor(3), torch.imag(torch.ones(2, dtype=torch.complex64).conj()),
        torch.ones(3, dtype=torch.uint16),
    ],
)  # fmt: skip
def test_pytorch_prints_every_other_tensor(tensor: Tensor) -> None:
    assert plain_tensor_repr(tensor) is None
    assert tensor_text(tensor) == repr(tensor)


def test_a_tensor_is_printed_in_the_way_that_the_program_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "__repr__", lambda tensor, **_: "mine")
    assert tensor_text(torch.ones(3)) == "mine"
