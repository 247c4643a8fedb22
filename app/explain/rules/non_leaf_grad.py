"""Report a `.grad` that is read from a computed tensor, where it is always `None`.

## Why it matters

`backward()` stores gradients in leaves only: in tensors that the program created with `requires_grad=True`. The gradient of a
computed tensor is used during the pass and then freed, so its `.grad` is `None`. Code that reads it fails or does nothing.

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

If the tensor was meant to be trained, as `w` in `w = torch.ones(3, requires_grad=True) * 0.1`, make it a leaf instead:
`w = (torch.ones(3) * 0.1).requires_grad_()`. A retained gradient would not help, because `w` would still be computed from a
leaf without a name.

## What it does not report

A `.grad` that is read before any pass has reached the tensor, and a `.grad` of a detached tensor.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.signals import distinct
from ..rewriting.leaves import as_leaf, meant_as_leaf

CODE: Final = "non-leaf-grad"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each read of a computed tensor's ``.grad``. A fix retains the gradient or makes the tensor a leaf."""
    signals = (signal for signal in recording.signals(wire.NonLeafGrad) if signal.line > 0)
    for signal in distinct(signals, lambda signal: (signal.line, signal.name, signal.graph)):
        what = signal.name or ""
        last = recording.last_pass(signal.graph, before=recording.log.counts()[1])
        nodes = recording.graph(recording.log.pass_(last).graph).nodes if last is not None else []
        node = next((node for node in nodes if node.name == signal.name and node.kind == "op"), None)
        line = node.line if node is not None and what.isidentifier() else None
        created = syntax.assignment(what, line) if line is not None else None
        fix = None
        remedy = "Call `retain_grad()` before `backward()` to keep it."
        if what and meant_as_leaf(syntax, what, created):
            fix = as_leaf(recording, syntax, what, created) if what.isidentifier() else None
            remedy = f"To train `{what}`, make it a leaf: compute first, then call `requires_grad_()` on the result."
        elif created is not None and syntax.alone(created) and _again(syntax, created, recording.log.pass_(last or 0).line):
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
            why=f"Its gradient existed during the pass, and the graph shows it. {remedy}",
            fix=fix,
            pass_=last,
        )


def _again(syntax: Syntax, created: ast.stmt, line: int) -> bool:
    """Return whether a tensor is made again for each pass: in the innermost loop around the pass, if there is one."""
    call = syntax.statement_of(syntax.call(line, "backward", "grad"))
    loops = syntax.loops(call)
    return call is not None and (not loops or created in ast.walk(loops[0])) and len(_given(syntax, created)) == 1


def _given(syntax: Syntax, created: ast.stmt) -> list[ast.expr]:
    """Return all values that the program assigns to the name of an assignment."""
    target = created.targets[0] if isinstance(created, ast.Assign) else None
    return syntax.assigned(target.id) if isinstance(target, ast.Name) else []
