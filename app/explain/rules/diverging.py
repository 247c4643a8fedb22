"""Report a loss that grows without bound although each update moves against the gradient.

## Why it matters

An update that is too large jumps over the minimum, and the loss is higher on the other side. It grows in each step, until the
numbers become infinite. The remedy is nearly always a smaller learning rate.

## Example

```python
import torch

w = torch.tensor(0.0, requires_grad=True)
for step in range(40):
    loss = (3 * w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.2 * w.grad
    w.grad = None
```

Take shorter steps:

```python
import torch

w = torch.tensor(0.0, requires_grad=True)
for step in range(40):
    loss = (3 * w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.02 * w.grad
    w.grad = None
```

## What it does not report

- A loss that is maximized, and a loss that grows only because a growing factor scales it.
- A spike. The loss must grow in six consecutive steps and until the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax
from ..wording import short

CODE: Final = "diverging"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 1_000
"""Largest number of steps that are searched. A loss that diverges does so early."""
ROUNDS: Final = 6
"""Consecutive steps in which the loss must grow."""
STEP_GROWTH: Final = 1.2
"""Factor by which the loss must grow in each of these steps."""
TOTAL_GROWTH: Final = 1e4
"""Factor by which the loss must grow in all these steps together, and by which it must exceed its highest earlier value."""
PARAMETER_GROWTH: Final = 10
"""Factor by which a parameter must grow in these steps."""
PARAMETER_STEP_GROWTH: Final = 1.05
"""Factor by which that parameter must grow in each of the last steps."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each loss that grows to the end of the run."""
    series = recording.series(["loss:*"], count=STEPS)
    for key, numbers in series.values.items():
        known = series.present[key]
        losses, index = numbers[known], series.index[known]
        grown = _grown(losses)
        if grown is None:
            continue
        start, stop = grown
        steps = [recording.log.step(int(each)) for each in index[start : stop + 1]]
        if not _runs_away(recording, int(index[start]), int(index[stop])) or not all(
            _goes_down(step) for step in steps[:ROUNDS]
        ):
            continue
        name = key.removeprefix("loss:")
        each = float(losses[stop] / losses[start]) ** (1 / (stop - start))
        options = steps[0].optimizer or {}
        rate = options.get("lr")
        remedy = f"`lr = {rate:g}` is too large here" if isinstance(rate, int | float) else "use a smaller learning rate"
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=next(iter(steps[0].update), None),
            step=int(index[start]),
            node=None,
            message=f"`{name}` grows without bound: from {short(float(losses[start]))} in step {index[start]} to "
            f"{short(float(losses[stop]))} in step {index[stop]}.",
            why="Each update moves against the gradient, but too far, so it jumps over the minimum: "
            f"the loss is {short(each)} times as high after each step. The steps are too long: {remedy}.",
        )


def _grown(losses: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, int] | None:
    """Return the first and the last index of the steps in which the loss grows to its last finite value, if there are any."""
    finite = np.isfinite(losses)
    stop = (len(losses) if finite.all() else int(np.argmin(finite))) - 1
    start = stop
    while start > 0 and losses[start - 1] > 0 and losses[start] >= STEP_GROWTH * losses[start - 1]:
        start -= 1
    if stop - start < ROUNDS or losses[stop] < TOTAL_GROWTH * losses[: start + 1].max():
        return None
    return start, stop


def _runs_away(recording: Recording, start: int, stop: int) -> bool:
    """Return whether a parameter grows too. If only a growing factor scales the loss, no parameter grows with it."""
    series = recording.series(["p*"], start, stop + 1 - start)
    first, last = 0, len(series.index) - 1
    values = (np.abs(numbers) for numbers in series.values.values())
    return any(
        each[last] > PARAMETER_GROWTH * each[first + 2]
        and bool((each[last - ROUNDS + 2 : last + 1] > PARAMETER_STEP_GROWTH * each[last - ROUNDS + 1 : last]).all())
        for each in values
    )


def _goes_down(step: wire.StepEvent) -> bool:
    """Return whether the recorded updates of a step move against the recorded gradients."""
    tensors = Tensors(step.tensors)
    along, any_recorded = 0.0, False
    for row in step.parameters:
        update, gradient = tensors.array(row.update), tensors.array(row.grad_used)
        if update is not None and gradient is not None and update.shape == gradient.shape and update.dtype.kind == "f":
            any_recorded = True
            with np.errstate(all="ignore"):
                along += float(np.sum(update.astype(np.float64) * gradient.astype(np.float64)))
    return any_recorded and along < 0
