"""Report a parameter that the optimizer changes although its gradient is 0 in every step.

## Why it matters

A gradient of 0 does not freeze a parameter. Weight decay pulls it towards 0 all the same, and momentum continues the changes of
earlier steps. If a mask or a hook sets the gradient of a parameter to 0, or that of some of its elements, they still change.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
frozen = torch.ones(2, requires_grad=True)
frozen.register_hook(torch.zeros_like)
optimizer = torch.optim.SGD([w, frozen], lr=0.1, weight_decay=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = ((w + frozen) ** 2).sum()
    loss.backward()
    optimizer.step()
```

Leave the parameter out of the optimizer:

```python
import torch

w = torch.ones(2, requires_grad=True)
frozen = torch.ones(2)
optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = ((w + frozen) ** 2).sum()
    loss.backward()
    optimizer.step()
```

## What it does not report

- A parameter whose gradient differs from 0 in any of the first steps, unless a mask sets some elements of it to 0.
- Elements whose gradient is 0 although the program does not mask it, such as unused rows of an embedding.
- Runs with fewer than two updates of the parameter.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax, called
from ..recorded.steps import always_zero, first_steps, is_zero
from ..wording import listed, short

CODE: Final = "update-without-gradient"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_MAKES: Final = frozenset({"tensor", "zeros", "ones", "zeros_like", "ones_like", "bernoulli"})
"""Functions that make a mask."""
UPDATES: Final = 2
"""Smallest number of updates of a parameter."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for all parameters that the optimizer changes although their gradients are always 0."""
    zero, _ = always_zero(recording, "grad_used")
    changed: Counter[int] = Counter()
    names: dict[int, str] = {}
    last: wire.StepEvent | None = None
    for step in first_steps(recording) if zero else ():
        tensors = Tensors(step.tensors)
        for row in step.parameters:
            update = tensors.summary(row.update)
            if f"p{row.parameter}" in zero and step.optimizer and row.grad_used >= 0 and update and not is_zero(update):
                changed[row.parameter] += 1
                names[row.parameter] = row.name or f"p{row.parameter}"
                last = step
    found = [names[parameter] for parameter, count in changed.items() if count >= UPDATES]
    if found and last is not None:
        yield _finding(syntax, last, found, single=len(found) == 1)
    elif (masked := _masked(recording, syntax)) is not None:
        name, step, count = masked
        yield _finding(syntax, step, [name], single=count == 1, part=f"{count:,} {'element' if count == 1 else 'elements'} of ")


def _finding(syntax: Syntax, step: wire.StepEvent, names: list[str], *, single: bool, part: str = "") -> model.Finding:
    """Return the finding about parameters, or a ``part`` of one, that the update of a step changes."""
    stepping = next((call for line in reversed(step.update) if (call := syntax.call(line, "step")) is not None), None)
    options, name = _options(step), (step.optimizer or {}).get("name")
    because = f" because of {' and '.join(options)}" if options else ""
    it = "its gradient is" if single else "their gradients are"
    remedy = (
        f"Leave {'it' if single else 'them'} out of the optimizer, or call `requires_grad_(False)`, so that there is no "
        "gradient at all."
        if not part
        else "Use an optimizer without weight decay and momentum, or write the old numbers back after each step."
    )
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=stepping.lineno if stepping is not None else (step.update[-1] if step.update else None),
        step=step.index,
        node=None,
        message=f"`{name}` changes {part}{listed(names)} in each step{because}, although {it} exactly 0.",
        why=f"A gradient of 0 does not freeze a parameter. {remedy}",
    )


def _masked(recording: Recording, syntax: Syntax) -> tuple[str, wire.StepEvent, int] | None:
    """Return the name of a parameter of which the program masks the gradient, while the optimizer changes masked elements.

    Return a step that changes such elements, and the number of these elements, too.
    """
    if not _masks(syntax):
        return None
    earlier: dict[int, tuple[int | None, int]] = {}
    for step in first_steps(recording):
        tensors = Tensors(step.tensors)
        for row in step.parameters if step.optimizer else ():
            used, update = tensors.summary(row.grad_used), tensors.summary(row.update)
            if used is None or update is None or not used.zeros or update.zeros is None or used.zeros == prod(used.shape):
                earlier.pop(row.parameter, None)
                continue
            before, count = earlier.get(row.parameter, (None, 0))
            count = count + 1 if before == used.zeros and update.zeros < used.zeros else 0
            if count >= UPDATES:
                return row.name or f"p{row.parameter}", step, used.zeros - update.zeros
            earlier[row.parameter] = used.zeros, count
    return None


def _masks(syntax: Syntax) -> bool:
    """Return whether the program multiplies a gradient by a variable, or sets some of its elements to 0."""
    for statement in syntax.statements(ast.stmt):
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="mul_" | "masked_fill_", value=value), args=[mask, *_])):
                pass
            case ast.AugAssign(target=value, op=ast.Mult(), value=mask):
                pass
            case ast.Assign(targets=[ast.Subscript(value=written)], value=ast.Constant(value=0 | 0.0)) if _is_gradient(written):
                return True
            case ast.Assign(targets=[ast.Attribute(attr="grad") as value], value=ast.BinOp(op=ast.Mult(), right=mask)):
                pass
            case _:
                continue
        if _is_gradient(value) and _is_mask(syntax, mask):
            return True
    for call in syntax.statements(ast.Call):
        match call:
            case ast.Call(
                func=ast.Attribute(attr="register_hook"), args=[ast.Lambda(body=ast.BinOp(op=ast.Mult(), left=a, right=b))]
            ):
                if _is_mask(syntax, a) or _is_mask(syntax, b):
                    return True
    return False


def _is_mask(syntax: Syntax, node: ast.expr) -> bool:
    """Return whether an expression is a mask: by its name, or a name of a tensor that is made of numbers or comparisons."""
    if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        return False
    if "mask" in syntax.text(node).lower():
        return True
    values = syntax.assigned(node.id) if isinstance(node, ast.Name) else []
    nodes = [each for value in values for each in ast.walk(value)]
    return any(isinstance(each, ast.Compare) or (isinstance(each, ast.Call) and called(each) in _MAKES) for each in nodes)


def _is_gradient(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute) and node.attr == "data":
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == "grad"


def _options(step: wire.StepEvent) -> list[str]:
    """Return the options of the optimizer that change a parameter whose gradient is 0, as code."""
    every = [group.options for group in step.groups] or [step.optimizer or {}]
    found = {
        key: value
        for options in every
        for key in ("weight_decay", "momentum")
        if isinstance(value := options.get(key), int | float) and value
    }
    return [f"`{key}={short(value)}`" for key, value in found.items()]
