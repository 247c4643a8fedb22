"""Report a hook or a custom `backward` that writes in place to the gradient that it receives.

## Why it matters

PyTorch may pass the same tensor to several branches of the graph, for example to both operands of an addition. A hook or a
custom `backward` that writes to it then changes the gradient of the other branches too. The effect depends on the order in
which the branches run. PyTorch does not check this and raises no error.

## Example

```python
import torch

w = torch.tensor([0.5, 2.0], requires_grad=True)
a = w * 2
b = w * 3
b.register_hook(lambda g: g.clamp_(-1, 1))
((a + b) ** 2).sum().backward()
```

The branch of `a` gets the clamped gradient too. Return a new tensor instead:

```python
import torch

w = torch.tensor([0.5, 2.0], requires_grad=True)
a = w * 2
b = w * 3
b.register_hook(lambda g: g.clamp(-1, 1))
((a + b) ** 2).sum().backward()
```

## What it does not report

- Writes to a copy, as after `g = g.clone()`, and hooks that return a new tensor.
- Writes to the `.grad` of a parameter, in a hook that runs after the gradient is accumulated, or after the pass.
- Writes that PyTorch refuses with an error. Another finding explains the error.
- Writes that PyTorch does not observe, for example through a NumPy array that a hook keeps for later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax

CODE: Final = "gradient-modified"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that writes in place to a gradient that other nodes may still receive."""
    refused = {(each.pass_, each.raised if each.raised > 0 else each.line) for each in recording.signals(wire.PassFailed)}
    for signal in recording.signals(wire.GradientModified):
        if (signal.pass_, signal.line) in refused:  # another finding explains the error
            continue
        nodes = recording.graph(signal.graph).nodes
        node = nodes[signal.node]
        writer = "This custom `backward`" if signal.in_formula else "A hook"
        remedy = "Compute a new tensor and return it: `g * 2` instead of `g.mul_(2)`, or `g = g.clone()` before a write."
        if signal.shared >= 0:
            other = nodes[signal.shared]
            name = f"`{other.name}`" if other.name else f"`{other.op}`"
            effect = f"The gradient of {name} shares the same memory, so it was changed too."
        else:
            effect = "PyTorch may use the same memory for the gradients of other branches, which are then changed too."
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=signal.line if signal.line > 0 else None,
            step=signal.step,
            node=node.id,
            message=f"{writer} writes in place to the gradient that it receives.",
            why=f"{effect} {remedy}",
            pass_=signal.pass_,
        )
