"""Tests of the number of outputs of nodes."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from tapedeck.tracer.backward.outputs import WITH_ONE_OUTPUT, output_counts, types_of


def returned() -> dict[str, set[tuple[str, ...]]]:
    """Return the types that each operation on tensors returns, by its name without underscores."""
    found = defaultdict(set)
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        if space == "aten" and schema.arguments and "Tensor" in str(schema.arguments[0].type):
            found[name.replace("_", "").lower()].add(tuple(str(each.type) for each in schema.returns))
    return found


def test_operations_listed_with_one_output_return_one_tensor() -> None:
    schemas = returned()
    assert schemas["split"] != {("Tensor",)}
    assert [name for name in WITH_ONE_OUTPUT if schemas[name.lower()] != {("Tensor",)}] == []
    assert all(list(types_of(name)) for name in WITH_ONE_OUTPUT)


@pytest.mark.parametrize(("make", "count"), [("x * 2", 1), ("x.split(2)[0]", 3), ("torch.std_mean(x)[0]", 2)])
def test_outputs_are_counted(make: str, count: int) -> None:
    node = eval(make, {"torch": torch, "x": torch.ones(6, 2, requires_grad=True)}).grad_fn
    assert output_counts([node], [type(node)]) == [count]
