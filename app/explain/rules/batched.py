"""Report that the numbers of a graph are not shown because it was computed under `vmap`.

## Why it matters

Under `vmap` one tensor represents a whole batch at once. Its elements cannot be shown, so the graph has nodes and edges but no
values and no gradients.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x * 2
rows, = torch.autograd.grad(y, x, torch.eye(3), is_grads_batched=True)
```

One pass per row shows all numbers:

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x * 2
rows = [torch.autograd.grad(y, x, row, retain_graph=True)[0] for row in torch.eye(3)]
```

## What it does not report

Ordinary batches, where the batch is a dimension of the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "batched"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the first pass under ``vmap``."""
    for signal in recording.signals(wire.Batched):
        yield note(
            CODE,
            signal.line,
            "Under `vmap` the graph is shown, but its numbers are not.",
            "Under `vmap`, each tensor represents a whole batch, so it has no elements that could be shown.",
        )
