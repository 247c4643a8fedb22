"""Report a backward pass from a complex number.

## Why it matters

A gradient says in which direction a number grows. Complex numbers have no order, so a loss must be real. PyTorch raises an
error for a complex root, even if its imaginary part is 0.

## Example

```python
import torch

w = torch.ones(4, dtype=torch.complex64, requires_grad=True)
loss = (w * w.conj()).sum()
loss.backward()
```

Make the loss real:

```python
import torch

w = torch.ones(4, dtype=torch.complex64, requires_grad=True)
loss = (w * w.conj()).real.sum()
loss.backward()
```

## What it does not report

Complex parameters, and complex operations on the way to a real loss.
"""

from __future__ import annotations

from typing import Final

from ... import model
from ..program.syntax import root_of_pass
from ..recorded.failure import Failure
from ..wording import first_line

CODE: Final = "complex-loss"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"only for real scalar outputs but got torch\.complex"


def explain(failure: Failure) -> model.Finding:
    """Return the finding at the call that starts the pass."""
    syntax, line = failure.syntax, failure.line
    root = root_of_pass(syntax.call(line, "backward", "grad")) if line is not None else None
    loss = f"`{first_line(syntax.text(root))}`" if root is not None else "The root of the pass"
    return failure.finding(
        CODE,
        f"{loss} is a complex number, and `backward()` starts only from a real number.",
        "Complex numbers have no order, so they cannot be minimized. Make the loss real: `abs()`, `abs() ** 2` or `.real`.",
        line=line,
    )
