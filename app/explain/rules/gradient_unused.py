"""Report gradients that are computed in every step and that no update uses.

## Why it matters

`backward()` only fills `.grad`. The parameters change when `optimizer.step()` reads it. If the gradients are cleared before
that, or if `step()` is never called, the program runs without an error and learns nothing.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    loss = (w ** 2).sum()
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
```

Clear the gradients before `backward()`:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    loss = (w ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Programs that only look at gradients, without an optimizer.
- Steps without an update between steps that have one, as with micro-batches.
- An optimizer that is passed to a function of another library, which may call `step()` itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..steps import first_steps
from ..syntax import Syntax

CODE: Final = "gradient-unused"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run."""
_WRAPS: Final = ("lr_scheduler", "LR", "Scheduler", "scheduler", "CosineAnnealing", "ReduceLROnPlateau")
"""Parts of names of functions that get an optimizer without calling its ``step``."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding if no step of the run uses its gradients although the program has an optimizer."""
    steps = list(first_steps(recording))
    if len(steps) < STEPS or any(row.grad_used >= 0 for step in steps for row in step.parameters):
        return
    if not all(any(row.contribution >= 0 for row in step.parameters) for step in steps):
        return
    if all(step.optimizer is not None for step in steps):
        yield from _cleared(recording, syntax, steps[0])
    elif all(step.optimizer is None and not step.update for step in steps):
        yield from _never_stepped(recording, syntax, steps)


def _cleared(recording: Recording, syntax: Syntax, step: wire.StepEvent) -> Iterator[model.Finding]:
    """Yield the finding for gradients that are cleared after the pass and before the optimizer's step."""
    backward = recording.log.pass_(step.main).line if step.main >= 0 else -1
    calls = sorted(
        (call.lineno, call.col_offset, name)
        for call in syntax.statements(ast.Call)
        if isinstance(call.func, ast.Attribute) and (name := call.func.attr) in ("zero_grad", "step")
        if call.lineno in step.update
    )
    clearing = next((line for line, _, name in calls if name == "zero_grad"), None)
    stepping = next((line for line, _, name in calls if name == "step" and clearing is not None and line >= clearing), None)
    if clearing is None or stepping is None:
        return
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=clearing,
        step=step.index,
        node=None,
        message=f"Line {clearing} clears the gradients before line {stepping} uses them, so no parameter changes.",
        why=f"The `backward()` on line {backward} computes the gradients, and `step()` finds none. Call `zero_grad()` before "
        "`backward()`, or after `step()`.",
        pass_=step.main if step.main >= 0 else None,
    )


def _never_stepped(recording: Recording, syntax: Syntax, steps: list[wire.StepEvent]) -> Iterator[model.Finding]:
    """Yield the finding for an optimizer whose ``step`` the program never calls."""
    for statement in syntax.statements(ast.Assign):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)) if _is_optimizer(syntax, function):
                pass
            case _:
                continue
        uses = [node for node in syntax.statements(ast.Name) if node.id == name and isinstance(node.ctx, ast.Load)]
        if not uses or not all(_does_not_step(syntax, use) for use in uses):
            continue
        main = steps[0].main
        backward = recording.log.pass_(main).line if main >= 0 else -1
        schedulers = [each for each in _schedulers(syntax, uses) if each]
        confused = f" `{schedulers[0]}.step()` only changes the learning rate." if schedulers else ""
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=backward if backward > 0 else statement.lineno,
            step=steps[0].index,
            node=None,
            message=f"The gradients are computed in each step, but `{name}.step()` is never called, so no parameter changes.",
            why=f"`backward()` only fills `.grad`. Call `{name}.step()` after it.{confused}",
            pass_=main if main >= 0 else None,
        )
        return


def _is_optimizer(syntax: Syntax, function: ast.expr) -> bool:
    text = syntax.text(function)
    return "optim." in text and "lr_scheduler" not in text


def _does_not_step(syntax: Syntax, use: ast.Name) -> bool:
    """Return whether a use of an optimizer leaves its parameters unchanged."""
    parent = syntax.parent(use)
    if isinstance(parent, ast.Attribute):
        return parent.attr in ("zero_grad", "param_groups", "state_dict", "defaults", "state", "add_param_group")
    while isinstance(parent, ast.keyword | ast.Starred | ast.List | ast.Tuple):
        parent = syntax.parent(parent)
    return isinstance(parent, ast.Call) and any(part in syntax.text(parent.func) for part in _WRAPS)


def _schedulers(syntax: Syntax, uses: list[ast.Name]) -> Iterator[str | None]:
    """Yield the names of the learning-rate schedulers that were made with an optimizer and whose ``step`` is called."""
    for use in uses:
        statement = syntax.statement_of(use)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            stepped = (
                isinstance(call.func, ast.Attribute) and call.func.attr == "step" and syntax.text(call.func.value) == name
                for call in syntax.statements(ast.Call)
            )
            yield name if any(stepped) else None
