"""Report a leaf that requires a gradient and is changed in place while gradients are recorded.

## Why it matters

The gradient of a leaf belongs to the value that it had in the forward pass. PyTorch therefore refuses to change the leaf,
or a view of it, in place while gradients are recorded. An update of a parameter is not part of the graph: put it under
`torch.no_grad()`.

## Example

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
loss = (w - 1) ** 2
loss.backward()
w -= 0.1 * w.grad
```

Update the parameter with gradients off:

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
loss = (w - 1) ** 2
loss.backward()
with torch.no_grad():
    w -= 0.1 * w.grad
```

## What it does not report

In-place operations under `torch.no_grad()`, and in-place operations on results that are not leaves. For those, see
[saved-modified](#saved-modified).
"""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ..failure import Failure
from ..wording import first_line

CODE: Final = "inplace-on-leaf"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"a leaf Variable that requires grad is being used in an in-place"
_WRITES = (ast.AugAssign, ast.Expr, ast.Assign)


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with a fix that puts the statement under ``no_grad``."""
    line, syntax = failure.line, failure.syntax
    view = "a view of a leaf" in failure.exception.message
    statement = syntax.statement(line) if line is not None else None
    text = f"`{first_line(syntax.text(statement))}`" if statement is not None else failure.raising_line
    message = f"{text} changes {'a view of ' if view else ''}a leaf in place while gradients are recorded."
    why = (
        "The gradient of a leaf belongs to the value it had in the forward pass, so autograd refuses the change. "
        "Put an update under `torch.no_grad()`. For a computation, make a new tensor."
    )
    fix = None
    torch = syntax.torch_name()
    if statement is not None and torch is not None and syntax.alone(statement) and isinstance(statement, _WRITES):
        start, end = syntax.span(statement)
        indent = " " * start[1]
        body = syntax.text(statement).replace("\n", "\n    ")
        edit = model.Edit(start, end, f"with {torch}.no_grad():\n{indent}    {body}")
        fix = model.Fix("Put it under `no_grad`", [edit])
    return failure.finding(CODE, message, why, line=line, fix=fix)
