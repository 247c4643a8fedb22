"""Report a gradient that is requested from a tensor with more than one element.

## Why it matters

A gradient describes how one number changes. If the starting tensor has several elements, PyTorch cannot know which of
them is meant, and `backward()` raises an error.

## Example

```python
import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
y.backward()
```

Reduce the tensor to one number first:

```python
import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
y.sum().backward()
```

Or pass the gradient to start from, with the shape of the tensor: `y.backward(torch.ones_like(y))`.

## What it does not report

Tensors that have exactly one element, whatever their shape, and calls that pass the gradient to start from.
"""

from __future__ import annotations

import ast
from math import prod
from typing import Final

from ... import model
from ..program.syntax import Syntax, root_of_pass
from ..program.updates import by_gradient, updates
from ..recorded.failure import Failure
from ..wording import first_line

CODE: Final = "not-scalar"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"only for scalar outputs|to return a scalar Tensor|should contain a single element"


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with a fix that sums the tensor if the program does not train."""
    line, syntax = failure.line, failure.syntax
    call = syntax.call(line, "backward") if line is not None else None
    root = root_of_pass(call)
    fix = None
    message = "A gradient needs a single number to start from, but this result has several."
    reduce, start = "`sum()` or `mean()`", "`backward(torch.ones_like(…))`"
    if root is not None and call is not None and not call.args and not call.keywords:
        if syntax.text(call.func).endswith(".backward") and not _trains(syntax):
            _, (at, end) = syntax.span(call.func)
            position = (at, end - len(".backward"))
            fix = model.Fix("Sum it first", [model.Edit(position, position, ".sum()")])
        text = first_line(syntax.text(root))
        message = f"`backward()` needs a single number to start from, but `{text}` has {_count(failure, root) or 'several'}."
        if isinstance(root, ast.Name):
            reduce = f"`{text}.sum()` or `{text}.mean()`"
            start = f"`{text}.backward(torch.ones_like({text}))`"
    why = (
        "A gradient describes how one number changes. "
        f"Reduce the tensor first with {reduce}, or pass the gradient to start from: {start}."
    )
    return failure.finding(CODE, message, why, line=line, fix=fix)


def _trains(syntax: Syntax) -> bool:
    """Return whether the program trains. Only its author can then choose between a sum and a mean as the loss."""
    lines = range(1, len(syntax.lines) + 1)
    return syntax.calls("step") or any(by_gradient(syntax, each.statement) for each in updates(syntax, lines))


def _count(failure: Failure, root: ast.expr) -> int | None:
    """Return the number of elements of a variable, if the line that assigned it last has a tensor of several elements."""
    if not isinstance(root, ast.Name):
        return None
    lines = [value.lineno for value in failure.syntax.assigned(root.id) if value.lineno < root.lineno]
    for row in failure.recording.lines():
        if lines and row.line == lines[-1] and row.file is None and row.tensor is not None:
            count = prod(row.tensor.shape)
            return count if count > 1 else None
    return None
