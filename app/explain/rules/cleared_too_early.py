"""Report gradients of micro-batches that are cleared before the update, so that only the last micro-batch counts.

## Why it matters

To train with large batches on little memory, a program adds up the gradients of several micro-batches and updates once. The
gradients must be cleared after the update only. If they are cleared in every iteration, the update uses only the last
micro-batch. If the loss was divided by the number of micro-batches, the steps are also too small.

## Example

```python
import torch

torch.manual_seed(0)
x, w = torch.randn(12), torch.ones(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for i in range(12):
    optimizer.zero_grad()
    loss = (w * x[i] - 1) ** 2 / 4
    loss.backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
```

Clear them after the update:

```python
import torch

torch.manual_seed(0)
x, w = torch.randn(12), torch.ones(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for i in range(12):
    loss = (w * x[i] - 1) ** 2 / 4
    loss.backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
```

## What it does not report

- Programs that add up the gradients of each micro-batch themselves, for example after they have clipped them.
- A pass whose gradients the program reads before it clears them, for example to compare two losses.
- Steps without an update that occur irregularly, for example because a loss was not finite.
- Several optimizers that update different parameters in turn.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax, called
from ..recorded.steps import first_steps, is_zero

CODE: Final = "cleared-too-early"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
UPDATES: Final = 2
"""Smallest number of updates. Each of them must have lost the same number of micro-batches."""
_KEEPS: Final = frozenset({"append", "extend", "add_", "copy_"})
"""Methods that keep their argument, or add it to a tensor."""
_NUMBERS: Final = frozenset({"norm", "item", "mean", "sum", "max", "min", "float"})
"""Functions that measure a gradient."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding if the same number of micro-batches is lost before every update."""
    steps = list(first_steps(recording))
    lost: list[int] = []
    count, example = 0, -1
    for step, following in zip_longest(steps, steps[1:]):
        if not any(row.contribution >= 0 for row in step.parameters):
            return
        if step.optimizer is None and following is not None:
            if not _cleared(step, following):
                return
            count, example = count + 1, example if example >= 0 else step.index
        elif step.optimizer is not None:
            lost.append(count)
            count = 0
        elif following is not None:
            return
    if len(lost) < UPDATES or len(set(lost)) != 1 or not lost[0]:
        return
    backward = recording.log.pass_(steps[0].main).line
    clearing = _clearing(syntax, backward)
    if clearing is None or _kept(syntax):
        return
    if len({recording.log.pass_(each.main).line for each in steps}) != 1:
        yield from _of_other_pass(recording, syntax, steps, clearing)
        return
    many = f"{lost[0]} of every {lost[0] + 1} micro-batches"
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=clearing.lineno,
        step=example,
        node=None,
        message=f"Line {clearing.lineno} clears the gradients in every iteration, so the gradients of {many} are lost.",
        why=f"Each `backward()` on line {backward} adds to `.grad`, and the update uses the sum since the last "
        "`zero_grad()`. Clear the gradients only after an update.",
    )


def _kept(syntax: Syntax) -> bool:
    """Return whether the program writes a ``.grad`` itself, or adds one to a tensor or list of its own."""
    for statement in syntax.statements(ast.stmt):
        match statement:
            case ast.Assign(targets=[ast.Attribute(attr="grad")], value=value):
                if not (isinstance(value, ast.Constant) and value.value is None):
                    return True
            case ast.AugAssign(value=value) if _reads_gradient(value):
                return True
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name), args=args)) if name in _KEEPS:
                if any(_reads_gradient(each) for each in args):
                    return True
    return any(called(call) == "clone" and _reads_gradient(call.func) for call in syntax.statements(ast.Call))


def _reads_gradient(node: ast.expr) -> bool:
    """Return whether an expression reads a ``.grad``, other than for a number such as its norm."""
    numbers = (each for each in ast.walk(node) if isinstance(each, ast.Call) and called(each) in _NUMBERS)
    measured = {inner for each in numbers for inner in ast.walk(each)}
    return any(isinstance(each, ast.Attribute) and each.attr == "grad" and each not in measured for each in ast.walk(node))


def _of_other_pass(
    recording: Recording, syntax: Syntax, steps: list[wire.StepEvent], clearing: ast.Call
) -> Iterator[model.Finding]:
    """Yield the finding for the gradients of one loss that are cleared before the pass of another loss."""
    lost = {recording.log.pass_(step.main).line for step in steps if step.optimizer is None}
    used = {recording.log.pass_(step.main).line for step in steps if step.optimizer is not None}
    if len(lost) != 1 or len(used) != 1:
        return
    (first,), (second,) = lost, used
    calls = (clearing, *(call for call in syntax.statements(ast.Call) if called(call) == "zero_grad"))
    between_passes = next((call for call in calls if first < call.lineno <= second), None)
    if between_passes is None:
        return
    clearing = between_passes
    between = range(first, clearing.lineno)
    reads = (node for node in syntax.statements(ast.Attribute) if node.attr == "grad" and node.lineno in between)
    if any(reads) or any("norm" in (called(call) or "") and call.lineno in between for call in syntax.statements(ast.Call)):
        return  # the program reads the gradients of this pass itself
    example = next(step for step in steps if step.optimizer is None)
    yield model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=clearing.lineno,
        step=example.index,
        node=None,
        message=f"Line {clearing.lineno} clears the gradients of the pass on line {first} before any update uses them.",
        why=f"The update uses only the gradients of line {second}. Clear the gradients before line {first}, so that the "
        "gradients of both lines add up, or add the losses and call `backward()` once.",
        pass_=example.main,
    )


def _cleared(step: wire.StepEvent, following: wire.StepEvent) -> bool:
    """Return whether the gradients of a step without an update are cleared when the next step begins."""
    filled = {row.parameter for row in step.parameters if row.contribution >= 0}
    tensors = Tensors(following.tensors)
    rows = [row for row in following.parameters if row.parameter in filled]
    return bool(rows) and all(row.grad_before < 0 or is_zero(tensors.summary(row.grad_before)) for row in rows)


def _clearing(syntax: Syntax, backward: int) -> ast.Call | None:
    """Return the call of ``zero_grad`` in the innermost loop or function around the pass that has one, else the first call."""
    passes = syntax.call(backward, "backward")
    calls = [call for call in syntax.statements(ast.Call) if called(call) == "zero_grad"]
    around: ast.AST | None = passes
    while around is not None and (around := syntax.parent(around)) is not None:
        if isinstance(around, ast.For | ast.While | ast.FunctionDef):
            inside = set(ast.walk(around))
            if (found := next((call for call in calls if call in inside), None)) is not None:
                return found
    return calls[0] if calls else None
