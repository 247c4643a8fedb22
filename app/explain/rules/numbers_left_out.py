"""Report that numbers of a large graph or of a long training were left out of the recording.

## Why it matters

The recording of one pass has a limited size. Beyond this limit, the elements of tensors are left out first, and then their
statistics. Nodes, edges and shapes are always complete, but checks that need the missing numbers cannot run.

A long training is summarized once its recording has become large or it has run for long: most steps then have only their
losses and the statistics of parameters, gradients and updates. A replay computes the other numbers of such a step.

## Example

```python
import torch

x = torch.ones(64, requires_grad=True)
y = x
for step in range(30_000):
    y = y * 1.0001
y.sum().backward()
```

A smaller graph is recorded with all its numbers:

```python
import torch

x = torch.ones(64, requires_grad=True)
y = x
for step in range(100):
    y = y * 1.0001
y.sum().backward()
```

## What it does not report

Elements of tensors that are larger than the `values` option allows. Such tensors are summarized by their statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "numbers-left-out"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for each kind of numbers that are missing."""
    for signal in recording.signals(wire.StepsSummarized):
        reason = "the run has taken long" if signal.slow else "the recording has become large"
        yield note(
            CODE,
            None,
            f"From step {signal.step} on, most steps are summarized, because {reason}.",
            "Such a step has only its losses and the statistics of parameters, gradients and updates. "
            f"Every {signal.every}th step is complete, and a replay computes the missing numbers on request.",
        )
    for unrecorded in recording.signals(wire.StepsUnrecorded):
        yield note(
            CODE,
            None,
            f"The recording ends before step {unrecorded.step}, because it has reached its largest size.",
            "The program continued, but it was no longer recorded. A shorter training is recorded to its end.",
        )
    if recording.signals(wire.NumbersLeftOut):
        yield note(
            CODE,
            None,
            "Some numbers are missing: a graph of this run is too large to record all of them.",
            "Its nodes, edges and shapes are complete. "
            "With a smaller graph, or with `capture` set to `norms`, fewer numbers are missing.",
        )
