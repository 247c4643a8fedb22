"""A write reaches the tensors that have the memory which changes, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tapedeck.tracer.tensors.memory import Write
from torch import Tensor

OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "a view": lambda tensor: tensor.view(-1),
    "a part": lambda tensor: tensor[1:],
    "what is cut off": lambda tensor: tensor.detach(),
    "its data": lambda tensor: tensor.data,
    "a transpose": lambda tensor: tensor.t(),
    "an expanded one": lambda tensor: tensor.expand(3, 2, 2),
    "what numpy has of it": lambda tensor: torch.from_numpy(tensor.detach().numpy()),
    "what another library has of it": lambda tensor: torch.from_dlpack(tensor.detach()),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("leaf", [False, True], ids=["plain", "leaf"])
def test_it_reaches_whatever_shares_the_memory(other: Callable[[Tensor], Tensor], leaf: bool) -> None:
    tensor = torch.rand(2, 2, requires_grad=leaf)
    shared = other(tensor)
    stranger = torch.rand(2, 2)
    for target, seen in ((tensor, shared), (shared, tensor)):
        write = Write([target])
        assert write.reaches(seen)
        assert write.reaches(target)
        assert not write.reaches(stranger)
        assert write.storages == {tensor.untyped_storage().data_ptr()}


def test_what_nobody_shares_is_reached_by_itself_alone() -> None:
    tensor = torch.rand(3, requires_grad=True)
    squared = tensor.square()  # the graph holds the tensor, and no other that has its memory
    write = Write([tensor])
    assert not write.shared
    assert write.reaches(tensor)
    assert not write.reaches(squared)


def test_what_the_graph_has_saved_under_a_handle_of_its_own_shares_the_memory() -> None:
    result = torch.rand(3, requires_grad=True).exp()  # which saves its result
    assert Write([result]).shared


def test_a_tensor_without_memory_of_its_own_is_reached_all_the_same() -> None:
    sparse = torch.eye(2).to_sparse()
    assert Write([sparse]).reaches(sparse)
    seen: list[bool] = []

    def inside(x: Tensor) -> Tensor:
        seen.append(Write([x]).reaches(x))
        return x * 2

    torch.func.vmap(inside)(torch.ones(2, 2))
    assert seen == [True]
