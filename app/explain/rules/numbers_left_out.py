"""Report that numbers of a large graph were left out of the recording.

## Why it matters

The recording of one pass has a limited size. Beyond this limit, the elements of tensors are left out first, and then their
statistics. Nodes, edges and shapes are always complete, but checks that need the missing numbers cannot run.

## Example

```python
import torch

x = torch.ones(64, requires_grad=True)
y = x
for step in range(30_000):
    y = y * 1.0001
y.sum().backward()
```

A smaller graph is recorded with all its numbers:

```python
import torch

x = torch.ones(64, requires_grad=True)
y = x
for step in range(100):
    y = y * 1.0001
y.sum().backward()
```

## What it does not report

Elements of tensors that are larger than the `values` option allows. Such tensors are summarized by their statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..rule import note
from ..syntax import Syntax

CODE: Final = "numbers-left-out"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one note for the whole run."""
    if recording.signals(wire.NumbersLeftOut):
        yield note(
            CODE,
            None,
            "Some numbers are missing: a graph of this run is too large to record all of them.",
            "Its nodes, edges and shapes are complete. "
            "With a smaller graph, or with `capture` set to `norms`, fewer numbers are missing.",
        )
