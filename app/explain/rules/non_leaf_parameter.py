"""Report a computed tensor that is given to an optimizer, which can train leaves only.

## Why it matters

An optimizer changes tensors in place, and `backward()` fills `.grad` only for leaves. The line `w = torch.randn(3,
requires_grad=True) * 0.01` makes two tensors: a leaf without a name, and the product, which is named `w`. The product is not a
leaf, so an optimizer cannot train it.

## Example

```python
import torch

w = torch.ones(3, requires_grad=True) * 0.1
optimizer = torch.optim.SGD([w], lr=0.1)
```

Compute first, then make the result a leaf:

```python
import torch

w = (torch.ones(3) * 0.1).requires_grad_()
optimizer = torch.optim.SGD([w], lr=0.1)
loss = (w ** 2).sum()
loss.backward()
optimizer.step()
```

## What it does not report

Leaves, and tensors that do not require a gradient.
"""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ..recorded.failure import Failure
from ..rewriting.leaves import as_leaf, made_from_leaf
from ..wording import first_line

CODE: Final = "non-leaf-parameter"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"can't optimize a non-leaf Tensor"


def explain(failure: Failure) -> model.Finding:
    """Return the finding at the line that computed the tensor, with a fix that makes it a leaf."""
    name, made = _computed(failure)
    if name is None or made is None:
        message = "A tensor that is given to the optimizer is a computed result, not a leaf."
        why = "An optimizer can train leaves only. Compute first, then make the result a leaf with `requires_grad_()`."
        return failure.finding(CODE, message, why, line=failure.line)
    fix = as_leaf(failure.recording, failure.syntax, name, made)
    message = (
        f"`{name}` is computed on line {made.lineno}, so it is not a leaf and the optimizer on line {failure.line} refuses it."
    )
    leaf = made_from_leaf(made)
    if leaf is not None:
        why = (
            f"The leaf is `{first_line(failure.syntax.text(leaf))}`, and it has no name. Compute first, then make the result a "
            "leaf with `requires_grad_()` or `nn.Parameter(…)`: then the name belongs to the leaf."
        )
    else:
        why = (
            "An optimizer can train leaves only. Give it the leaves from which the tensor is computed, or make the result a "
            "leaf with `detach().requires_grad_()`."
        )
    return failure.finding(CODE, message, why, line=made.lineno, fix=fix)


def _computed(failure: Failure) -> tuple[str | None, ast.Assign | None]:
    """Return the first name in the optimizer's call that was computed with a graph, and the statement that computed it."""
    syntax, line = failure.syntax, failure.line
    statement = syntax.statement(line) if line is not None else None
    if line is None or statement is None:
        return None, None
    computed = {
        row.line for row in failure.recording.lines() if row.file is None and row.tensor is not None and not row.tensor.is_leaf
    }
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            for assigned in syntax.statements(ast.Assign):
                if assigned.lineno in computed and assigned.lineno < line and len(assigned.targets) == 1:
                    target = assigned.targets[0]
                    if isinstance(target, ast.Name) and target.id == node.id:
                        return node.id, assigned
    return None, None
