"""Report a network that is trained in evaluation mode, because `train()` was not called again after `eval()`.

## Why it matters

`eval()` switches dropout off and lets batch normalization use its running statistics. Both stay that way until `train()` is
called. A training loop that evaluates after each epoch, and does not switch back, trains without dropout and with frozen
statistics from the second epoch on.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(4):
    loss = ((net(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    net.eval()
    with torch.no_grad():
        print(((net(x) - y) ** 2).mean())
```

Call `train()` before each epoch:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(4):
    net.train()
    loss = ((net(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    net.eval()
    with torch.no_grad():
        print(((net(x) - y) ** 2).mean())
```

## What it does not report

- Networks without dropout and batch normalization, which do the same in both modes.
- Layers that the program switches to evaluation mode one by one, as for frozen statistics.
- Passes in evaluation mode that no update follows, such as an attack on the input.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax, called
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import first_line

CODE: Final = "evaluation-mode"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
UPDATES: Final = 2
"""Smallest number of updates in evaluation mode."""
_DROPOUT: Final = frozenset({"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"})
_LAYERS: Final = ("BatchNorm", "SyncBatchNorm", "InstanceNorm", "Dropout", "AlphaDropout", "FeatureAlphaDropout")
STEPS: Final = 50
"""Largest number of steps that are examined."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for the call of ``eval()`` after which the program continues to train."""
    calls = list(_switches(syntax))
    if not calls:
        return
    never = not any(called(call) == "train" and call not in calls for call in syntax.statements(ast.Call))
    off = never and any(called(call) in _DROPOUT for call in syntax.statements(ast.Call))
    modes = _Modes(recording, without_dropout=off)
    steps = [index for index in range(min(recording.log.counts()[2], STEPS)) if modes.evaluates(recording.log.step(index))]
    if len(steps) < UPDATES:
        return
    call = calls[0]
    owner = first_line(syntax.text(call.func.value)) if isinstance(call.func, ast.Attribute) else "the network"
    layer = "batch normalization uses its running statistics" if modes.normalizes else "dropout is off"
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=call.lineno,
        step=steps[0],
        node=None,
        message=f"`{owner}` is in evaluation mode while it is trained, from step {steps[0]} on: {layer}.",
        why=f"`eval()` on line {call.lineno} stays in effect until `train()` is called. Call `{owner}.train()` before the "
        "training continues.",
    )


def _switches(syntax: Syntax) -> Iterator[ast.Call]:
    """Yield the calls of ``eval()`` or ``train(False)``, except those on a layer, a tokenizer or the variable of a loop."""
    for call in syntax.statements(ast.Call):
        match call:
            case ast.Call(func=ast.Attribute(attr="eval", value=value), args=[]):
                pass
            case ast.Call(func=ast.Attribute(attr="train", value=value), args=[ast.Constant(value=False)]):
                pass
            case _:
                continue
        of_loop = any(
            isinstance(value, ast.Name)
            and value.id in {each.id for each in ast.walk(loop.target) if isinstance(each, ast.Name)}
            for loop in syntax.statements(ast.For)
        )
        if not of_loop and "tokenizer" not in syntax.text(value) and not _is_layer(syntax, value):
            yield call


def _is_layer(syntax: Syntax, value: ast.expr) -> bool:
    """Return whether an expression makes a single layer of normalization or dropout, or is a name of one."""
    made = [value, *syntax.assigned(syntax.text(value))]
    return any(isinstance(each, ast.Call) and (called(each) or "").startswith(_LAYERS) for each in made)


class _Modes:
    """Detects passes in evaluation mode by the nodes of their graphs."""

    def __init__(self, recording: Recording, *, without_dropout: bool) -> None:
        """``without_dropout`` is true if the program makes a dropout layer and never calls ``train()``."""
        self._recording = recording
        self._without_dropout = without_dropout
        self._graphs = {graph.graph: graph for graph in different_graphs(recording)}
        self._normalizations = {
            index: [at for at, node in enumerate(graph.nodes) if node.op.startswith("NativeBatchNorm")]
            for index, graph in self._graphs.items()
        }
        self._dropout = {
            index: any((node.call or "").endswith("dropout") for node in graph.nodes) for index, graph in self._graphs.items()
        }
        self.normalizes = any(self._normalizations.values())

    def evaluates(self, step: wire.StepEvent) -> bool:
        """Return whether the main pass of a step with an update went through a network in evaluation mode.

        Batch normalization saves the statistics of the batch in training mode only. A graph without dropout
        counts as evaluation if another pass of the same line went through dropout.
        """
        index = self._recording.log.pass_(step.main).graph if step.main >= 0 else -1
        if step.optimizer is None or index not in self._graphs:
            return False
        if self._normalizations[index]:
            graph = GraphOfPass(self._recording, step.main, step.index, index)
            saved = [graph.saved(at, "result1") for at in self._normalizations[index]]
            return all(each is not None and each.shape == [0] for each in saved)
        if not any(self._dropout.values()):
            return self._without_dropout
        return not self._dropout[index] and any(self._alike(index, other) for other, has in self._dropout.items() if has)

    def _alike(self, graph: int, other: int) -> bool:
        """Return whether a graph has fewer nodes than another one whose pass starts on the same line."""
        one, two = self._graphs[graph], self._graphs[other]
        lines = (self._recording.log.pass_(each.pass_).line for each in (one, two))
        return len(set(lines)) == 1 and len(one.nodes) < len(two.nodes)
