"""Report that a part of the program is not recorded, because PyTorch traced it or it computed with fake tensors.

## Why it matters

`torch.export.export`, `torch.library.opcheck`, `torch._dynamo` and `torch.jit.trace` watch which operations a program performs,
often with tensors that have no elements or with symbolic sizes. A recorder that looked at such tensors would change the result,
or cause warnings. Tapedeck therefore records nothing there: no line values, no calls and no passes.

## Example

```python
import torch

model = torch.nn.Linear(2, 1)
program = torch.export.export(model, (torch.ones(3, 2),))
```

The model itself is recorded:

```python
import torch

model = torch.nn.Linear(2, 1)
model(torch.ones(3, 2)).sum().backward()
```

## What it does not report

Tensors on the `meta` device, which are recorded without their elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "traced-unrecorded"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the first part that was traced."""
    for signal in recording.signals(wire.TracedUnrecorded):
        yield note(
            CODE,
            signal.line,
            "A part of this program is not recorded: PyTorch traced it, or it computed with fake tensors.",
            "A recorder that looked at the tensors there would change the result of the trace, or cause warnings.",
        )
