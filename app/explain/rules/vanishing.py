"""Report gradients that become vanishingly small on their way to the first layers of a network.

## Why it matters

Each layer multiplies the gradient by its own slopes and weights. If these are small, as the slope of a sigmoid is (at most ¼),
the product falls by orders of magnitude over a few layers. The first layers then hardly change, however long the training is.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(16, 4)
y = x.sum(1, keepdim=True)
layers = [layer for _ in range(7) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
net = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), *layers, nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(25):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
```

Use an activation with a larger slope, such as ReLU:

```python
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(16, 4)
y = x.sum(1, keepdim=True)
layers = [layer for _ in range(7) for layer in (nn.Linear(8, 8), nn.ReLU())]
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), *layers, nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(25):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Networks with fewer than five layers of weights. Without such layers, only a graph without branches is examined: the finding
  is a note if the gradient falls by five orders of magnitude over five or more equal operations in succession.
- Gradients that fall by less than five orders of magnitude, or that recover later in the run.
- Gradients that are exactly zero. For those, see [dead-relu](#dead-relu).

A run of fewer than five steps is too short for a warning. If its gradients fall by eight orders of magnitude, the finding is a
note.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from math import log10
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.chains import chain_of
from ..recorded.layers import Layer, depths, layers_of, line_of
from ..wording import short

CODE: Final = "vanishing"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning", "note")
STEPS: Final = 5
"""Number of steps at the start in which the gradients must vanish. The same number of later steps is checked for a recovery."""
LAYERS: Final = 5
"""Smallest number of layers with weights that a network must have, or of equal operations in a graph without branches."""
ORDERS: Final = 5
"""Orders of magnitude between the gradients of the first and the last layer, in the first step."""
THIN_ORDERS: Final = 8
"""Orders of magnitude between these gradients in each step of a run of fewer than ``STEPS`` steps."""
STEADY: Final = 0.75
"""Share of the layers in which the gradient must become smaller."""
NODES: Final = 5_000
"""Largest number of nodes of a graph that is searched."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding if the gradients of the weights fall from layer to layer and stay small in the first layers."""
    count = recording.log.counts()[2]
    if count and (main := recording.log.step(0).main) >= 0 and (noted := _in_chain(recording, main)):
        yield noted
        return
    thin = count < STEPS
    later = [] if thin else [STEPS - 1 + round(part * (count - STEPS) / STEPS) for part in range(1, STEPS + 1)]
    mains = [recording.log.step(index).main for index in (*range(min(count, STEPS)), *later)]
    graphs = {recording.log.pass_(main).graph for main in mains if main >= 0}
    if (
        not mains
        or min(mains) < 0
        or len(graphs) != 1
        or (graph := graphs.pop()) < 0
        or len(recording.graph(graph).nodes) > NODES
    ):
        return
    depth = depths(recording.numbers(mains[0]))
    layers = [layers_of(recording.numbers(main), depth) for main in mains]
    if not all(_falls(each, orders) for each, orders in zip(layers, _orders(thin), strict=False)):
        return
    (last, large), (first, small) = layers[0][0], layers[0][-1]
    if any(not each or each[-1][1] > large / 10 ** (ORDERS - 1) for each in layers):
        return
    nodes = recording.graph(graph).nodes
    names = [f"`{node.name}`" if node.name else "" for node in (nodes[first], nodes[last])]
    low, high = names[0] or "the first weights", names[1] or "the last weights"
    yield model.Finding(
        code=CODE,
        severity="note" if thin else "warning",
        file=None,
        line=line_of(recording.numbers(mains[0]), first),
        step=0,
        node=nodes[first].id,
        message="The gradient vanishes on its way to the first layers: "
        f"{short(large)} per element in {high}, {short(small)} in {low}.",
        why=f"{_thin(count) if thin else ''}Each layer multiplies the gradient by its own slopes and weights. The product is "
        "so small that the first layers do not learn. Try ReLU instead of sigmoid, other initial weights, normalization or "
        "residual connections.",
        pass_=mains[0],
    )


def _in_chain(recording: Recording, main: int) -> model.Finding | None:
    """Return a note if equal operations, one after another, make the gradient of the only leaf vanish."""
    if len(recording.graph(recording.log.pass_(main).graph).nodes) > NODES:
        return None
    numbers = recording.numbers(main)
    chain = chain_of(numbers)
    runs = [list(run) for _, run in groupby(pairwise(chain), lambda pair: pair[0][0].op)]
    longest = max(runs, key=len, default=[])
    if len(longest) < LAYERS or any(after > before / 2 for (_, before), (_, after) in longest):
        return None
    (first, large), (_, small) = longest[0][0], longest[-1][1]
    if large < small * 10**ORDERS:
        return None
    leaf, reached = chain[-1]
    name = f"`{leaf.name}`" if leaf.name else "the leaf"
    where = "" if first.line is None else f" of line {first.line}"
    return model.Finding(
        code=CODE,
        severity="note",
        file=None,
        line=first.line,
        step=0,
        node=leaf.id,
        message=f"The gradient vanishes on its way to {name}: {len(longest)} `{first.op}`{where} reduce it from {short(large)} "
        f"to {short(reached)}.",
        why="Each of these operations multiplies the gradient by its own slope. The product is so small that an update hardly "
        f"changes {name}. Try fewer such operations, an operation with a larger slope, or a sum that leads around them.",
        pass_=main,
    )


def _orders(thin: bool) -> list[float]:
    """Return the orders of magnitude by which the gradients of each of the first steps must fall."""
    return [THIN_ORDERS] * STEPS if thin else [ORDERS, *[ORDERS / 2] * (STEPS - 1)]


def _thin(count: int) -> str:
    return f"The run is too short to be sure: it has {'one step' if count == 1 else f'{count} steps'}. "


def _falls(layers: list[Layer], orders: float) -> bool:
    """Return whether nonzero gradients fall by at least ``orders`` orders of magnitude to the first layer."""
    if len(layers) < LAYERS or min(size for _, size in layers) <= 0:
        return False
    falling = sum(after[1] < before[1] for before, after in pairwise(layers))
    return log10(layers[0][1]) - log10(layers[-1][1]) >= orders and falling >= STEADY * (len(layers) - 1)
