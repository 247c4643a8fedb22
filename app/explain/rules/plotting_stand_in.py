"""Report that plots were not drawn because Matplotlib is not available.

## Why it matters

Programs often plot their results at the end. If Matplotlib is not installed, Tapedeck replaces it with a module whose calls do
nothing, so that the rest of the program still runs.

## Example

```python
import matplotlib.pyplot as plt
import torch

x = torch.ones(3, requires_grad=True)
(x * 2).sum().backward()
plt.plot(x.grad)
```

Print the numbers instead:

```python
import torch

x = torch.ones(3, requires_grad=True)
(x * 2).sum().backward()
print(x.grad)
```

## What it does not report

Programs that run where Matplotlib is installed, as with `tapedeck run` in your own environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "plotting-stand-in"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the line that first used the replacement."""
    for signal in recording.signals(wire.PlottingStandIn):
        yield note(
            CODE,
            signal.line,
            "Matplotlib is not installed here, so no plot was drawn.",
            "Calls to Matplotlib did nothing. The rest of the program ran normally.",
        )
