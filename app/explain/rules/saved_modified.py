"""Report a tensor that is changed in place although the backward pass still needs its old values.

## Why it matters

Many operations save tensors in the forward pass, from which the backward pass computes the gradient. If such a tensor is
changed in place afterwards, the gradient would be wrong. PyTorch detects the change and raises an error in `backward()`. The
error names neither the line that saved the tensor nor the line that changed it. This finding names both.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x.exp()
y += 1
y.sum().backward()
```

Make a new tensor instead:

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x.exp()
y = y + 1
y.sum().backward()
```

## What it does not report

- In-place changes of tensors that no gradient needs.
- Changes through `.data`, which PyTorch cannot detect. For those, see [changed-through-data](#changed-through-data).
"""

from __future__ import annotations

import re
from typing import Final

from ... import model
from ..recorded.failure import Failure
from ..rewriting.rewrites import out_of_place

CODE: Final = "saved-modified"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"modified by an inplace operation"


def explain(failure: Failure) -> model.Finding:
    """Return the finding: the line that saved the tensor, the line that changed it, and the line that failed."""
    exception, syntax = failure.exception, failure.syntax
    made = exception.node.line if exception.node is not None else None
    if exception.changed is None:
        message = f"A tensor that {failure.operation} needs for its gradient was changed in place."
    else:
        message = f"Line {exception.changed} changes a tensor in place, but {failure.operation} still needs its old values."
    versions = re.search(r"is at version (\d+); expected version (\d+)", exception.message)
    counted = f" (PyTorch counts changes: version {versions[2]} was saved, now it is {versions[1]})" if versions else ""
    needed = f"the saved tensor `{exception.saved}` as it was" if exception.saved is not None else "the values"
    why = (
        f"The gradient of the operation is computed from {needed} in the forward pass{counted}. "
        f"{failure.calling_line} fails because those values are overwritten."
    )
    update = syntax.statement(exception.changed) if exception.changed is not None else None
    fix = out_of_place(syntax, update)
    if update is not None and (syntax.in_no_grad(update) or syntax.call(update.lineno, "step")):
        why += " After an update, compute the loss again before the next `backward()`."
    elif fix is None:
        why += " Use an operation that returns a new tensor, or change a `clone()`."
    return failure.finding(CODE, message, why, line=exception.changed or made, fix=fix)
