"""Report that Tapedeck called `backward()` for a program that never does, and the pass failed.

## Why it matters

The graph of the program is shown, but without gradients. The program would see the same error if it called `backward()`.

## Example

```python
import torch

x = torch.ones(2, requires_grad=True)
y = x.exp()
y += 1
```

Without the in-place change the pass succeeds:

```python
import torch

x = torch.ones(2, requires_grad=True)
y = x.exp()
y = y + 1
```

## What it does not report

Passes that the program runs itself. If one of them fails, another finding explains the failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "implicit-pass-failed"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note with the message of the exception."""
    for signal in recording.signals(wire.ImplicitPassFailed):
        yield note(
            CODE,
            None,
            "Your program never calls `backward()`. Tapedeck called it, but the call failed, so there are no gradients.",
            f"PyTorch reports: {signal.message}",
        )
