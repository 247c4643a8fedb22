"""Count the outputs of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final

import torch

WITH_ONE_OUTPUT: Final = (
    "Abs", "Add", "Addmm", "Bmm", "Cat", "Clamp", "Clone", "Cos", "Div", "Dot", "Exp", "Expand", "Gather", "Gelu", "Log",
    "LogSoftmax", "Logsumexp", "Mean", "Mm", "MseLoss", "Mul", "Mv", "Neg", "Permute", "Pow", "Relu", "Select", "Sigmoid",
    "Silu", "Sin", "Slice", "Softmax", "Sqrt", "Squeeze", "Stack", "Sub", "Sum", "T", "Tanh", "Transpose", "UnsafeView",
    "Unsqueeze", "View",
)  # fmt: skip
"""Common operations whose nodes have one output. Reading the outputs of a node takes longer than walking over it."""


def output_counts(nodes: Sequence[Any], kinds: Sequence[type]) -> list[int]:
    """Return the number of outputs of each node. ``kinds`` are the types of the nodes."""
    return [1 if kind in _TYPES else _output_count(node) for node, kind in zip(nodes, kinds, strict=True)]


def _output_count(node: Any) -> int:
    metadata = getattr(node, "_input_metadata", None)
    return max(len(metadata), 1) if metadata is not None else 1


def types_of(operation: str) -> Iterator[type]:
    """Yield the types of an operation's nodes, one for each of its formulas, such as ``AddBackward0`` and ``AddBackward1``."""
    functions: Any = torch._C._functions
    for number in count():
        found = getattr(functions, f"{operation}Backward{number}", None)
        if found is None:
            return
        yield found


_TYPES: Final = frozenset(each for operation in WITH_ONE_OUTPUT for each in types_of(operation))
