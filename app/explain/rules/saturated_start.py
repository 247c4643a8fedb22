"""Report a sigmoid or tanh that is saturated from the first step, so that hardly any gradient passes it.

## Why it matters

Far from 0, sigmoid and tanh are flat. If their inputs are large from the start, all outputs lie near the bounds, where the
slope is nearly 0. The layers below then learn very slowly or not at all. The usual causes are inputs that are not scaled and
initial weights that are too large.

## Example

```python
import torch

torch.manual_seed(0)
x, y = torch.randn(16, 50) * 10, torch.randn(16, 1)
w1, w2 = torch.randn(50, 50, requires_grad=True), torch.randn(50, 1, requires_grad=True)
optimizer = torch.optim.SGD([w1, w2], lr=0.001)
for step in range(2):
    h = torch.tanh(x @ w1)
    loss = ((h @ w2 - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Scale the inputs and the initial weights:

```python
import torch

torch.manual_seed(0)
x, y = torch.randn(16, 50), torch.randn(16, 1)
w1, w2 = torch.randn(50, 50) * 0.1, torch.randn(50, 1) * 0.1
w1.requires_grad_(), w2.requires_grad_()
optimizer = torch.optim.SGD([w1, w2], lr=0.001)
for step in range(2):
    h = torch.tanh(x @ w1)
    loss = ((h @ w2 - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Activations that saturate later, when a network has become sure of its answers.
- Activations with fewer than 16 outputs, and the gates of recurrent layers.
- Networks whose weights were loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import listed, short

CODE: Final = "saturated-start"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
SLOPE: Final = 0.05
"""Largest mean slope of a saturated activation, as a share of its greatest slope."""
OUTPUTS: Final = 16
"""Smallest number of outputs of an activation."""
STEPS: Final = 2
"""Smallest number of steps of a run."""
_LOADS: Final = ("load_state_dict", "load", "from_pretrained", "hub")
_SLOPES: Final = {"TanhBackward0": "tanh", "SigmoidBackward0": "sigmoid"}


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line with a saturated sigmoid or tanh in the first pass of a run."""
    if recording.log.counts()[2] < STEPS or any(syntax.calls(name) for name in _LOADS):
        return
    if recording.log.step(0).optimizer is None:
        return
    graph = next(different_graphs(recording), None)
    if graph is None or graph.step != 0:
        return
    reported: set[int | None] = set()
    for index, node in enumerate(graph.nodes):
        if node.op not in _SLOPES or node.line is None or node.line in reported:
            continue
        slope = _slope(graph, index)
        leaves = [graph.nodes[leaf] for leaf in graph.leaves(index)] if slope is not None and slope < SLOPE else []
        names = [leaf.name for leaf in leaves if leaf.name is not None and leaf.parameter is not None]
        if slope is not None and names:
            reported.add(node.line)
            function = _SLOPES[node.op]
            yield graph.warning(
                CODE,
                node,
                line=node.line,
                message=f"This {function} is saturated in the first step: its mean slope is {short(100 * slope)} % of the "
                "greatest slope.",
                why="Its inputs are so large that nearly all outputs lie at the bounds, where the slope is nearly 0. "
                f"Hardly any gradient reaches {listed(names)}. Scale the inputs to a standard deviation near 1, and start from "
                "smaller weights.",
            )


def _slope(graph: GraphOfPass, index: int) -> float | None:
    """Return the mean slope of an activation as a share of its greatest slope, computed from the statistics of its outputs.

    The slope of tanh is ``1 - y²``, that of sigmoid ``y (1 - y)`` with a greatest value of ¼.
    """
    value = graph.numbers.value(index)
    count = prod(value.shape) if value is not None else 0
    if value is None or count < OUTPUTS or not isinstance(value.norm, float) or not isinstance(value.mean, float):
        return None
    squares = value.norm**2 / count
    return 1 - squares if graph.nodes[index].op == "TanhBackward0" else 4 * (value.mean - squares)
