"""Report parameters whose gradient is exactly 0 in every step, because a function on the way has the slope 0 everywhere.

## Why it matters

`round`, `floor`, `sign` and similar functions are constant between their jumps. Their derivative is 0, so `backward()` runs
without an error and gives 0 to everything below them. The parameters there never change.

## Example

```python
import torch

x = torch.tensor([0.3, 1.7])
w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    loss = ((w * x).round() - 2).pow(2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Let the gradient pass the rounding unchanged (a straight-through estimator):

```python
import torch

x = torch.tensor([0.3, 1.7])
w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    z = w * x
    loss = (z + (z.round() - z).detach() - 2).pow(2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Parameters that also get a gradient in another way.
- Gradients that are 0 for other reasons: a hook, a mask, or a ReLU that returns only zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final

from ... import model
from ...recording import Recording
from ..passes import GraphOfPass, different_graphs
from ..steps import always_zero
from ..syntax import Syntax
from ..wording import listed

CODE: Final = "zero-gradient"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning", "note")
STEPS: Final = 2
"""Number of steps below which a run is too short to be sure."""
_CONSTANT: Final = {
    "RoundBackward0": "round", "RoundBackward1": "round", "FloorBackward0": "floor", "CeilBackward0": "ceil",
    "TruncBackward0": "trunc", "SignBackward0": "sign", "SgnBackward0": "sgn", "FloorDivideBackward0": "floor_divide",
}  # fmt: skip
"""Functions whose derivative is 0 wherever it exists, by the name of their node."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line with such a function, if it is the only way to a parameter."""
    zero, steps = always_zero(recording, "contribution")
    reported: set[int | None] = set()
    for graph in different_graphs(recording) if zero else ():
        for index, node in enumerate(graph.nodes):
            if node.op in _CONSTANT and node.line not in reported and _arrives(graph, index):
                stopped = [graph.nodes[leaf] for leaf in graph.leaves(index)]
                names = [leaf.name or leaf.op for leaf in stopped if leaf.parameter in zero]
                if names:
                    reported.add(node.line)
                    yield _finding(graph, node, names, steps)


def _arrives(graph: GraphOfPass, index: int) -> bool:
    """Return whether a gradient other than 0 arrives at a node."""
    arrived = graph.numbers.arrived(index)
    return arrived is not None and arrived.zeros is not None and arrived.zeros < prod(arrived.shape)


def _finding(graph: GraphOfPass, node: model.Node, names: list[str], steps: int) -> model.Finding:
    thin = steps < STEPS
    when = "in the only step" if steps == 1 else f"in each of the first {steps} steps"
    function = _CONSTANT[node.op]
    return model.Finding(
        code=CODE,
        severity="note" if thin else "warning",
        file=None,
        line=node.line,
        step=graph.step,
        node=node.id,
        message=f"Each element of the gradient of {listed(names)} is 0 {when}: the derivative of `{function}` is 0 everywhere.",
        why=f"`{function}` is constant between its jumps, so no gradient passes it. For an input `z`, "
        f"`z + (z.{function}() - z).detach()` has the same value and lets the gradient pass unchanged.",
        pass_=graph.pass_,
    )
