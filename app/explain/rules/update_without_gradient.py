"""Report a parameter that the optimizer changes although its gradient is 0 in every step.

## Why it matters

A gradient of 0 does not freeze a parameter. Weight decay pulls it towards 0 all the same, and momentum continues the changes of
earlier steps. If a mask or a hook sets the gradient of a parameter to 0, the parameter still changes slowly.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
frozen = torch.ones(2, requires_grad=True)
frozen.register_hook(torch.zeros_like)
optimizer = torch.optim.SGD([w, frozen], lr=0.1, weight_decay=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = ((w + frozen) ** 2).sum()
    loss.backward()
    optimizer.step()
```

Leave the parameter out of the optimizer:

```python
import torch

w = torch.ones(2, requires_grad=True)
frozen = torch.ones(2)
optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = ((w + frozen) ** 2).sum()
    loss.backward()
    optimizer.step()
```

## What it does not report

- A parameter whose gradient differs from 0 in any of the first steps.
- Runs with fewer than two updates of the parameter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax
from ..recorded.steps import always_zero, first_steps, is_zero
from ..wording import listed, short

CODE: Final = "update-without-gradient"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
UPDATES: Final = 2
"""Smallest number of updates of a parameter."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for all parameters that the optimizer changes although their gradients are always 0."""
    zero, _ = always_zero(recording, "grad_used")
    changed: Counter[int] = Counter()
    names: dict[int, str] = {}
    last: wire.StepEvent | None = None
    for step in first_steps(recording) if zero else ():
        tensors = Tensors(step.tensors)
        for row in step.parameters:
            update = tensors.summary(row.update)
            if f"p{row.parameter}" in zero and step.optimizer and row.grad_used >= 0 and update and not is_zero(update):
                changed[row.parameter] += 1
                names[row.parameter] = row.name or f"p{row.parameter}"
                last = step
    found = [names[parameter] for parameter, count in changed.items() if count >= UPDATES]
    if not found or last is None:
        return
    stepping = next((call for line in reversed(last.update) if (call := syntax.call(line, "step")) is not None), None)
    options, name = _options(last), (last.optimizer or {}).get("name")
    because = f" because of {' and '.join(options)}" if options else ""
    it, them = ("its gradient is", "it") if len(found) == 1 else ("their gradients are", "them")
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=stepping.lineno if stepping is not None else (last.update[-1] if last.update else None),
        step=last.index,
        node=None,
        message=f"`{name}` changes {listed(found)} in each step{because}, although {it} exactly 0.",
        why=f"A gradient of 0 does not freeze a parameter. Leave {them} out of the optimizer, or call `requires_grad_(False)`, "
        "so that there is no gradient at all.",
    )


def _options(step: wire.StepEvent) -> list[str]:
    """Return the options of the optimizer that change a parameter whose gradient is 0, as code."""
    every = [group.options for group in step.groups] or [step.optimizer or {}]
    found = {
        key: value
        for options in every
        for key in ("weight_decay", "momentum")
        if isinstance(value := options.get(key), int | float) and value
    }
    return [f"`{key}={short(value)}`" for key, value in found.items()]
