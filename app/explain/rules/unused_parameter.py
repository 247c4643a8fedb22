"""Report parameters that were given to an optimizer but that no backward pass of the run reaches.

## Why it matters

Such a parameter never gets a gradient, so the optimizer never changes it. The usual cause is a layer that `forward()` does not
use, or a loss that is computed from the wrong tensor.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
u = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w, u], lr=0.1)
for step in range(5):
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    loss.backward()
    optimizer.step()
```

Use the parameter in the loss, or leave it out of the optimizer:

```python
import torch

w = torch.ones(2, requires_grad=True)
u = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w, u], lr=0.1)
for step in range(5):
    optimizer.zero_grad()
    loss = (w ** 2 + u ** 2).sum()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Frozen parameters (`requires_grad=False`).
- Parameters of runs that build a different graph in different steps, as a mixture of experts does.
- Runs with a pass that was not recorded.

The finding is a warning if a line cuts the parameter from the loss, replaces the parameter after the optimizer was made, or
computes a loss with it that nothing adds to the loss of the training.
In all other cases it is a note, for example if the program updates the parameter itself, as in a target network.
If the optimizer made fewer than three steps, the note says that the run is too short to be sure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..program.unreached import cut, replaced
from ..wording import listed

CODE: Final = "unused-parameter"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning", "note")
MANY: Final = 3
"""Number of steps of an optimizer below which a run is too short to be sure."""
PASSES: Final = 1_000
"""Largest number of passes whose graphs are compared."""
_INCOMPLETE: Final = (wire.GraphTooLarge, wire.RecorderFailed)
"""Signals of a pass that may have reached more than the recording shows."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for all unused parameters.

    If the graph varies and no line certainly cuts them from the loss, yield none, because a later step may reach them.
    """
    found = recording.signals(wire.UnusedParameter)
    if not found or any(isinstance(signal, _INCOMPLETE) for signal in recording.signals()):
        return
    many = [signal for signal in found if signal.steps >= MANY]
    if not many and recording.log.counts()[2] >= MANY:
        return  # a long run in which the optimizer made only a few steps
    found = many or found
    names = [signal.name for signal in found]
    first = found[0]
    they, them = ("It has", "it") if len(names) == 1 else ("They have", "them")
    passes = recording.log.counts()[1]
    reached = [name for parameter in recording.parameters() for name in parameter.names]
    cause = replaced(syntax, names, reached, first.optimizer) or cut(syntax, names, reached)
    certain = cause is not None and cause.certain and first.steps >= MANY
    if not certain and _varies(recording):
        return
    if first.steps >= MANY:
        effect = f"{they} no gradient after {first.steps:,} steps, so the optimizer leaves {them} unchanged. "
        which = "no `backward()` of this run reaches"
    else:
        effect = f"The run is too short to be sure, because a later pass may reach {them}. "
        which = "the only `backward()` of this run does not reach" if passes == 1 else "no `backward()` of this run reaches"
    line = cause.line if cause is not None else first.line
    yield model.Finding(
        code=CODE,
        severity="warning" if certain else "note",
        file=None,
        line=line if line > 0 else None,
        step=None,
        node=None,
        message=f"`{first.optimizer}` was given {listed(names)}, but {which} {them}.",
        why=f"{effect}{cause.why}"
        if cause is not None
        else f"{effect}If this is not intended, check that the loss is computed from {them}.",
    )


def _varies(recording: Recording) -> bool:
    """Return whether passes of one line have different graphs, for example because the computation depends on the data."""
    graphs: dict[int, set[int]] = {}
    for event in recording.log.passes(0, PASSES):
        if event.kind == "backward":
            graphs.setdefault(event.line, set()).add(event.graph)
    return any(len(each) > 1 for each in graphs.values())
