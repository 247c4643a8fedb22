"""Report updates that change nothing, because the learning rate is 0, far too small, or was reduced to nothing.

## Why it matters

A scheduler that runs after each batch instead of each epoch, or that multiplies its factor again and again, makes the learning
rate vanish. `LambdaLR` multiplies the initial rate by the result of its function. If this function returns a rate instead of a
factor, the product is tiny. An update below about 1e-8 of a parameter's value does not change the parameter at all in single
precision. Training continues without an error, and nothing is learned.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.1)
for step in range(30):
    optimizer.zero_grad()
    loss = ((w - 3) ** 2).sum()
    loss.backward()
    optimizer.step()
    scheduler.step()
```

Reduce the learning rate slowly:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
for step in range(30):
    optimizer.zero_grad()
    loss = ((w - 3) ** 2).sum()
    loss.backward()
    optimizer.step()
    scheduler.step()
```

## What it does not report

- A rate that is nearly 0 only in the last third of a run, as at the end of a cosine.
- A rate that is nearly 0 only at the start of a run, as in a warm-up.
- Runs of fewer than six steps, unless the rate is 0 and no scheduler changes it, and parameters whose gradient is 0.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax, called
from ..recorded.steps import is_zero
from ..wording import short

CODE: Final = "step-too-small"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 6
"""Smallest number of steps with an optimizer."""
FEW: Final = 2
"""Smallest number of steps with an optimizer whose learning rate is 0 and never set."""
MOST: Final = 400
"""Number of steps that are read of a long run. Up to twice as many are read, because their distance is a whole number."""
SHARE: Final = 1 / 3
"""Share of the steps, at the end of a run, in which the rate may be nearly 0."""
GONE: Final = 1e-6
"""Share of the largest or the initial learning rate, whichever is larger, below which a rate counts as 0."""


@dataclass(frozen=True)
class _RatedStep:
    """A step with an optimizer: its learning rate, the initial one, and whether any parameter with a gradient changed."""

    index: int
    rate: float
    initial: float | None
    moves: bool


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding if no update of a run changes anything, or none after the learning rate has vanished."""
    events = list(_spread(recording))
    if _still_learns(events):
        return
    steps = [step for event in events if (step := _read(event)) is not None]
    if len(steps) < (FEW if _stays_zero(syntax, steps) else STEPS):
        return
    largest = max(step.rate for step in steps)
    gone = next((at for at, step in enumerate(steps) if _from_here(steps[at:], largest)), None)
    if gone is None or len(steps) - gone <= SHARE * len(steps):
        return
    first = steps[gone]
    initial = next((step.initial for step in steps if step.initial), None)
    scheduled = _scheduler(syntax)
    line = scheduled.lineno if scheduled is not None else _rate_line(syntax)
    whole = gone == 0
    when = "in every step" if whole else f"from step {first.index} on"
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=line,
        step=first.index,
        node=None,
        message=f"The learning rate is {short(first.rate)} {when}, so the updates change nothing."
        if whole
        else f"The learning rate falls from {short(largest)} to {short(first.rate)} in step {first.index}, so the later "
        "updates change nothing.",
        why=_why(syntax, scheduled, initial, whole),
    )


def _why(syntax: Syntax, scheduled: ast.Call | None, initial: float | None, whole: bool) -> str:
    if scheduled is not None and called(scheduled) == "LambdaLR" and whole:
        of = f"the initial rate {short(initial)}" if initial else "the initial rate"
        return f"`LambdaLR` multiplies {of} by the result of its function. Return a factor, not a rate."
    if scheduled is not None and not whole:
        return (
            "Each `step()` of the scheduler reduces the rate. Call it once per epoch instead of once per batch, or reduce the "
            "rate by less."
        )
    if whole:
        return "Each change is smaller than the distance between numbers of this precision. Set a larger learning rate."
    return "The program reduces the rate in each step. Compute each rate from the initial rate, or reduce it by less."


def _stays_zero(syntax: Syntax, steps: list[_RatedStep]) -> bool:
    """Return whether the learning rate is 0 in all steps, and nothing in the program changes it."""
    return all(step.rate == 0 for step in steps) and not any(
        "lr_scheduler" in line or "param_groups" in line for line in syntax.lines
    )


def _still_learns(events: Sequence[wire.StepEvent]) -> bool:
    """Return whether the last step with an optimizer changes parameters. The other steps then need not be read."""
    last = next((step for event in reversed(events) if (step := _read(event)) is not None), None)
    if last is None:
        return True
    largest = max(rate for event in events if (rate := _rate(event)) is not None)
    return not _from_here([last], largest)


def _from_here(steps: list[_RatedStep], largest: float) -> bool:
    """Return whether each of these steps changes nothing or has a learning rate of nearly 0."""
    return all(not step.moves or step.rate <= GONE * max(largest, step.initial or 0.0) for step in steps)


def _spread(recording: Recording) -> Iterator[wire.StepEvent]:
    """Yield the steps of a run, or at least ``MOST`` of them at equal distances."""
    count = recording.log.counts()[2]
    for index in range(0, count, max(1, count // MOST)):
        yield recording.log.step(index)


def _read(event: wire.StepEvent) -> _RatedStep | None:
    """Return the facts of a step; ``None`` without a single learning rate, or if no gradient other than 0 was used."""
    rate = _rate(event)
    if rate is None:
        return None
    tensors = Tensors(event.tensors)
    rows = [row for row in event.parameters if row.grad_used >= 0 and row.update >= 0]
    rows = [row for row in rows if (used := tensors.summary(row.grad_used)) is not None and used.norm and not is_zero(used)]
    if not rows:
        return None
    initial = (event.optimizer or {}).get("initial_lr")
    moves = any(not is_zero(tensors.summary(row.update)) for row in rows)
    return _RatedStep(event.index, rate, float(initial) if isinstance(initial, int | float) else None, moves)


def _rate(event: wire.StepEvent) -> float | None:
    """Return the learning rate of a step; ``None`` if there is not just one."""
    rate = (event.optimizer or {}).get("lr")
    return float(rate) if isinstance(rate, int | float) and rate >= 0 and not event.groups else None


def _scheduler(syntax: Syntax) -> ast.Call | None:
    """Return the call that makes a ``LambdaLR``, else the call of the scheduler's ``step``; ``None`` without a scheduler."""
    for statement in syntax.statements(ast.Assign):
        value = statement.value
        if isinstance(value, ast.Call) and ("lr_scheduler." in syntax.text(value.func) or (called(value) or "").endswith("LR")):
            if called(value) == "LambdaLR":
                return value
            name = syntax.text(statement.targets[0])
            return next(
                (
                    call
                    for call in syntax.statements(ast.Call)
                    if isinstance(call.func, ast.Attribute)
                    and call.func.attr == "step"
                    and syntax.text(call.func.value) == name
                ),
                value,
            )
    return None


def _rate_line(syntax: Syntax) -> int | None:
    """Return the line that sets the learning rate: in a group of the optimizer, or where the optimizer is made."""
    for statement in syntax.statements(ast.Assign):
        match statement.targets:
            case [ast.Subscript(slice=ast.Constant(value="lr"))]:
                return statement.lineno
    for added in syntax.statements(ast.AugAssign):
        match added.target:
            case ast.Subscript(slice=ast.Constant(value="lr")):
                return added.lineno
    return next((call.lineno for call in syntax.statements(ast.Call) if "optim." in syntax.text(call.func)), None)
