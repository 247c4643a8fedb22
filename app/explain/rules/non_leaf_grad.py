"""Report a `.grad` that is read from a computed tensor, where it is always `None`.

## Why it matters

`backward()` stores gradients in leaves only: in tensors that the program created with `requires_grad=True`. The gradient of
a computed tensor is used on the way and then dropped, so its `.grad` is `None`, and code that relies on it goes wrong.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x * 2
y.sum().backward()
print(y.grad)
```

Ask PyTorch to keep the gradient before the pass runs:

```python
import torch

x = torch.ones(3, requires_grad=True)
y = x * 2
y.retain_grad()
y.sum().backward()
print(y.grad)
```

## What it does not report

A `.grad` that is read before any pass has reached the tensor, and a `.grad` of a detached tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..syntax import Syntax

CODE: Final = "non-leaf-grad"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each read of such a ``.grad``, with a fix that retains the gradient."""
    for signal in recording.signals(wire.NonLeafGrad):
        if signal.line < 1:
            continue
        what = signal.name or ""
        last = recording.last_pass(signal.graph, before=recording.log.counts()[1])
        nodes = recording.graph(recording.log.pass_(last).graph).nodes if last is not None else []
        node = next((node for node in nodes if node.name == signal.name and node.kind == "op"), None)
        line = node.line if node is not None and what.isidentifier() else None
        created = syntax.assignment(what, line) if line is not None else None
        fix = None
        if created is not None and syntax.alone(created):
            start, end = syntax.span(created)
            text = f"\n{' ' * start[1]}{what}.retain_grad()"
            fix = model.Fix(f"Keep the gradient of `{what}`", [model.Edit(end, end, text)])
        subject = f"`{what}.grad` is `None` here: `{what}`" if what else "This `.grad` is `None`: the tensor"
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=signal.line,
            step=recording.log.pass_(last).step if last is not None else None,
            node=node.id if node is not None else None,
            message=f"{subject} is a computed result, and `backward()` fills `.grad` only for leaves.",
            why="Its gradient existed during the pass, and the graph shows it. "
            "Call `retain_grad()` before `backward()` to keep it.",
            fix=fix,
            pass_=last,
        )
