"""Report `requires_grad` that is set on a module, which freezes nothing.

## Why it matters

`requires_grad` is an attribute of tensors. On a module, `layer.requires_grad = False` creates a new attribute that nothing
reads: the parameters of the layer still get gradients, and the optimizer changes them. The method `requires_grad_(False)`
freezes a whole module.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)
body, head = nn.Linear(4, 4), nn.Linear(4, 1)
body.requires_grad = False
optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
for step in range(3):
    loss = ((head(body(x)) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Call the method:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)
body, head = nn.Linear(4, 4), nn.Linear(4, 1)
body.requires_grad_(False)
optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
for step in range(3):
    loss = ((head(body(x)) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Assignments to the `requires_grad` of a tensor or parameter.
- Modules whose attribute the program reads itself, and modules without a parameter that gets a gradient.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax, called

CODE: Final = "flag-on-module"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_MODULES: Final = frozenset({"children", "modules", "named_children", "named_modules"})


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each assignment of a constant to the attribute of a module."""
    names = {name for parameter in recording.parameters() for name in parameter.names}
    for statement in syntax.statements(ast.Assign) if names else ():
        match statement:
            case ast.Assign(targets=[ast.Attribute(attr="requires_grad", value=owner)], value=ast.Constant(value=bool(flag))):
                pass
            case _:
                continue
        if not _is_module(syntax, owner, names) or _is_read(syntax, owner):
            continue
        text = syntax.text(owner)
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=statement.lineno,
            step=None,
            node=None,
            message=f"`{text}` is a module, so `{text}.requires_grad = {flag}` is a new attribute that changes nothing.",
            why="PyTorch reads `requires_grad` of each parameter. Call the method of the module: "
            f"`{text}.requires_grad_({flag})`.",
        )


def _is_module(syntax: Syntax, owner: ast.expr, names: set[str]) -> bool:
    """Return whether an expression is a module: parameters are named after it, or a loop over modules binds it."""
    path = syntax.text(owner).replace("[", ".").replace("]", "").removeprefix("self.")
    if any(f".{path}." in f".{name}" for name in names):
        return path not in names
    return isinstance(owner, ast.Name) and any(
        isinstance(loop.iter, ast.Call)
        and called(loop.iter) in _MODULES
        and any(isinstance(each, ast.Name) and each.id == owner.id for each in ast.walk(loop.target))
        for loop in syntax.statements(ast.For)
    )


def _is_read(syntax: Syntax, owner: ast.expr) -> bool:
    """Return whether the program reads the flag of the module."""
    text = syntax.text(owner)
    return any(
        node.attr == "requires_grad" and isinstance(node.ctx, ast.Load) and syntax.text(node.value) == text
        for node in syntax.statements(ast.Attribute)
    )
