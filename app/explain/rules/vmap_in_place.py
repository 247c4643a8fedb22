"""Report a write of a batched value to a tensor without a batch, under `vmap`.

## Why it matters

`vmap` runs a function once for a whole batch: each input stands for all samples. A tensor that the function makes itself, such
as `torch.zeros(3)`, has no batch, so a batched value does not fit into it. PyTorch refuses the write in place.

## Example

```python
import torch

def squares(v):
    out = torch.zeros(3)
    out[0] = v[0] ** 2
    return out

torch.func.vmap(squares)(torch.ones(5, 3))
```

Make the result from its parts, without a write in place:

```python
import torch

def squares(v):
    return torch.stack([v[0] ** 2, torch.zeros(()), torch.zeros(())])

torch.func.vmap(squares)(torch.ones(5, 3))
```

## What it does not report

Writes to a tensor that was made from a batched one, as `torch.zeros_like(v)` does.
"""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ..program.updates import written_by
from ..recorded.failure import Failure

CODE: Final = "vmap-in-place"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"^vmap: |doesn't match the broadcast shape"
_REFUSED: Final = "not being vmapped over"


def explain(failure: Failure) -> model.Finding | None:
    """Return the finding; ``None`` for another message of ``vmap``, and for a shape mismatch without ``vmap``."""
    message, syntax = failure.exception.message, failure.syntax
    if _REFUSED not in message and (message.startswith("vmap") or not _uses_vmap(failure)):
        return None
    statement = syntax.statement(failure.line) if failure.line is not None else None
    written = written_by(statement) if statement is not None else None
    while isinstance(written, ast.Subscript):
        written = written.value
    buffer = f"`{syntax.text(written)}`" if written is not None else "a tensor"
    values = (
        [each for each in syntax.assigned(written.id) if each.lineno < written.lineno] if isinstance(written, ast.Name) else []
    )
    made = f", made on line {values[-1].lineno}," if values else ""
    return failure.finding(
        CODE,
        f"{failure.raising_line} writes a batched value to {buffer}, which has no batch.",
        f"Under `vmap`, a value that depends on an input stands for a whole batch. The tensor{made} has the size of a single "
        "sample. Make the result without a write in place, with `torch.stack` or `torch.cat`, or start from a batched tensor: "
        "`torch.zeros_like(…)` or `new_zeros(…)` of an input.",
        line=failure.line,
    )


def _uses_vmap(failure: Failure) -> bool:
    names = ("vmap", "jacrev", "jacfwd", "hessian")
    return any(name in line for line in failure.syntax.lines for name in names)
