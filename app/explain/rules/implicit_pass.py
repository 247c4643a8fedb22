"""Report that Tapedeck called `backward()` because the program never does.

## Why it matters

A program that only computes a result builds a graph but has no gradients. To show gradients, Tapedeck runs one backward pass
after the end of the program, from its last result. The values and the printed output of the program stay the same.

## Example

```python
import torch

x = torch.ones(2, requires_grad=True)
y = (x * 2).sum()
```

A program that calls `backward()` itself shows its own pass:

```python
import torch

x = torch.ones(2, requires_grad=True)
y = (x * 2).sum()
y.backward()
```

## What it does not report

Programs that run a backward pass themselves, with `backward()` or with `torch.autograd.grad()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "implicit-pass"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note that names the tensor from which the pass started."""
    for signal in recording.signals(wire.ImplicitPass):
        step = recording.log.step(0) if recording.log.counts()[2] else None
        name = f"`{step.loss_name}`" if step is not None and step.loss_name else "the last result that has a `grad_fn`"
        start = "" if signal.scalar else ", starting from ones because it is not a scalar"
        yield note(
            CODE,
            None,
            f"Your program never calls `backward()`, so Tapedeck called it once on {name}{start}.",
            "The gradients shown here come from that call. The results of your program are unchanged.",
        )
