"""Test that memory that a NumPy array shares with a tensor counts as shared until it is freed."""

from __future__ import annotations

from unittest.mock import Mock

import torch
from tapedeck.tracer.training.shared_memory import SharedMemory


def test_freed_memory_is_not_shared_any_more() -> None:
    shared = SharedMemory(Mock(revision=0, storages=lambda: {kept, freed}))
    tensor, other = torch.ones(3), torch.ones(3)
    kept, freed = shared.add(tensor), shared.add(other)
    assert shared.of_parameters() == sorted([kept, freed])
    assert shared.write.reaches(other)
    del other
    assert shared.write.shared == {kept}
    assert shared.of_parameters() == [kept]


def test_memory_that_only_an_array_uses_stays_shared() -> None:
    shared = SharedMemory(Mock(revision=0))
    tensor = torch.ones(3)
    array = tensor.numpy()
    key = shared.add(tensor)
    del tensor
    assert shared.write.shared == {key}
    del array
    assert shared.write.shared == set()


def test_of_many_shared_storages_the_freed_ones_are_removed_now_and_then() -> None:
    shared = SharedMemory(Mock(revision=0))
    kept = [torch.zeros(3) for _ in range(5)]
    for _ in range(1_000):
        shared.add(torch.zeros(300))
    many = [torch.zeros(3) for _ in range(100)]
    for tensor in (*kept, *many):
        shared.add(tensor)
    assert len(shared.write.shared) < 300
    assert {tensor.untyped_storage().data_ptr() for tensor in kept} <= shared.write.shared
