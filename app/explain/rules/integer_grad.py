"""Report a tensor of integers that is made to require a gradient.

## Why it matters

A gradient describes the effect of a small change. An integer cannot change by a small amount, so PyTorch raises an error.
The usual cause is a list such as `[1, 2, 3]`, which makes a tensor of integers.

## Example

```python
import torch

w = torch.tensor([1, 2, 3], requires_grad=True)
```

Use floating-point numbers:

```python
import torch

w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
```

## What it does not report

Integer tensors that do not require a gradient, such as indices and labels.
"""

from __future__ import annotations

from typing import Final

from ... import model
from ..failure import Failure

CODE: Final = "integer-grad"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"[oO]nly Tensors of floating point"


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with a fix that gives the tensor a floating-point dtype."""
    line, syntax = failure.line, failure.syntax
    fix = None
    call = syntax.call(line, "tensor", "full", "arange") if line is not None else None
    if call is not None and any(keyword.arg == "requires_grad" for keyword in call.keywords):
        dtype = next((keyword.value for keyword in call.keywords if keyword.arg == "dtype"), None)
        torch = syntax.torch_name()
        title = "Use floating-point numbers"
        if dtype is not None and torch is not None:
            fix = model.Fix(title, [model.Edit(*syntax.span(dtype), f"{torch}.float32")])
        elif torch is not None:
            fix = model.Fix(title, [syntax.argument(call, f"dtype={torch}.float32")])
    message = "A tensor of integers cannot require a gradient."
    why = (
        "A gradient describes the effect of a small change, and an integer cannot change by a small amount. "
        "Write `1.0` instead of `1`, or pass `dtype=torch.float32`."
    )
    return failure.finding(CODE, message, why, line=line, fix=fix)
