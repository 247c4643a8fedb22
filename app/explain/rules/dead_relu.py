"""Report a ReLU that returns only zeros, so that no parameter below it learns.

## Why it matters

Where ReLU returns zero, its slope is zero and no gradient passes. If it returns zero for every input, the parameters below it
receive no gradient at all, and training cannot revive it. A common cause is an update that was too large.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(16, 4)
y = x.sum(1, keepdim=True)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
nn.init.constant_(net[0].bias, -100.0)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(25):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
```

Leave the initial bias near zero, or use `nn.LeakyReLU`:

```python
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(16, 4)
y = x.sum(1, keepdim=True)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(25):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Single units that are zero while other units of the same layer are not.
- A ReLU that is part of a loss, such as a hinge. There, zero means that the condition is met.

A run of fewer than 20 steps is too short for a warning, unless all inputs of the ReLU are far below zero. The finding is then a
note.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Final

from ... import model
from ...recording import PassNumbers, Recording
from ..program.syntax import Syntax
from ..wording import listed

CODE: Final = "dead-relu"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning", "note")
STEPS: Final = 20
"""Number of steps at the end of a run in which a ReLU must be dead."""
FEW: Final = 3
"""Number of steps that suffice if the inputs of the ReLU are further away from zero than from each other."""
NODES: Final = 2_000
"""Largest number of nodes of a graph that is searched."""
_THIN: Final = "The run is too short to be sure, because other data may give other values. "
_RELUS: Final = ("Relu", "ClampMin")
_LAYERS: Final = ("Addmm", "Mm", "Bmm", "Mv", "Convolution", "ConvolutionOverrideable", "MkldnnLinear")
"""Operations that apply weights. A ReLU without such an operation above it is part of a loss and may be zero."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each ReLU whose outputs, and all gradients below it, are zero in each of the last steps.

    In a short run the finding is a note.
    """
    count = recording.log.counts()[2]
    mains = [recording.log.step(index).main for index in range(max(0, count - STEPS), count)]
    if not mains or min(mains) < 0:
        return
    thin = len(mains) < STEPS
    graphs = {recording.log.pass_(main).graph for main in mains}
    if len(graphs) != 1 or (graph := graphs.pop()) < 0 or len(recording.graph(graph).nodes) > NODES:
        return
    nodes = recording.graph(graph).nodes
    dead = [index for index, node in enumerate(nodes) if node.kind == "op" and node.op.startswith(_RELUS)]
    if not dead:
        return
    paths = _Paths(recording.numbers(mains[0]))
    fed = paths.feeding_layers()
    if not thin:
        dead = [each for each in dead if each in fed]
    for main in mains:
        if not dead:
            return
        numbers = recording.numbers(main)
        norms = {index: _norm(numbers, index) for index, node in enumerate(nodes) if node.kind == "leaf"}
        above_learning = paths.above(leaf for leaf, norm in norms.items() if norm != 0)
        dead = [each for each in dead if _is_zero(numbers, each) and each in paths.above_leaves and each not in above_learning]
        learns = any(norms.values())
        if not thin and not learns:
            return
        if thin and learns:
            dead = [each for each in dead if each in fed]
    far = {each for each in dead if thin and len(mains) >= FEW and all(_is_far(recording, main, paths, each) for main in mains)}
    when = "in the only step" if len(mains) == 1 else f"in each of the {'last ' * (not thin)}{len(mains)} steps"
    for index in dead:
        node = nodes[index]
        names = [nodes[leaf].name or nodes[leaf].op for leaf in paths.leaves(index)]
        unsure = thin and index not in far
        yield model.Finding(
            code=CODE,
            severity="note" if unsure else "warning",
            file=None,
            line=node.line,
            step=count - 1,
            node=node.id,
            message=f"This ReLU returned only zeros {when}, so {listed(names)} "
            f"{'did' if unsure else 'does' if len(names) == 1 else 'do'} not learn.",
            why=f"{_THIN if unsure else ''}Where ReLU returns zero, its slope is zero, and no gradient reaches the layers "
            "below. A smaller learning rate, other initial weights or `leaky_relu` prevent this.",
            pass_=mains[-1],
        )


def _is_zero(numbers: PassNumbers, index: int) -> bool:
    """Return whether the value of a node has several elements and all of them are zero."""
    value = numbers.value(index)
    return value is not None and value.zeros is not None and value.zeros == prod(value.shape) > 1


def _is_far(recording: Recording, main: int, paths: _Paths, index: int) -> bool:
    """Return whether the inputs of a ReLU are all negative, and further away from zero than from each other."""
    numbers = recording.numbers(main)
    for each in paths.inputs(index):
        value = numbers.value(each)
        low, high = (value.min, value.max) if value is not None else (None, None)
        return isinstance(low, float | int) and isinstance(high, float | int) and high + (high - low) < 0
    return False


def _norm(numbers: PassNumbers, leaf: int) -> float | None:
    gradient = numbers.used(leaf)
    return gradient.norm if gradient is not None and isinstance(gradient.norm, float) else None


class _Paths:
    """The paths that gradients take through a graph."""

    def __init__(self, numbers: PassNumbers) -> None:
        self._nodes = numbers.graph.nodes
        self._up: dict[int, list[int]] = {}
        self._down: dict[int, list[int]] = {}
        for edge in numbers.graph.edges:
            if edge.gradient:
                source, target = numbers.node_index(edge.source), numbers.node_index(edge.target)
                self._up.setdefault(target, []).append(source)
                self._down.setdefault(source, []).append(target)

        self.above_leaves = self.above(index for index, node in enumerate(self._nodes) if node.kind == "leaf")
        """The nodes with a leaf below them."""

    def inputs(self, index: int) -> list[int]:
        """Return the nodes to which a node sends gradients."""
        return self._down.get(index, [])

    def leaves(self, index: int) -> list[int]:
        """Return the leaves below a node."""
        return sorted(each for each in _reached([index], self._down) if self._nodes[each].kind == "leaf")

    def above(self, below: Iterable[int]) -> set[int]:
        """Return the nodes above any of the nodes ``below``."""
        return _reached(below, self._up)

    def feeding_layers(self) -> set[int]:
        """Return the nodes with a layer between them and the root."""
        layers = (index for index, node in enumerate(self._nodes) if node.op.startswith(_LAYERS))
        return _reached(layers, self._down)


def _reached(starts: Iterable[int], edges: dict[int, list[int]]) -> set[int]:
    """Return the nodes that edges lead to from any of ``starts``."""
    waiting = list(starts)
    seen: set[int] = set()
    while waiting:
        for each in edges.get(waiting.pop(), ()):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return seen
