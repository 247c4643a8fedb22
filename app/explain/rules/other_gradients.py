"""Report an update that also uses gradients of another loss, which belongs to another optimizer.

## Why it matters

`backward()` fills `.grad` of everything that the loss depends on. In a GAN, the loss of the generator also fills the gradients
of the discriminator. If only the generator's optimizer clears its gradients, the next update of the discriminator also
uses those of the generator's loss. They have the wrong sign.

## Example

```python
import torch

g = torch.tensor(1.0, requires_grad=True)
d = torch.tensor(2.0, requires_grad=True)
g_optimizer = torch.optim.SGD([g], lr=0.01)
d_optimizer = torch.optim.SGD([d], lr=0.01)
for step in range(3):
    g_loss = (g * d - 1) ** 2
    g_loss.backward()
    g_optimizer.step()
    g_optimizer.zero_grad()
    d_loss = (d - g.detach()) ** 2
    d_loss.backward()
    d_optimizer.step()
    d_optimizer.zero_grad()
```

Clear the gradients of each optimizer before the `backward()` of its own loss:

```python
import torch

g = torch.tensor(1.0, requires_grad=True)
d = torch.tensor(2.0, requires_grad=True)
g_optimizer = torch.optim.SGD([g], lr=0.01)
d_optimizer = torch.optim.SGD([d], lr=0.01)
for step in range(3):
    g_loss = (g * d - 1) ** 2
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    d_loss = (d - g.detach()) ** 2
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()
```

## What it does not report

- Gradients that are added up over several passes before the first update of any parameter.
- Gradients of the same graph, as with micro-batches.
- A single update that uses gradients of another loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax
from ..recorded.steps import first_steps
from ..wording import listed

CODE: Final = "other-gradients"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
TIMES: Final = 2
"""Smallest number of updates that use gradients of another loss."""


@dataclass
class _Left:
    """A gradient that pass ``main`` left in a parameter, because the update of its step did not use it."""

    main: int
    graph: int
    norm: float | str | None


@dataclass
class _Used:
    """Updates that use gradients of another loss: their steps, their parameters, and the first pass that left the gradients."""

    steps: list[int] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    main: int = -1


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for each line whose pass leaves gradients to an update of another loss."""
    left: dict[int, _Left] = {}
    found: dict[int, _Used] = {}
    for step in first_steps(recording):
        graph = recording.log.pass_(step.main).graph if step.main >= 0 else -1
        tensors = Tensors(step.tensors)
        updates = step.optimizer is not None and any(row.grad_used >= 0 for row in step.parameters)
        for row in step.parameters:
            before = left.pop(row.parameter, None)
            had = tensors.summary(row.grad_before)
            carried = before is not None and had is not None and had.norm == before.norm and had.norm != 0
            if before is not None and carried and row.grad_used >= 0 and before.graph != graph:
                used = found.setdefault(recording.log.pass_(before.main).line, _Used(main=before.main))
                used.steps.append(step.index)
                used.names[row.parameter] = row.name or f"p{row.parameter}"
            if updates and row.grad_used < 0 and row.contribution >= 0 and (has := tensors.summary(row.grad_after)) is not None:
                left[row.parameter] = _Left(step.main, graph, has.norm)
    for line, used in found.items():
        if len(set(used.steps)) >= TIMES:
            yield _finding(recording, line, used)


def _finding(recording: Recording, line: int, used: _Used) -> model.Finding:
    names = list(used.names.values())
    step: wire.StepEvent = recording.log.step(used.steps[0])
    own = recording.log.pass_(step.main).line
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=line if line > 0 else None,
        step=step.index,
        node=recording.leaf(step.main, f"p{next(iter(used.names))}"),
        message=f"The `backward()` on line {line} also fills the gradients of {listed(names)}, and the update of another loss "
        "uses them.",
        why=f"The `backward()` on line {own} adds to these gradients, and the update in step {step.index} uses the sum. "
        f"Call `zero_grad()` of the optimizer that updates {'it' if len(names) == 1 else 'them'} before line {own}.",
        pass_=step.main,
    )
