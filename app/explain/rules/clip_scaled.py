"""Report a clipping of gradients that a gradient scaler has multiplied.

## Why it matters

A `GradScaler` multiplies the loss, often by 65,536, so that small gradients do not become 0 in half precision. All gradients
have this factor until `scaler.unscale_(optimizer)` or `scaler.step(optimizer)` divides them by it. If they are clipped before
that, the division makes them far smaller than the limit, and training almost stops.

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
    torch.nn.utils.clip_grad_norm_([w], 1.0)
    scaler.step(optimizer)
    scaler.update()
```

Divide the gradients by the factor first:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
scaler = torch.amp.GradScaler("cpu")
for step in range(3):
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_([w], 1.0)
    scaler.step(optimizer)
    scaler.update()
```

## What it does not report

Scalers that are disabled, because they return the loss unchanged.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.blocks import around, calls_in
from ..program.syntax import Syntax, called
from ..recorded.scalers import ScaledPass, scaled_passes
from .clip_unused import CLIPS

CODE: Final = "clip-scaled"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that clips between the pass of a scaled loss and ``unscale_``."""
    passes = scaled_passes(recording, syntax)
    for clip in syntax.statements(ast.Call) if passes else ():
        if called(clip) not in CLIPS:
            continue
        scaled = _pass_before(syntax, clip, passes)
        if scaled is not None:
            scaler = scaled.scaler
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=clip.lineno,
                step=None,
                node=None,
                message=f"Line {clip.lineno} clips gradients that `{scaler}` has multiplied, so it shortens them far too much.",
                why=f"The pass on line {scaled.call.lineno} starts from the scaled loss, and only `{scaler}.step(…)` divides "
                f"the gradients by the factor. Call `{scaler}.unscale_(…)` with the optimizer before the clipping.",
            )


def _pass_before(syntax: Syntax, clip: ast.Call, passes: list[ScaledPass]) -> ScaledPass | None:
    """Return the pass of a scaled loss that runs before a call, without ``unscale_`` or ``step`` between them."""
    for before, _ in around(syntax, clip):
        for earlier in reversed(before):
            if calls_in([earlier]) & {"unscale_", "step"}:
                return None
            nodes = set(ast.walk(earlier))
            if (found := next((each for each in passes if each.call in nodes), None)) is not None:
                return found
    return None
