"""Compute the local derivatives of a node by calling its backward formula with unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import wire
from ..tensors.table import TableBuilder
from .operands import CannotReplay

MAX_FACTORS = 65_536
"""The largest number of local derivatives of one node."""
MAX_CALLS = 1_024
"""The largest number of elements of a node's outputs; each element takes one call of its formula."""


class LocalFactors(NamedTuple):
    """The local derivatives of a node, and their products with the gradients that arrived; ``table`` has the tensors."""

    table: TableBuilder
    factors: list[wire.FactorRow]
    products: list[wire.ProductRow]


def local_factors(node: Any, gradients: Sequence[Tensor | None]) -> LocalFactors:
    """Return the derivatives of each output of a node with respect to each input; ``gradients`` arrived at the outputs.

    Raises :class:`CannotReplay` for complex numbers and for too many derivatives.
    """
    call = _formula(node)
    kept = [gradient.detach().clone() if gradient is not None else None for gradient in gradients]
    products_given = call(*kept)
    if any(tensor is not None and tensor.is_complex() for tensor in (*kept, *products_given)):
        raise CannotReplay("a complex number has no single derivative for each of its elements")
    size = sum(gradient.numel() for gradient in kept if gradient is not None)
    results = sum(result.numel() for result in products_given if result is not None)
    if size > MAX_CALLS:
        raise CannotReplay(f"the node's outputs have {size:,} elements, and factors are computed for at most {MAX_CALLS:,}")
    if size * results > MAX_FACTORS:
        raise CannotReplay(f"the node has {size * results:,} factors, and at most {MAX_FACTORS:,} are computed")
    table = TableBuilder(MAX_FACTORS, "full")
    factors: list[wire.FactorRow] = []
    sums: dict[int, Tensor] = {}
    for output, gradient in enumerate(kept):
        if gradient is None:
            continue
        columns: dict[int, list[Tensor]] = {}
        for element in range(gradient.numel()):
            unit = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
            unit.view(-1)[element] = 1
            for slot, result in enumerate(call(*(unit if at == output else None for at in range(len(kept))))):
                if result is not None:
                    columns.setdefault(slot, []).append(result.detach().clone())
        for slot, rows in columns.items():
            stacked = torch.stack(rows)
            total = torch.tensordot(gradient.reshape(-1).to(stacked.dtype), stacked, 1)
            sums[slot] = sums[slot] + total if slot in sums else total
            shape = (*gradient.shape, *stacked.shape[1:])
            factors.append(wire.FactorRow(slot, output, table.add(stacked.reshape(shape))))
    products = [
        wire.ProductRow(slot, table.add(result.detach().clone()), table.add(sums.get(slot)))
        for slot, result in enumerate(products_given)
        if result is not None
    ]
    return LocalFactors(table, factors, products)


def _formula(node: Any) -> Callable[..., list[Tensor | None]]:
    """Return a function that applies a node's formula to gradients; each result has the shape and dtype of the node's input."""
    call = node if callable(node) else node.apply
    forms = [_form(target, index) if target is not None else None for target, index in node.next_functions]

    def called(*gradients: Tensor | None) -> list[Tensor | None]:
        with torch.no_grad():
            out = call(*gradients)
        results = out if isinstance(out, tuple | list) else (out,)
        return [_fitted(result, form) for result, form in zip(results, forms, strict=False)]

    return called


def _form(node: Any, index: int) -> tuple[torch.Size, torch.dtype]:
    """Return the shape and dtype of an output of a node."""
    variable = getattr(node, "variable", None)
    output = variable if variable is not None else node._input_metadata[index]
    return output.shape, output.dtype


def _fitted(result: Any, form: tuple[torch.Size, torch.dtype] | None) -> Tensor | None:
    """Return a result in the shape and dtype of its target, as the engine does: broadcast dimensions are summed."""
    if not isinstance(result, Tensor) or form is None:
        return None
    shape, dtype = form
    return (result if result.shape == shape else result.sum_to_size(shape)).to(dtype)
