"""Report an optimizer's step that uses gradients multiplied by a gradient scaler.

## Why it matters

A `GradScaler` multiplies the loss, often by 65,536, so that small gradients do not become 0 in half precision. `scaler.step`
divides the gradients by this factor before it calls `optimizer.step`. If the program calls `optimizer.step` itself, the update
uses the multiplied gradients, and SGD makes steps that are far too long. `scaler.step` also skips steps with infinite
gradients, but `optimizer.step` does not.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
scaler = torch.amp.GradScaler("cpu")
for step in range(3):
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    scaler.scale(loss).backward()
    optimizer.step()
    scaler.update()
```

Let the scaler make the step:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
scaler = torch.amp.GradScaler("cpu")
for step in range(3):
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
```

## What it does not report

- Programs that divide the gradients with `scaler.unscale_` themselves.
- Scalers that are disabled, because they return the loss unchanged.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.optimizers import optimizers
from ..program.syntax import Syntax, called
from ..recorded.scalers import scaled_passes

CODE: Final = "scaled-update"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each call of an optimizer's ``step`` in a program whose scaler never gets that optimizer."""
    passes = scaled_passes(recording, syntax)
    if not passes or syntax.calls("unscale_"):
        return
    scaler = passes[0].scaler
    given = {
        syntax.text(each)
        for call in syntax.statements(ast.Call)
        if called(call) == "step" and isinstance(call.func, ast.Attribute) and syntax.text(call.func.value) == scaler
        for each in call.args
    }
    for optimizer in optimizers(syntax):
        if optimizer.name in given:
            continue
        for call in optimizer.calls(syntax, "step"):
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=call.lineno,
                step=None,
                node=None,
                message=f"`{syntax.text(call)}` uses gradients that `{scaler}` has multiplied.",
                why=f"The pass on line {passes[0].call.lineno} starts from the scaled loss, and only `{scaler}.step(…)` "
                f"divides the gradients by the factor. Call `{scaler}.step({optimizer.name})`.",
            )
