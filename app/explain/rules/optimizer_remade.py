"""Report an optimizer that needs its state from earlier steps but is made again before each step.

## Why it matters

Adam, RMSprop and SGD with momentum keep numbers about earlier gradients. A new optimizer starts without them, so Adam only ever
makes its first step, whose length is the learning rate, and momentum never builds up. A learning-rate scheduler of the old
optimizer has no effect either. Training runs without an error, only worse.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
for step in range(4):
    optimizer = torch.optim.Adam([w], lr=0.1)
    loss = (w ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Make it once:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.Adam([w], lr=0.1)
for step in range(4):
    loss = (w ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- An optimizer that makes several steps before the next optimizer is made, as for each task or each fold.
- Optimizers without a state, such as SGD without momentum.
- Runs with fewer than three steps.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.optimizers import Optimizer, optimizers
from ..program.syntax import Syntax, called
from ..recorded.steps import first_steps
from ..wording import first_line

CODE: Final = "optimizer-remade"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 3
"""Smallest number of steps of a run in which an optimizer of the same class updates parameters."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that makes an optimizer with a state in the iteration that calls its ``step``."""
    for optimizer in optimizers(syntax):
        name = called(optimizer.made) or ""
        if not _has_state(optimizer.made) or not _is_remade(syntax, optimizer):
            continue
        if sum(step.optimizer is not None and step.optimizer.get("name") == name for step in first_steps(recording)) < STEPS:
            continue
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=optimizer.made.lineno,
            step=None,
            node=None,
            message=f"`{first_line(syntax.text(optimizer.made))}` makes a new optimizer before each step.",
            why=f"`{name}` keeps numbers about earlier gradients. A new optimizer starts without them, so every step is a "
            "first step. Make the optimizer once, before the loop.",
        )


def _has_state(made: ast.Call) -> bool:
    """Return whether an optimizer of this kind keeps numbers from step to step."""
    if called(made) != "SGD":
        return True
    momentum = next((each.value for each in made.keywords if each.arg == "momentum"), None)
    return momentum is not None and not (isinstance(momentum, ast.Constant) and momentum.value == 0)


def _is_remade(syntax: Syntax, optimizer: Optimizer) -> bool:
    """Return whether one iteration of a loop, or one call of a function in a loop, makes the optimizer and calls its step."""
    around = syntax.repetition(optimizer.made)
    steps = [syntax.repetition(call) for call in optimizer.calls(syntax, "step")]
    if around is None or not steps or any(each is not around for each in steps):
        return False
    if isinstance(around, ast.FunctionDef):
        return any(called(call) == around.name and syntax.in_loop(call) for call in syntax.statements(ast.Call))
    return True
