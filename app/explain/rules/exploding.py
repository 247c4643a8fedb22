"""Report gradients that grow from layer to layer, so that they are far larger in the first layers than in the last.

## Why it matters

Backpropagation multiplies the gradient by the weights of each layer. If the weights are too large, the gradient grows by about
the same factor in each layer. The values of the forward pass grow too. In a deep network, the gradients of the layers then
differ so much that no learning rate suits all of them.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(16, 32), torch.randn(16, 1)
net = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(32, 32), nn.ReLU())), nn.Linear(32, 1))
for layer in net[:-1:2]:
    nn.init.normal_(layer.weight, std=1.0)
optimizer = torch.optim.Adam(net.parameters(), lr=0.0001)
for step in range(3):
    loss = ((net(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Scale the initial weights to the width of the layers:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(16, 32), torch.randn(16, 1)
net = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(32, 32), nn.ReLU())), nn.Linear(32, 1))
for layer in net[:-1:2]:
    nn.init.kaiming_normal_(layer.weight)
optimizer = torch.optim.Adam(net.parameters(), lr=0.0001)
for step in range(3):
    loss = ((net(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Networks with fewer than five layers of weights, and runs of a single step.
- Gradients that grow by less than three orders of magnitude, or in less than three quarters of the layers.
- Gradients that are not finite. For those, see [nan-origin](#nan-origin).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import log10, prod, sqrt
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.layers import depths
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import short

CODE: Final = "exploding"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
LAYERS: Final = 5
"""Smallest number of layers with weights that a network must have."""
ORDERS: Final = 3.0
"""Orders of magnitude by which the gradient must grow from the last layer to the first."""
STEADY: Final = 0.75
"""Share of the layers in which the gradient must become larger."""
STEPS: Final = 2
"""Smallest number of steps of a run."""
NODES: Final = 5_000
"""Largest number of nodes of a graph that is searched."""
_LAYERS: Final = ("Addmm", "Mm", "Bmm", "Convolution", "MkldnnLinear")


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding if, in the first pass, the gradient at the outputs of layers grows from the last layer to the first."""
    if recording.log.counts()[2] < STEPS or recording.log.step(0).optimizer is None:
        return
    graph = next(different_graphs(recording), None)
    if graph is None or graph.step != 0 or len(graph.nodes) > NODES:
        return
    layers = _layers(graph)
    if not _grows([size for _, size in layers]):
        return
    (last, small), (first, large) = layers[0], layers[-1]
    low, high = _named(graph, last, "the last layer"), _named(graph, first, "the first layer")
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=graph.nodes[first].line,
        step=0,
        node=graph.nodes[first].id,
        message=f"The gradient explodes on its way to the first layers: {short(small)} per element at the output of {low}, "
        f"{short(large)} at the output of {high}.",
        why="Each layer multiplies the gradient by its weights, which are too large. Scale the initial weights to the width of "
        "the layer, as `nn.Linear` and `kaiming_normal_` do, or use normalization.",
        pass_=graph.pass_,
    )


def _layers(graph: GraphOfPass) -> list[tuple[int, float]]:
    """Return the nodes that multiply by weights, with the root mean square of the gradient there, the last layer first."""
    depth = depths(graph.numbers)
    found: dict[int, tuple[int, float]] = {}
    for index, node in enumerate(graph.nodes):
        gradient = graph.numbers.arrived(index) if node.op.startswith(_LAYERS) else None
        if gradient is not None and prod(gradient.shape) > 0 and isinstance(gradient.norm, float) and not gradient.inf:
            found.setdefault(depth[index], (index, gradient.norm / sqrt(prod(gradient.shape))))
    return [found[each] for each in sorted(found)]


def _grows(sizes: list[float]) -> bool:
    """Return whether no gradient is 0, and they grow by ``ORDERS`` orders of magnitude and in most of the layers."""
    if len(sizes) < LAYERS or min(sizes) <= 0:
        return False
    growing = sum(after > before for before, after in pairwise(sizes))
    return log10(sizes[-1]) - log10(sizes[0]) >= ORDERS and growing >= STEADY * (len(sizes) - 1)


def _named(graph: GraphOfPass, layer: int, other: str) -> str:
    """Return the path of a layer's module, or ``other`` without one."""
    node = graph.nodes[layer]
    return f"`{node.module}`" if node.module else other
