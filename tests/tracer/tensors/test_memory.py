"""Tests of ``Write``: it reaches exactly the tensors whose memory changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tapedeck.tracer.tensors.memory import Write
from torch import Tensor

OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "a view": lambda tensor: tensor.view(-1),
    "a slice": lambda tensor: tensor[1:],
    "a detached tensor": lambda tensor: tensor.detach(),
    "its data": lambda tensor: tensor.data,
    "a transpose": lambda tensor: tensor.t(),
    "an expanded tensor": lambda tensor: tensor.expand(3, 2, 2),
    "a tensor on a NumPy array": lambda tensor: torch.from_numpy(tensor.detach().numpy()),
    "a tensor from DLPack": lambda tensor: torch.from_dlpack(tensor.detach()),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("leaf", [False, True], ids=["plain", "leaf"])
def test_a_write_reaches_every_tensor_that_shares_the_memory(other: Callable[[Tensor], Tensor], leaf: bool) -> None:
    tensor = torch.rand(2, 2, requires_grad=leaf)
    shared = other(tensor)
    stranger = torch.rand(2, 2)
    for target, seen in ((tensor, shared), (shared, tensor)):
        write = Write([target])
        assert write.reaches(seen)
        assert write.reaches(target)
        assert not write.reaches(stranger)
        assert write.storages == {tensor.untyped_storage().data_ptr()}


def test_a_write_to_unshared_memory_reaches_only_its_target() -> None:
    tensor = torch.rand(3, requires_grad=True)
    squared = tensor.square()  # the graph keeps `tensor`, but no other tensor shares its memory
    write = Write([tensor])
    assert not write.shared
    assert write.reaches(tensor)
    assert not write.reaches(squared)


def test_memory_is_shared_if_the_graph_saved_the_result() -> None:
    result = torch.rand(3, requires_grad=True).exp()  # ``exp`` saves its result
    assert Write([result]).shared


def test_a_write_reaches_a_target_without_storage() -> None:
    sparse = torch.eye(2).to_sparse()
    assert Write([sparse]).reaches(sparse)
    seen: list[bool] = []

    def inside(x: Tensor) -> Tensor:
        seen.append(Write([x]).reaches(x))
        return x * 2

    torch.func.vmap(inside)(torch.ones(2, 2))
    assert seen == [True]
