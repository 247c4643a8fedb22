"""Report an activation that bounds the numbers that a loss function takes as logits.

## Why it matters

`cross_entropy` and `binary_cross_entropy_with_logits` expect logits, which may be any numbers. After a ReLU, no logit is below
0: a class cannot be ruled out, and where the ReLU returns 0, nothing is learned. After a `tanh`, all logits are between −1 and
1, so the network can never be sure and the loss cannot approach 0. Training runs without an error and stops improving early.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.ReLU())
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
```

Pass the outputs of the last layer:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
```

## What it does not report

- Activations with other operations between them and the loss, such as a scale that widens the bounds.
- Activations without bounds, such as ELU or LeakyReLU.
- A softmax or a sigmoid: see [`softmax-twice`](#softmax-twice).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs

CODE: Final = "bounded-logits"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_ACTIVATIONS: Final = {
    "ReluBackward0": ("ReLU", "at least 0", "a class cannot be ruled out, and where the ReLU returns 0, its gradient is 0"),
    "TanhBackward0": ("tanh", "between −1 and 1", "the network can never be sure, and the loss cannot approach 0"),
    "HardtanhBackward0": ("Hardtanh", "bounded", "the network can never be sure, and its gradient is 0 at the bounds"),
}
"""For each activation, its name, the range of its results, and the consequence."""
_LOSSES: Final = {
    "LogSoftmaxBackward0": "NllLoss",
    "BinaryCrossEntropyWithLogitsBackward0": "",
}
"""For each function that takes logits, the loss that must use its result; empty if the function is a loss itself."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line on which a loss gets the result of a bounded activation."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            if node.op not in _LOSSES or node.line in reported or not _is_loss(graph, index):
                continue
            below = next((graph.before_views(each) for each in graph.inputs(index)[:1]), None)
            if below is not None and below.op in _ACTIVATIONS:
                reported.add(node.line)
                yield _finding(graph, node, below)


def _is_loss(graph: GraphOfPass, index: int) -> bool:
    user = _LOSSES[graph.nodes[index].op]
    return not user or any(graph.nodes[each].op.startswith(user) for each, _ in graph.users(index))


def _finding(graph: GraphOfPass, loss: model.Node, activation: model.Node) -> model.Finding:
    name, numbers, consequence = _ACTIVATIONS[activation.op]
    by = f"`{activation.module}`" if activation.module else f"on line {activation.line}" if activation.line else "before it"
    return graph.warning(
        CODE,
        activation,
        line=loss.line,
        message=f"The loss gets the result of a {name} ({by}), but expects logits.",
        why=f"After a {name}, all logits are {numbers}: {consequence}. Pass the outputs of the last layer, without the {name}.",
    )
