"""Report that the recording ended because a second thread computed with gradients.

## Why it matters

PyTorch numbers the nodes of each thread from zero, and steps of several threads overlap. A recording of them would mix the
lines and numbers of one thread with those of another. So one thread is recorded: the main one, or the first thread that
computes with gradients if the main one has not. The program itself runs on as it would alone.

## Example

```python
import threading

import torch


def train():
    w = torch.ones(2, requires_grad=True)
    (w * w).sum().backward()


threads = [threading.Thread(target=train) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
```

One after the other, both are recorded:

```python
import torch


def train():
    w = torch.ones(2, requires_grad=True)
    (w * w).sum().backward()


for _ in range(2):
    train()
```

## What it does not report

Threads that load data, write files or evaluate without gradients: beside them, the recording goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..rule import note
from ..syntax import Syntax

CODE: Final = "several-threads"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the second thread that computes with gradients."""
    for signal in recording.signals(wire.SeveralThreads):
        yield note(
            CODE,
            signal.line,
            "The recording ends here: a second thread computes with gradients.",
            "One thread is recorded. The program has run on as it would alone, but later steps and passes are not shown. To "
            "see them, train in one thread.",
        )
