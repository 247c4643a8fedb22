"""Report a backward pass that was not recorded because its graph has too many nodes.

## Why it matters

The pass ran and the program has its gradients, but the recording does not show them. A graph often grows this large by
accident: a loop adds to a tensor in every iteration, and only one `backward()` follows at the end.

## Example

```python
import torch

x = torch.ones((), requires_grad=True)
total = x
for step in range(300_000):
    total = total + x
total.backward()
```

Call `backward()` in every iteration, which keeps each graph small:

```python
import torch

x = torch.ones((), requires_grad=True)
for step in range(100):
    (x * 2).backward()
```

## What it does not report

Large graphs below the limit, which is `nodes` in `GET /api/v1/limits`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax

CODE: Final = "graph-too-large"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a warning for each pass that was left out."""
    for signal in recording.signals(wire.GraphTooLarge):
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=signal.line if signal.line > 0 else None,
            step=None,
            node=None,
            message=f"This pass ran, but it was not recorded: its graph has more than {signal.limit:,} nodes.",
            why="Everything before this pass was recorded. "
            "For a smaller graph, call `backward()` after fewer steps, or call `detach()` on results that later steps use.",
        )
