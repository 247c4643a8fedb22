"""Report that derivatives computed in forward mode are not shown.

## Why it matters

In forward mode, PyTorch computes derivatives together with the values of the forward calls. There is no backward pass and no
graph, so Tapedeck has nothing to record.

## Example

```python
import torch

x = torch.ones(3)
value, slope = torch.func.jvp(torch.sin, (x,), (torch.ones(3),))
```

In reverse mode the graph and the gradient are recorded:

```python
import torch

x = torch.ones(3, requires_grad=True)
torch.sin(x).sum().backward()
```

## What it does not report

Backward passes in the same program, which are recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "forward-mode"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the first use of forward mode."""
    for signal in recording.signals(wire.ForwardModeUsed):
        yield note(
            CODE,
            signal.line,
            "Derivatives in forward mode are not shown: Tapedeck records backward passes only.",
            "In forward mode, derivatives are computed together with the values, without a graph and without a backward pass.",
        )
