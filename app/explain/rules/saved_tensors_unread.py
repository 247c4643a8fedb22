"""Report that saved tensors are not shown because the program's own hooks store them.

## Why it matters

Under `saved_tensors_hooks`, `save_on_cpu` or a checkpoint, reading a saved tensor calls a function of the program or
repeats a part of its forward pass. Tapedeck does not do that: observing a program must not change it. The graph and all
gradients are still shown.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
with torch.autograd.graph.save_on_cpu():
    y = x.exp()
y.sum().backward()
```

Without the hooks, the saved tensors are shown:

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x.exp()
y.sum().backward()
```

## What it does not report

Tensors that an operation did not need to save.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "saved-tensors-unread"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the first pass in which tensors were not read."""
    for signal in recording.signals(wire.SavedTensorsUnread):
        yield note(
            CODE,
            signal.line,
            "Tensors saved under your own hooks are not shown (`saved_tensors_hooks`, `save_on_cpu` or a checkpoint).",
            "Reading them would call your unpack hook, or recompute a checkpoint, more often than your program does by itself.",
        )
