"""Report scores that are clamped to the range of probabilities for `binary_cross_entropy`, where a sigmoid is missing.

## Why it matters

`binary_cross_entropy` needs probabilities and raises an error for numbers below 0 or above 1. `clamp(0, 1)` silences the error,
but a clamped score is not a probability. Where a score is outside of the bounds, its gradient is 0: the sample is not learned,
however wrong the score is.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(2, (12, 1)).float()
layer = nn.Linear(4, 1)
p = layer(x).clamp(1e-6, 1 - 1e-6)
loss = nn.functional.binary_cross_entropy(p, y)
loss.backward()
```

Pass the scores to the function that applies the sigmoid itself:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(2, (12, 1)).float()
layer = nn.Linear(4, 1)
loss = nn.functional.binary_cross_entropy_with_logits(layer(x), y)
loss.backward()
```

## What it does not report

- Probabilities that are clamped away from 0 and 1, such as `torch.sigmoid(x).clamp(1e-6, 1 - 1e-6)`.
- Scores that are all between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs

CODE: Final = "clamped-scores"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_CLAMPS: Final = ("Clamp", "Hardtanh", "Minimum", "Maximum")
_SCORES: Final = ("Addmm", "Mm", "Mv", "Bmm", "Addmv", "Dot", "Convolution", "Add", "Sub", "Mul", "Sum")
"""Operations of a layer, whose results may be any numbers."""
ROUNDING: Final = 1e-3
"""Largest distance from the range of probabilities that rounding may cause."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that clamps scores for a binary cross-entropy."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            inputs = graph.inputs(index) if node.op == "BinaryCrossEntropyBackward0" else []
            clamped = _clamped(graph, inputs[0]) if inputs else None
            if clamped is None:
                continue
            line = clamped.line or node.line
            if line not in reported:
                reported.add(line)
                yield _finding(graph, clamped, line)


def _clamped(graph: GraphOfPass, given: int) -> model.Node | None:
    """Return the node that clamps the result of a layer; ``None`` without one, or if no score is out of range."""
    clamp: model.Node | None = None
    index = graph.below_views(given)
    while graph.nodes[index].op.startswith(_CLAMPS) and (inputs := graph.inputs(index)):
        clamp = graph.nodes[index]
        index = graph.below_views(inputs[0])
    value = graph.numbers.value(index)
    if clamp is None or value is None or not graph.nodes[index].op.startswith(_SCORES):
        return None
    low, high = value.min, value.max
    if not isinstance(low, float | int) or not isinstance(high, float | int):
        return None
    return clamp if low < -ROUNDING or high > 1 + ROUNDING else None


def _finding(graph: GraphOfPass, clamp: model.Node, line: int | None) -> model.Finding:
    return graph.warning(
        CODE,
        clamp,
        line=line,
        message="`binary_cross_entropy` gets scores that are clamped to the range of probabilities.",
        why="A clamped score is not a probability, and where the clamp changes a score, its gradient is 0. Pass the scores to "
        "`binary_cross_entropy_with_logits`, or apply `torch.sigmoid` first.",
    )
