"""Report layers that start with equal weights, so that all their units stay equal to each other.

## Why it matters

If all weights of a layer are equal, and those of the next layer too, all its units compute the same number and get the same
gradient. They stay equal for the whole training, and a layer of a hundred units learns no more than a layer of one.

## Example

```python
import torch

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)
w1, w2 = torch.ones(4, 8, requires_grad=True), torch.ones(8, 1, requires_grad=True)
optimizer = torch.optim.SGD([w1, w2], lr=0.001)
for step in range(3):
    loss = (((x @ w1).tanh() @ w2 - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Start from random weights:

```python
import torch

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)
w1, w2 = torch.randn(4, 8, requires_grad=True), torch.randn(8, 1, requires_grad=True)
optimizer = torch.optim.SGD([w1, w2], lr=0.001)
for step in range(3):
    loss = (((x @ w1).tanh() @ w2 - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- A single layer of equal weights, as in a regression that starts at 0, or a last layer that starts at 0.
- Products of two matrices without a function between them, as in an adapter of low rank. If both matrices are 0, see
  [zero-gradient](#zero-gradient).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.initial import initial_line
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import short

CODE: Final = "symmetric-units"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run."""
NEAR: Final = 12
"""Largest number of nodes between two layers."""
_LAYERS: Final = ("Addmm", "Mm", "Bmm", "MkldnnLinear")


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for the first pair of layers whose weights are all equal in the first pass of a run."""
    if recording.log.counts()[2] < STEPS or not recording.log.step(0).update:
        return
    graph = next(different_graphs(recording), None)
    if graph is None or graph.step != 0:
        return
    for index, node in enumerate(graph.nodes):
        weight = _equal_weight(graph, index) if node.op.startswith(_LAYERS) else None
        if weight is None:
            continue
        lower = _layer_below(graph, index, weight)
        below = _equal_weight(graph, lower) if lower is not None else None
        if below is not None and _units(graph, weight) & _units(graph, below):
            first, second = graph.nodes[below], graph.nodes[weight]
            value = graph.numbers.value(below)
            number = short(value.min) if value is not None and isinstance(value.min, float | int) else "equal"
            yield graph.warning(
                CODE,
                first,
                line=initial_line(syntax, [first.name or "", second.name or ""]) or first.line or graph.nodes[index].line,
                message=f"All weights of `{first.name}` are {number}, and those of `{second.name}` are equal too, so all units "
                "of the layer stay equal to each other.",
                why="Units with equal weights compute the same number and get the same gradient, so training never makes them "
                "different. Start from random weights, such as those that `nn.Linear` has by default.",
            )
            return


def _equal_weight(graph: GraphOfPass, layer: int) -> int | None:
    """Return the leaf that is the weight of a layer, if it has more than one element and all of them are equal."""
    for each in graph.inputs(layer):
        leaf = graph.below_views(each)
        node, value = graph.nodes[leaf], graph.numbers.value(leaf)
        if node.kind != "leaf" or value is None or len(value.shape) != 2 or max(value.shape) < 2:
            continue
        if value.min == value.max and isinstance(value.min, float | int):
            return leaf
    return None


def _layer_below(graph: GraphOfPass, layer: int, weight: int) -> int | None:
    """Return the next layer below a layer. There must be a function other than a view between them."""
    waiting = [each for each in graph.inputs(layer) if graph.below_views(each) != weight]
    seen: set[int] = set()
    between = False
    while waiting and len(seen) < NEAR:
        at = waiting.pop(0)
        if at in seen or graph.nodes[at].kind != "op":
            continue
        seen.add(at)
        if graph.nodes[at].op.startswith(_LAYERS):
            return at if between else None
        between = between or graph.below_views(at) == at
        waiting += graph.inputs(at)
    return None


def _units(graph: GraphOfPass, leaf: int) -> set[int]:
    """Return the sizes of a weight that can be the number of the layer's units."""
    value = graph.numbers.value(leaf)
    return {size for size in value.shape if size > 1} if value is not None else set()
