"""Report targets of a loss that are not probabilities, so that the loss can fall below 0.

## Why it matters

Binary cross entropy is at least 0 if each target is between 0 and 1. The same is true of cross entropy if the targets of a
sample are not negative and sum to 1. With other targets, such as −1 and 1, class indices or pixels up to 255, the loss has no
lower bound: it falls without end, and the outputs grow with it.

## Example

```python
import torch
import torch.nn.functional as F

logits = torch.zeros(4, requires_grad=True)
targets = torch.tensor([1.0, -1.0, 1.0, -1.0])
loss = F.binary_cross_entropy_with_logits(logits, targets)
loss.backward()
```

Map the targets to 0 and 1:

```python
import torch
import torch.nn.functional as F

logits = torch.zeros(4, requires_grad=True)
targets = torch.tensor([1.0, -1.0, 1.0, -1.0])
loss = F.binary_cross_entropy_with_logits(logits, (targets > 0).float())
loss.backward()
```

## What it does not report

Targets that are out of range by no more than rounding, and `binary_cross_entropy`, which checks its targets itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import short

CODE: Final = "targets-out-of-range"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
ROUNDING: Final = 1e-3
"""Distance from the range, and of a sum from 1, that counts as rounding."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line on which a cross entropy gets targets that are not probabilities."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            sentences = _binary(graph, index) or _of_classes(graph, index)
            if sentences is not None and node.line not in reported:
                reported.add(node.line)
                yield graph.warning(
                    CODE,
                    node,
                    line=node.line,
                    message=sentences[0],
                    why=sentences[1],
                )


def _binary(graph: GraphOfPass, index: int) -> tuple[str, str] | None:
    """Return the sentences about a binary cross entropy whose targets are out of range."""
    if graph.nodes[index].op != "BinaryCrossEntropyWithLogitsBackward0":
        return None
    target = graph.saved(index, "target")
    if target is None or not _out_of_range(target):
        return None
    low, high = _number(target.min), _number(target.max)
    message = f"The targets of `binary_cross_entropy_with_logits` range from {short(low)} to {short(high)}, not from 0 to 1."
    why = "They are not probabilities, so the loss has no lower bound and training makes the outputs grow without end. "
    remedies = {
        "-1": "Map −1 to 0: `(targets + 1) / 2`.",
        "255": "Divide the pixels by 255.",
        "": "For classes, use `cross_entropy`; for other numbers, scale them to the range or use `mse_loss`.",
    }
    return message, why + remedies["-1" if (low, high) == (-1, 1) else "255" if high in (254, 255) else ""]


def _of_classes(graph: GraphOfPass, index: int) -> tuple[str, str] | None:
    """Return the sentences about a cross entropy whose targets should be probabilities of classes and are not."""
    node = graph.nodes[index]
    inputs = graph.inputs(index)
    if node.op != "MulBackward0" or node.call != "cross_entropy_loss" or len(inputs) != 2:
        return None
    target, softmax = (graph.numbers.value(inputs[1]), inputs[0])
    result = graph.saved(softmax, "result")
    if (
        target is None
        or result is None
        or target.shape != result.shape
        or len(target.shape) < 2
        or graph.nodes[inputs[1]].kind != "constant"
    ):
        return None
    classes, mean = target.shape[1], _number(target.mean)
    if not _out_of_range(target) and abs(mean * classes - 1) <= ROUNDING:
        return None
    message = "The targets of `cross_entropy` have the shape of the logits but are not probabilities: "
    message += (
        f"they range from {short(_number(target.min))} to {short(_number(target.max))}."
        if _out_of_range(target)
        else f"they sum to {short(mean * classes)} per sample on average."
    )
    why = "Such targets must not be negative, and those of a sample must sum to 1. Pass `softmax` of scores, or class indices."
    return message, why


def _out_of_range(target: model.TensorSummary) -> bool:
    return bool(prod(target.shape)) and (_number(target.min) < -ROUNDING or _number(target.max) > 1 + ROUNDING)


def _number(value: float | str | None) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
