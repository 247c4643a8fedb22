"""Report a `view` or `reshape` that was meant to swap dimensions, and mixes the samples of a batch instead.

## Why it matters

`view` and `reshape` keep the order of the elements in memory and only read them in other lengths. They do not move a dimension:
`h.view(8, 5, 2)` of a tensor of shape (5, 8, 2) cuts its numbers into new rows, each of which has parts of several samples. The
shapes fit, no error is raised, and the loss compares predictions with the targets of other samples.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
sequence, targets = torch.randn(5, 8, 4), torch.randn(8, 5, 2)
net = nn.Linear(4, 2)
loss = ((net(sequence).view(8, 5, 2) - targets) ** 2).mean()
loss.backward()
```

Swap the dimensions:

```python
import torch
from torch import nn

torch.manual_seed(0)
sequence, targets = torch.randn(5, 8, 4), torch.randn(8, 5, 2)
net = nn.Linear(4, 2)
loss = ((net(sequence).transpose(0, 1) - targets) ** 2).mean()
loss.backward()
```

## What it does not report

- A `view` that only joins neighbouring dimensions, splits one, or adds dimensions of length 1.
- A `view` that undoes an earlier one, and shapes of which two lengths are equal: they do not show what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..passes import GraphOfPass, different_graphs
from ..syntax import Syntax

CODE: Final = "mixed-batch"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_RESHAPES: Final = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward")
_CALLS: Final = ("view", "reshape")


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line on which the program reshapes a tensor to a permutation of its shape."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            function = (node.call or "").rpartition(".")[2]
            if not node.op.startswith(_RESHAPES) or function not in _CALLS or node.line in reported or node.line is None:
                continue
            shapes = _shapes(graph, index)
            if shapes is not None and mixes(*shapes):
                reported.add(node.line)
                yield _finding(graph, node, function, *shapes)


def mixes(before: list[int], after: list[int]) -> bool:
    """Return whether a reshape has the shape that moving a dimension would give, although it moves none.

    The first dimension of the result must be another one of the input, and the others those that are left: in their order, one
    by one or with the first one joined to its new neighbour.

    >>> mixes([5, 8, 2], [8, 5, 2]), mixes([2, 16, 6], [16, 12]), mixes([16, 5, 4], [80, 4]), mixes([4, 6], [6, 4])
    (True, True, False, True)
    >>> mixes([4, 4, 2], [4, 4, 2]), mixes([6, 2], [2, 2, 3]), mixes([1, 8], [8, 1])
    (False, False, False)
    """
    before, after = [each for each in before if each != 1], [each for each in after if each != 1]
    if len(before) < 2 or len(set(before)) != len(before) or before[: len(after)] == after:
        return False
    if sorted(before) == sorted(after):
        return before != after
    first, *rest = before
    return len(rest) == 2 and after == [rest[0], first * rest[1]] and after[0] != first


def _shapes(graph: GraphOfPass, index: int) -> tuple[list[int], list[int]] | None:
    """Return the shapes of the input and of the result of a node."""
    inputs = graph.inputs(index)
    before, after = graph.numbers.value(inputs[0]) if inputs else None, graph.numbers.value(index)
    return (before.shape, after.shape) if before is not None and after is not None else None


def _finding(graph: GraphOfPass, node: model.Node, function: str, before: list[int], after: list[int]) -> model.Finding:
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=node.line,
        step=graph.step,
        node=node.id,
        message=f"`{function}` turns the shape {_text(before)} into {_text(after)}, but does not move the dimensions: it mixes "
        "the samples.",
        why=f"`{function}` reads the numbers in the same order and cuts them into other lengths. Move the dimension with "
        f"`transpose` or `permute` first{', then join the others' if len(after) < len(before) else ''}.",
        pass_=graph.pass_,
    )


def _text(shape: list[int]) -> str:
    return f"({', '.join(map(str, shape))})"
