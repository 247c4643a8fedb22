"""Report parameters whose gradient is exactly 0 in every step, because a function on the way passes no gradient.

## Why it matters

`round`, `floor`, `sign` and similar functions are constant between their jumps. Their derivative is 0, so `backward()` runs
without an error and gives 0 to everything below them. The same happens if a softmax has only one class, or if `clamp` gets
only numbers outside of its bounds. It also happens if both factors of a product are 0, or if the uses of a tensor cancel, as
in `w / w`. The parameters below never change.

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

- Parameters that also get a gradient on another path.
- Gradients that are 0 for other reasons: a hook, a mask, or a ReLU that returns only zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Final

from ... import model
from ...recording import Recording
from ..program.initial import initial_line
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from ..recorded.steps import always_zero, is_zero
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


_SINGLE: Final = {"SoftmaxBackward0": ("softmax", 1), "LogSoftmaxBackward0": ("log_softmax", 0)}
"""For each function, its name and its result if there is only one class."""
_CLAMPS: Final = ("Clamp", "Hardtanh", "Hardsigmoid")
_PRODUCTS: Final = ("MulBackward0", "MmBackward0", "BmmBackward0", "MvBackward0", "DotBackward0", "AddmmBackward0")
_COMPARISONS: Final = ("MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss")


@dataclass(frozen=True)
class _Obstacle:
    """A node that passes no gradient, with the end of a sentence that says why, and a sentence about the remedy.

    ``initial`` is true if the initial numbers of the parameters are the cause.
    """

    node: int
    why: str
    remedy: str
    initial: bool = False


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that passes no gradient, if a parameter gets no gradient on another path."""
    zero, steps = always_zero(recording, "contribution")
    reported: set[int | None] = set()
    for graph in different_graphs(recording) if zero else ():
        all_zero = all(node.parameter in zero for node in graph.nodes if node.parameter is not None)
        for index, node in enumerate(graph.nodes):
            cause = _cause(graph, index) or (_cancelled(graph, index) if all_zero else None)
            line = graph.nodes[cause.node].line if cause is not None else None
            if cause is not None and line not in reported:
                stopped = [graph.nodes[leaf] for leaf in graph.leaves(cause.node)] if node.kind != "leaf" else [node]
                names = [leaf.name or leaf.op for leaf in stopped if leaf.parameter in zero]
                if names:
                    reported.add(line)
                    first = initial_line(syntax, names) if cause.initial else None
                    yield _finding(graph, graph.nodes[cause.node], names, steps, cause, first or line)


def _cause(graph: GraphOfPass, index: int) -> _Obstacle | None:
    """Return the reason why no gradient passes a node; ``None`` if a gradient passes, or if none arrives."""
    node = graph.nodes[index]
    if node.op in _CONSTANT and _arrives(graph, index):
        function = _CONSTANT[node.op]
        return _Obstacle(
            index,
            f"the derivative of `{function}` is 0 everywhere.",
            f"`{function}` is constant between its jumps, so no gradient passes it. If `z` is its argument, "
            f"`z + (z.{function}() - z).detach()` has the same value and lets the gradient pass unchanged.",
        )
    if node.kind != "op" or not _arrives(graph, index) or not _stops(graph, index):
        return None
    value = graph.numbers.value(index) or graph.saved(index, "result")
    if node.op in _SINGLE and value is not None and value.min == value.max == _SINGLE[node.op][1]:
        remedy = "For two classes with one output, use a sigmoid. Otherwise, check the argument `dim`."
        return _Obstacle(index, f"the `{_SINGLE[node.op][0]}` of a single number is always {_SINGLE[node.op][1]}.", remedy)
    if node.op.startswith(_CLAMPS):
        remedy = "Start from numbers within the bounds, or use a function that is not flat outside of them, such as a sigmoid."
        return _Obstacle(index, "every number that is clamped lies outside of the bounds.", remedy)
    inputs = graph.inputs(index)
    if node.op.startswith(_COMPARISONS) and len(inputs) == 2 and inputs[0] == inputs[1]:
        return _Obstacle(index, "the loss compares a tensor with itself.", "Pass the target as the second argument.")
    if node.op in _PRODUCTS and is_zero(value) and sum(graph.nodes[each].kind != "constant" for each in inputs) > 1:
        remedy = "The gradient of each factor is a multiple of the other factor. Start one of them from random numbers."
        return _Obstacle(index, "both factors of a product are 0.", remedy, True)
    return None


def _cancelled(graph: GraphOfPass, index: int) -> _Obstacle | None:
    """Return the cause if several gradients arrive at a node and their sum is 0.

    Such a sum alone is not a mistake. For example, the gradient of a critic's bias cancels if the critic compares two batches.
    """
    if not is_zero(graph.numbers.arrived(index)):
        return None
    sources = [source for source, edge in graph.users(index) if not is_zero(graph.numbers.edge(edge))]
    if len(sources) < 2 or graph.numbers.edge(graph.users(index)[0][1]) is None:
        return None
    remedy = (
        "The result does not depend on the tensor, as in `w / w` or `w - w`. Check which tensors the expression should combine."
    )
    return _Obstacle(min(sources), "its uses cancel each other.", remedy)


def _arrives(graph: GraphOfPass, index: int) -> bool:
    """Return whether a gradient other than 0 arrives at a node."""
    arrived = graph.numbers.arrived(index)
    return arrived is not None and arrived.zeros is not None and arrived.zeros < prod(arrived.shape)


def _stops(graph: GraphOfPass, index: int) -> bool:
    """Return whether each gradient that a node passes on is 0."""
    passed = [graph.numbers.edge(edge) for edge, target in graph.edges(index) if graph.nodes[target].kind != "constant"]
    return bool(passed) and all(is_zero(each) for each in passed)


def _finding(
    graph: GraphOfPass, node: model.Node, names: list[str], steps: int, cause: _Obstacle, line: int | None
) -> model.Finding:
    thin = steps < STEPS
    when = "in the only step" if steps == 1 else f"in each of the first {steps} steps"
    return model.Finding(
        code=CODE,
        severity="note" if thin else "warning",
        file=None,
        line=line,
        step=graph.step,
        node=node.id,
        message=f"Each element of the gradient of {listed(names)} is 0 {when}: {cause.why}",
        why=cause.remedy,
        pass_=graph.pass_,
    )
