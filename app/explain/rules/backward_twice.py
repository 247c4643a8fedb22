"""Report a second backward pass through a graph that the first pass has freed.

## Why it matters

A backward pass frees the tensors saved in the graph as it goes. A second pass through the same graph fails. This happens when
`backward()` is called twice on one loss, when two losses share a part of their graph, or when a loop carries a state from one
iteration to the next together with its graph.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
loss = (x * x).sum()
loss.backward()
loss.backward()
```

Compute the loss again before each `backward()`:

```python
import torch

x = torch.ones(3, requires_grad=True)
for step in range(2):
    loss = (x * x).sum()
    loss.backward()
```

To run a second pass over the same graph on purpose, keep the graph in the first one: `loss.backward(retain_graph=True)`.

## What it does not report

Repeated passes through a graph that was kept with `retain_graph=True`, or through a graph that saved no tensors.
"""

from __future__ import annotations

from typing import Final

from ... import model
from ..failure import Failure

CODE: Final = "backward-twice"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"backward through the graph a second time"
_FREED = "A pass frees the tensors that the graph saved, so it can run through a graph only once."


def explain(failure: Failure) -> model.Finding:
    """Return the finding: the two lines that ran backward, and what they have in common."""
    exception, recording = failure.exception, failure.recording
    line, operation = failure.calling_line, failure.operation
    earlier = recording.log.pass_(exception.earlier) if exception.earlier is not None else None
    this = recording.log.pass_(exception.pass_) if exception.pass_ is not None else None
    if earlier is None or this is None:
        message = f"{line} runs backward through {operation} a second time."
        why = f"{_FREED} Compute the result again before each `backward()`."
        return failure.finding(CODE, message, why, line=exception.line)
    if earlier.line == this.line and this.line > 0 and earlier.graph != this.graph:
        name = exception.node.name if exception.node is not None else None
        carried = f"`{name}`" if name else "A result computed there"
        detach = f"`{name} = {name}.detach()`" if name else "with `detach()`"
        message = f"{line} runs backward into the previous iteration, through {operation}."
        why = (
            f"{carried} is carried over from one iteration to the next, together with its graph. {_FREED} "
            f"Cut the graph at the end of each iteration: {detach}."
        )
        return failure.finding(CODE, message, why, line=exception.line)
    before = f"line {earlier.line}" if earlier.line > 0 else "an earlier pass"
    message = f"{line} runs backward through {operation}, but {before} has already done so."
    if earlier.graph == this.graph:
        remedy = "Compute the loss again before each `backward()`, or keep the graph in the first pass: `retain_graph=True`."
    else:
        remedy = "Keep the shared part in the first pass with `retain_graph=True`, or add the losses and run backward once."
    fix = _retain(failure, earlier.line, this.line)
    return failure.finding(CODE, message, f"{_FREED} {remedy}", line=exception.line, fix=fix)


def _retain(failure: Failure, first_line: int, second_line: int) -> model.Fix | None:
    """Return the fix that keeps the graph in the first pass, unless more than two passes may follow."""
    first, second = (failure.syntax.call(line, "backward", "grad") for line in (first_line, second_line))
    if second is None or (first is not second and failure.syntax.in_loop(second)):
        return None
    if first is None or any(keyword.arg in ("retain_graph", None) for keyword in first.keywords):
        return None
    return model.Fix("Keep the graph for the second pass", [failure.syntax.argument(first, "retain_graph=True")])
