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
from ..program.optimizers import Optimizer, is_optimizer, optimizers
from ..program.syntax import Syntax, called
from ..recorded.returned_gradients import step_in_vain
from ..recorded.steps import first_steps

CODE: Final = "gradient-unused"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run."""
_WRAPS: Final = ("lr_scheduler", "LR", "Scheduler", "scheduler", "CosineAnnealing", "ReduceLROnPlateau")
"""Parts of names of functions that get an optimizer without calling its ``step``."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for gradients that no step of the run uses although the program has an optimizer for them."""
    steps = list(first_steps(recording))
    if len(steps) < STEPS:
        return
    filled = [{row.parameter for row in step.parameters if row.contribution >= 0} for step in steps]
    used = {row.parameter for step in steps for row in step.parameters if row.grad_used >= 0}
    unused = set.intersection(*filled) - used
    if all(filled) and not used and (stepping := step_in_vain(recording, syntax, steps)):
        yield _returned(recording, steps[0], stepping, syntax)  # torch.func makes new parameters for each call
    elif not unused:
        return
    elif not used and (found := _stepped_before(recording, syntax, steps[-1])):
        yield found
    elif used:
        yield from _of_one_optimizer(recording, syntax, steps, unused)
    elif all(step.optimizer is not None for step in steps):
        yield from _cleared(recording, syntax, steps[0])
    elif all(step.optimizer is None and not step.update for step in steps):
        yield from _never_stepped(recording, syntax, steps, [*optimizers(syntax), *_passed(syntax)])


def _returned(recording: Recording, step: wire.StepEvent, stepping: ast.Call, syntax: Syntax) -> model.Finding:
    text = syntax.text(stepping)
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=stepping.lineno,
        step=step.index,
        node=None,
        message=f"`{text}` finds no gradients, because line {recording.log.pass_(step.main).line} only returns them. No "
        "parameter changes.",
        why="`step()` reads the `.grad` of each parameter. `autograd.grad` and `torch.func.grad` do not fill it. Write the "
        f"gradients to `.grad` before line {stepping.lineno}, or call `backward()`.",
        pass_=step.main,
    )


def _stepped_before(recording: Recording, syntax: Syntax, step: wire.StepEvent) -> model.Finding | None:
    """Return the finding for a loop that clears the gradients, calls ``step()`` and computes the gradients last."""
    backward = recording.log.pass_(step.main).line if step.main >= 0 else -1
    made = syntax.call(backward, "backward")
    loop = syntax.repetition(made) if made is not None else None
    for optimizer in optimizers(syntax) if loop is not None else ():
        inside = set(ast.walk(loop)) if loop is not None else set()
        stepped = [call for call in (*optimizer.calls(syntax, "step"), *_steps_of_scaler(syntax, optimizer)) if call in inside]
        stepping = [call.lineno for call in stepped]
        clearing = [call.lineno for call in syntax.statements(ast.Call) if called(call) == "zero_grad" and call in inside]
        if stepping and clearing and max(clearing) <= min(stepping) and max(stepping) < backward:
            return model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=stepping[0],
                step=step.index,
                node=None,
                message=f"`{syntax.text(stepped[0])}` runs between `zero_grad()` and `backward()`, so it finds no "
                "gradients, and the parameters stay the same.",
                why=f"The `backward()` on line {backward} computes gradients that line {clearing[0]} clears before they are "
                f"used. Call `{syntax.text(stepped[0])}` after `backward()`.",
                pass_=step.main,
            )
    return None


def _steps_of_scaler(syntax: Syntax, optimizer: Optimizer) -> Iterator[ast.Call]:
    """Yield the calls that update through a scaler, such as ``scaler.step(optimizer)``."""
    for call in syntax.statements(ast.Call):
        if called(call) == "step" and [syntax.text(each) for each in call.args] == [optimizer.name]:
            yield call


def _passed(syntax: Syntax) -> Iterator[Optimizer]:
    """Yield the optimizers that the program's functions get as arguments, if the program makes any optimizer."""
    made = next((call for call in syntax.statements(ast.Call) if is_optimizer(syntax, call)), None)
    for call in syntax.statements(ast.Call) if made is not None else ():
        owner = call.func.value if isinstance(call.func, ast.Attribute) and called(call) == "zero_grad" else None
        function = syntax.function_of(call)
        if made is None or not isinstance(owner, ast.Name) or function is None or not owner.id.startswith(("opt", "solver")):
            continue
        if owner.id in {each.arg for each in function.args.args}:
            yield Optimizer(owner.id, owner, made)


def _of_one_optimizer(
    recording: Recording, syntax: Syntax, steps: list[wire.StepEvent], unused: set[int]
) -> Iterator[model.Finding]:
    """Yield the finding for an optimizer of which no parameter is updated, although other optimizers update theirs."""
    names = {row.parameter: row.name or "" for step in steps for row in step.parameters}
    for optimizer in optimizers(syntax):
        owned = {parameter for parameter, name in names.items() if optimizer.owns(name)}
        if owned and owned <= unused:
            backward = recording.log.pass_(steps[0].main).line if steps[0].main >= 0 else -1
            clearing = _cleared_between(syntax, optimizer, backward)
            if clearing is not None:
                yield _cleared_finding(clearing[0], clearing[1], backward, steps[0])
                return
            found = list(_never_stepped(recording, syntax, steps, [optimizer]))
            yield from found
            if found:
                return


