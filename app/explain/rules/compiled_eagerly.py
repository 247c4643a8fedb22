"""Report that functions compiled with `torch.compile` ran eagerly.

## Why it matters

A compiled function runs as generated code, in which no single operation can be observed. Tapedeck therefore runs it eagerly, as
with `torch.compiler.set_stance("force_eager")`. The operations and gradients of the function are recorded. Nothing is compiled,
so the function may be slower, and no errors or warnings of the compiler appear. The last digits of numbers may differ from the
results of compiled code.

## Example

```python
import torch


@torch.compile
def square(x):
    return x * x


w = torch.ones(2, requires_grad=True)
square(w).sum().backward()
```

Without `torch.compile` there is no difference:

```python
import torch


def square(x):
    return x * x


w = torch.ones(2, requires_grad=True)
square(w).sum().backward()
```

## What it does not report

`torch.jit.script` and `torch.jit.trace`, which run as they do without Tapedeck.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "compiled-eagerly"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the first use of ``torch.compile``."""
    for signal in recording.signals(wire.CompiledEagerly):
        yield note(
            CODE,
            signal.line,
            "`torch.compile` compiled nothing here: the function ran eagerly, so that Tapedeck could record it.",
            "The function may be slower than compiled code, and no errors or warnings of the compiler appear.",
        )
