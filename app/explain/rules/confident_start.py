"""Report a classifier whose loss at the start is far above that of guessing.

## Why it matters

Before training, a classifier of K classes can only guess, so its loss should be about log K: 2.3 for ten classes. A far larger
loss means that the network is sure of wrong answers. The usual causes are inputs that are not scaled, such as pixels from 0 to
255, and initial weights that are too large. The first steps of the training then only make the
outputs smaller.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.rand(16, 4) * 255 * 4, torch.randint(10, (16,))
net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
for step in range(2):
    loss = nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Scale the inputs:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.rand(16, 4) * 255 * 4, torch.randint(10, (16,))
x = (x - x.mean()) / x.std()
net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
for step in range(2):
    loss = nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Networks with loaded weights, since they have been trained before.
- Losses below four times log K, or below log K plus 3.
- A batch of fewer than eight samples, and a loss that is not an average over samples.
- Scores that are products of two tensors other than weights, such as the scaled similarities of a contrastive loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import VIEWS, GraphOfPass, different_graphs
from ..wording import short

CODE: Final = "confident-start"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
FACTOR: Final = 4.0
"""Smallest ratio of the first loss to the loss of guessing."""
DISTANCE: Final = 3.0
"""Smallest difference between the first loss and the loss of guessing."""
STEPS: Final = 2
"""Smallest number of steps of a run. An optimizer must update parameters in each of these steps."""
SAMPLES: Final = 8
"""Smallest number of samples of the first batch. The loss of a few samples varies too much."""
_LOADS: Final = ("load_state_dict", "load", "from_pretrained", "hub")


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding if the first loss of a run is far above that of guessing."""
    count = recording.log.counts()[2]
    if count < STEPS or any(syntax.calls(name) for name in _LOADS):
        return
    if any(recording.log.step(index).optimizer is None for index in range(STEPS)):
        return
    graph = next(different_graphs(recording), None)
    if graph is None or graph.step != 0:
        return
    for index, node in enumerate(graph.nodes):
        if node.op == "NllLossBackward0" and node.line is not None and (inputs := graph.inputs(index)):
            if _are_similarities(graph, inputs[0]):
                return
            finding = _finding(graph, index, inputs[0])
            if finding is not None:
                yield finding
                return


def _are_similarities(graph: GraphOfPass, index: int) -> bool:
    """Return whether a softmax has a product of two tensors as its input, scaled or not, neither of which is a weight."""
    while (inputs := graph.inputs(index)) and graph.nodes[index].op.startswith((*VIEWS, "LogSoftmax", "Mul", "Div")):
        computed = [each for each in inputs if _is_product(graph, each)]
        index = computed[0] if computed else inputs[0]
    return _is_product(graph, index) and all(graph.before_views(each).kind != "leaf" for each in inputs[:2])


def _is_product(graph: GraphOfPass, index: int) -> bool:
    return graph.before_views(index).op.startswith(("Mm", "Bmm"))


def _finding(graph: GraphOfPass, index: int, softmax: int) -> model.Finding | None:
    loss, result = graph.numbers.value(index), graph.saved(softmax, "result")
    if (
        loss is None
        or loss.shape
        or result is None
        or len(result.shape) != 2
        or result.shape[0] < SAMPLES
        or result.shape[1] < 2
    ):
        return None
    guessing, value, mean = log(result.shape[1]), loss.mean, result.mean
    if not isinstance(value, float) or not isinstance(mean, float):
        return None
    limit = max(FACTOR * guessing, guessing + DISTANCE)
    # -mean, over all samples and classes, measures without the labels how sure the network is; a summed loss is far larger
    if value < limit or -mean < limit or value > -3 * mean:
        return None
    node = graph.nodes[index]
    return graph.warning(
        CODE,
        node,
        line=node.line,
        message=f"The first loss is {short(value)}, although guessing among {result.shape[1]} classes gives {short(guessing)}.",
        why="The network is sure of wrong answers before it has learned anything. Scale the inputs to a mean near 0 and a "
        "standard deviation near 1, and start from smaller weights.",
    )
