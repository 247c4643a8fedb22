"""Report that the recording ended because a second thread started a backward pass.

## Why it matters

PyTorch numbers the nodes of each thread from zero, and the steps of several threads overlap. A recording of several threads
would mix up their lines and numbers. Tapedeck therefore records one thread: the first one that calls `backward()`. The
program itself is not affected.

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

If the calls run one after the other in one thread, both are recorded:

```python
import torch


def train():
    w = torch.ones(2, requires_grad=True)
    (w * w).sum().backward()


for _ in range(2):
    train()
```

## What it does not report

Threads that load data, write files or evaluate a model. They do not end the recording. If the recorded thread calls
`backward()` on a result of another thread, the graph of that result is shown without its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "several-threads"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for the second thread that starts a pass."""
    for signal in recording.signals(wire.SeveralThreads):
        yield note(
            CODE,
            signal.line,
            "The recording ends here: a second thread trains.",
            "Tapedeck records one thread. The program itself is not affected, but its later steps and passes are not shown. To "
            "see them, train in one thread.",
        )