def _cleared_between(syntax: Syntax, optimizer: Optimizer, backward: int) -> tuple[int, int] | None:
    """Return the lines of the clearing and of the step of an optimizer, if both follow the pass in this order."""
    calls = {
        name: [call.lineno for call in optimizer.calls(syntax, name) if call.lineno > backward]
        for name in ("zero_grad", "step")
    }
    clearing = min(calls["zero_grad"], default=None)
    stepping = min(calls["step"], default=None)
    if clearing is None or stepping is None or clearing >= stepping:
        return None
    between = (call.lineno for call in syntax.statements(ast.Call) if called(call) == "backward")
    return None if any(clearing < line < stepping for line in between) else (clearing, stepping)


def _cleared(recording: Recording, syntax: Syntax, step: wire.StepEvent) -> Iterator[model.Finding]:
    """Yield the finding for gradients that are cleared after the pass and before the optimizer's step."""
    backward = recording.log.pass_(step.main).line if step.main >= 0 else -1
    clears = [call.lineno for call in syntax.statements(ast.Call) if called(call) == "zero_grad"] + list(_resets(syntax))
    steps = [
        call.lineno for call in syntax.statements(ast.Call) if isinstance(call.func, ast.Attribute) and called(call) == "step"
    ]
    clearing = min((line for line in clears if line in step.update or line - 1 in step.update), default=None)
    if clearing is not None and (
        stepping := min((line for line in steps if line in step.update and line >= clearing), default=None)
    ):
        yield _cleared_finding(clearing, stepping, backward, step)


def _resets(syntax: Syntax) -> Iterator[int]:
    """Yield the lines that set a ``.grad`` to ``None``."""
    for statement in syntax.statements(ast.Assign):
        match statement:
            case ast.Assign(targets=[ast.Attribute(attr="grad")], value=ast.Constant(value=None)):
                yield statement.lineno


def _cleared_finding(clearing: int, stepping: int, backward: int, step: wire.StepEvent) -> model.Finding:
    return model.Finding(
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


def _never_stepped(
    recording: Recording, syntax: Syntax, steps: list[wire.StepEvent], candidates: list[Optimizer]
) -> Iterator[model.Finding]:
    """Yield the finding for the first of these optimizers whose ``step`` the program never calls."""
    for optimizer in candidates:
        uses = optimizer.uses(syntax)
        if not uses or not all(_does_not_step(syntax, use) for use in uses):
            continue
        name, main = optimizer.name, steps[0].main
        uncalled = next((use.lineno for use in uses if _names_step(syntax, use)), None)
        backward = recording.log.pass_(main).line if main >= 0 else -1
        confused = next((f" `{each}.step()` only changes the learning rate." for each in _schedulers(syntax, uses) if each), "")
        if uncalled is not None:
            confused = f" Line {uncalled} names the method without calling it."
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=uncalled or (backward if backward > 0 else optimizer.made.lineno),
            step=steps[0].index,
            node=None,
            message=f"The gradients are computed in each step, but `{name}.step()` is never called, so no parameter changes.",
            why=f"`backward()` only fills `.grad`. Call `{name}.step()` after it.{confused}",
            pass_=main if main >= 0 else None,
        )
        return


def _does_not_step(syntax: Syntax, use: ast.expr) -> bool:
    """Return whether a use of an optimizer leaves its parameters unchanged."""
    parent = syntax.parent(use)
    if isinstance(parent, ast.Attribute):
        harmless = ("zero_grad", "param_groups", "state_dict", "defaults", "state", "add_param_group", "load_state_dict")
        return parent.attr in harmless or _names_step(syntax, use)
    while isinstance(parent, ast.keyword | ast.Starred | ast.List | ast.Tuple):
        parent = syntax.parent(parent)
    if isinstance(parent, ast.For | ast.comprehension) and isinstance(parent.target, ast.Name):
        around = parent if isinstance(parent, ast.For) else syntax.parent(parent)
        names = (node for node in ast.walk(around) if isinstance(node, ast.Name)) if around is not None else ()
        of_loop = [node for node in names if node.id == parent.target.id and isinstance(node.ctx, ast.Load)]
        return all(isinstance(syntax.parent(node), ast.Attribute) and _does_not_step(syntax, node) for node in of_loop)
    if not isinstance(parent, ast.Call):
        return False
    return any(part in syntax.text(parent.func) for part in _WRAPS) or _keeps_name(syntax, parent, use)


def _keeps_name(syntax: Syntax, call: ast.Call, use: ast.expr) -> bool:
    """Return whether a call passes an optimizer to a function of the program, whose parameter has the same name.

    The uses in that function then count as uses of the optimizer.
    """
    for function in syntax.statements(ast.FunctionDef):
        if function.name == called(call) and use in call.args and isinstance(use, ast.Name):
            position = call.args.index(use)
            return position < len(function.args.args) and function.args.args[position].arg == use.id
    return False


def _names_step(syntax: Syntax, use: ast.expr) -> bool:
    """Return whether a use is a statement ``optimizer.step`` that does not call the method."""
    parent = syntax.parent(use)
    return isinstance(parent, ast.Attribute) and parent.attr == "step" and isinstance(syntax.parent(parent), ast.Expr)


def _schedulers(syntax: Syntax, uses: list[ast.expr]) -> Iterator[str | None]:
    """Yield the name of each learning-rate scheduler made with an optimizer, ``None`` if its ``step`` is never called."""
    for use in uses:
        statement = syntax.statement_of(use)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name | ast.Attribute):
            name = syntax.text(statement.targets[0])
            stepped = (
                isinstance(call.func, ast.Attribute) and call.func.attr == "step" and syntax.text(call.func.value) == name
                for call in syntax.statements(ast.Call)
            )
            yield name if any(stepped) else None
