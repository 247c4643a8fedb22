"""Report a softmax or sigmoid before a loss function that applies one itself.

## Why it matters

`cross_entropy` expects logits, the plain outputs of a network, and applies `log_softmax` itself. If it gets the result of a
softmax, its input is between 0 and 1. The loss then cannot approach 0, and the gradients are small. Training runs without an
error and stops improving early. The same is true of a sigmoid before `binary_cross_entropy_with_logits`, of a softmax of a
softmax, and of formulas such as `e / e.sum(1, keepdim=True)` and `1 / (1 + torch.exp(-z))`.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
```

Pass the logits:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Sequential(nn.Linear(4, 3))
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
```

## What it does not report

- `log_softmax` before `cross_entropy`: a second `log_softmax` returns the same numbers as the first.
- A softmax with other operations between it and the loss, such as attention, or a temperature.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from ..recorded.probabilities import written_out

CODE: Final = "softmax-twice"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_FIRST: Final = {
    "LogSoftmaxBackward0": ({"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid"}, "log_softmax"),
    "BinaryCrossEntropyWithLogitsBackward0": ({"SigmoidBackward0": "sigmoid", "SoftmaxBackward0": "softmax"}, "sigmoid"),
    "SoftmaxBackward0": ({"SoftmaxBackward0": "softmax"}, "softmax"),
    "SigmoidBackward0": ({"SigmoidBackward0": "sigmoid"}, "sigmoid"),
}
"""For each function, the functions that must not precede it, with their names, and the function that it applies itself."""
_ACTIVATIONS: Final = frozenset({"SoftmaxBackward0", "SigmoidBackward0"})


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line on which a loss gets the result of a softmax or sigmoid."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            if node.op in _FIRST and node.line not in reported:
                before, inner = _FIRST[node.op]
                below = _below(graph, index)
                name = before.get(graph.nodes[below].op) if below is not None else None
                if name is None and below is not None and node.op not in _ACTIVATIONS:
                    name = written_out(graph, below)
                if name is not None and below is not None and (node.op != "SigmoidBackward0" or _is_probability(graph, index)):
                    reported.add(node.line)
                    yield _finding(graph, node, graph.nodes[below], name, inner)


def _below(graph: GraphOfPass, index: int) -> int | None:
    """Return the first input of a node or, if the input only reshapes or clamps, the first node below it that does more."""
    for each in graph.inputs(index)[:1]:
        at = graph.below_views(each)
        while graph.nodes[at].op.startswith("Clamp") and (inputs := graph.inputs(at)):
            at = graph.below_views(inputs[0])
        return at
    return None


def _is_probability(graph: GraphOfPass, index: int) -> bool:
    """Return whether a loss reads the result of a node as probabilities. Elsewhere, a sigmoid may follow a sigmoid."""
    return any(graph.nodes[user].op == "BinaryCrossEntropyBackward0" for user, _ in graph.users(index))


def _finding(graph: GraphOfPass, loss: model.Node, below: model.Node, name: str, inner: str) -> model.Finding:
    function = _function(loss)
    by = f"`{below.module}`" if below.module else f"`{name}` on line {below.line}" if below.line else f"`{name}`"
    if loss.op in _ACTIVATIONS:
        what = f"`{inner}` gets the result of a {name}, computed by {by}, so {name} is applied twice."
        why = f"After a second {name}, the results lie close together, and the gradients are small. Apply it once."
        return _of_line(graph, loss, below, what, why)
    what = f"`{function}` gets the result of a {name}, computed by {by}, but expects logits."
    why = (
        f"`{function}` applies `{inner}` itself. With inputs between 0 and 1, the loss cannot approach 0, and the gradients "
        f"are small. Pass the outputs of the last layer, without the {name}."
    )
    return _of_line(graph, loss, below, what, why)


def _of_line(graph: GraphOfPass, loss: model.Node, below: model.Node, message: str, why: str) -> model.Finding:
    return graph.warning(
        CODE,
        below,
        line=loss.line,
        message=message,
        why=why,
    )


def _function(loss: model.Node) -> str:
    name = (loss.call or "").rpartition(".")[2]
    return "cross_entropy" if name == "cross_entropy_loss" else name or "the loss"
