"""Report that a training loop written by hand is correct: the leaf stays a leaf, and its gradient is cleared.

## Why it matters

An update by hand has two pitfalls: a parameter that is rebound ([leaf-rebound](#leaf-rebound)) and a gradient that is never
cleared ([grad-accumulated](#grad-accumulated)). This good sign confirms that a loop avoids both in every step.

## Example

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(5):
    loss = (w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
```

A loop that never clears the gradient does not get this sign:

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(5):
    loss = (w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
```

## What it does not report

- Training with an optimizer, which keeps the leaves by itself.
- Updates through `.data`. For those, see [data-update](#data-update).
- Runs with an error or a warning, and runs of fewer than three steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording, Tensors
from ..program.syntax import Syntax
from ..program.updates import by_gradient, updates
from ..wording import listed

CODE: Final = "leaf-kept"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("good",)
STEPS: Final = 1_000
"""Largest number of steps of a run that is examined."""
FEW: Final = 3
"""Smallest number of steps of a run that counts as training."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one good sign if every step starts with cleared gradients and updates every parameter in place by its gradient."""
    count = recording.log.counts()[2]
    if not FEW <= count <= STEPS:
        return
    first = recording.log.step(0)
    names = [row.name for row in first.parameters if row.name is not None]
    written = {syntax.text(each.target): each for each in updates(syntax, first.update) if by_gradient(syntax, each.statement)}
    if not names or not set(names) <= set(written) or any(each.through_data for each in written.values()):
        return
    parameters = {row.parameter for row in first.parameters}
    for index in range(count):
        step = recording.log.step(index)
        rows = step.parameters
        if step.optimizer is not None or step.rebinds or {row.parameter for row in rows} != parameters or len(step.passes) != 1:
            return
        tensors = Tensors(step.tensors)
        if any(row.grad_used < 0 or row.contribution < 0 for row in rows):
            return
        if any(row.grad_before >= 0 and tensors.norm(row.grad_before) != 0 for row in rows):
            return
    one = len(names) == 1
    yield model.Finding(
        code=CODE,
        severity="good",
        file=None,
        line=min(each.statement.lineno for name, each in written.items() if name in names),
        step=0,
        node=recording.leaf(first.main, f"p{first.parameters[0].parameter}"),
        message=f"{listed(names)} {'stays a leaf' if one else 'stay leaves'} through all {count} updates, and "
        f"{'its gradient is' if one else 'their gradients are'} cleared after each.",
        why="An update in place, with gradients off, keeps the same leaf, so the next `backward()` fills its `.grad`. "
        "Optimizers do the same.",
        pass_=first.main,
    )
