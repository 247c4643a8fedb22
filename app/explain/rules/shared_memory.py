"""Report two parameters that use the same memory, so that every update of one also changes the other.

## Why it matters

`b.weight.data = a.weight.data` and `nn.Parameter(a.weight)` do not copy: two parameters then use the same memory. Each has its
own gradient and its own state in the optimizer, and each update is applied to the same numbers, one after the other.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, a, b = torch.randn(8, 4), nn.Linear(4, 4), nn.Linear(4, 4)
b.weight.data = a.weight.data
optimizer = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
for step in range(3):
    loss = ((b(a(x).tanh()) - x) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Copy the numbers. To share a weight, share the parameter itself: `b.weight = a.weight`.

```python
import torch
from torch import nn

torch.manual_seed(0)
x, a, b = torch.randn(8, 4), nn.Linear(4, 4), nn.Linear(4, 4)
b.weight.data.copy_(a.weight.data)
optimizer = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
for step in range(3):
    loss = ((b(a(x).tanh()) - x) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- One parameter under two names, as in weights that are tied on purpose.
- Parameters that get equal gradients, and parameters with equal elements, such as biases that are all 0.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.losses import bindings
from ..program.syntax import Syntax, called
from ..recorded.steps import first_steps
from ..wording import listed

CODE: Final = "shared-memory"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps in which the values must be equal although the gradients differ."""

_Numbers = tuple[object, ...]


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each group of parameters with equal values and different gradients in several of the first steps."""
    pairs: dict[tuple[int, ...], int] = defaultdict(int)
    names: dict[int, str] = {}
    apart: set[int] = set()
    for step in first_steps(recording):
        names |= {row.parameter: row.name for row in step.parameters if row.name is not None}
        for group in _equal(step, apart):
            pairs[group] += 1
    for group, count in pairs.items():
        found = [names[each] for each in group if each in names]
        if count >= STEPS and len(found) > 1:
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=_line(syntax, found),
                step=0,
                node=None,
                message=f"{listed(found)} are different parameters that use the same memory.",
                why="They have equal values after every update, although their gradients differ: each update changes the "
                "numbers of all of them. Copy the numbers with `copy_`, or use one parameter in both layers.",
            )


def _equal(step: wire.StepEvent, apart: set[int]) -> Iterator[tuple[int, ...]]:
    """Yield the groups of parameters that are equal both before and after the update of a step, with different gradients.

    Parameters in ``apart`` are skipped. Those whose norm equals that of another, but whose other statistics differ, are added.
    """
    tensors = Tensors(step.tensors)
    groups: dict[_Numbers, dict[int, _Numbers]] = defaultdict(dict)
    for row in _of_equal_norm(step, tensors, apart):
        before, after = _numbers(tensors.summary(row.value)), _numbers(tensors.summary(row.value_after))
        used = _numbers(tensors.summary(row.grad_used))
        if before is not None and after is not None and used is not None and before != after:
            groups[before + after][row.parameter] = used
    for group in groups.values():
        if len(group) == 1:
            apart.update(group)
        elif len(set(group.values())) > 1:
            yield tuple(sorted(group))


def _of_equal_norm(step: wire.StepEvent, tensors: Tensors, apart: set[int]) -> Iterator[wire.ParameterRow]:
    """Yield the parameters, except those in ``apart``, whose norm before and after the update another one has too.

    The norms of all parameters are read at once. Few are equal, so the other statistics are read only for these.
    """
    norms = tensors.norms().tolist()
    groups: dict[tuple[str, str], list[wire.ParameterRow]] = defaultdict(list)
    for row in step.parameters:
        if row.parameter not in apart and min(row.value, row.value_after, row.grad_used) >= 0:
            groups[_rounded(norms[row.value]), _rounded(norms[row.value_after])].append(row)
    for group in groups.values():
        if len(group) > 1:
            yield from group


def _rounded(norm: float) -> str:
    """Return a norm as text. A transpose adds its elements up in another order, so not all digits are equal."""
    return f"{norm:.5g}"


def _numbers(summary: model.TensorSummary | None) -> _Numbers | None:
    """Return the statistics of a tensor; ``None`` for a tensor whose elements are all equal."""
    if summary is None or summary.norm is None or summary.min == summary.max:
        return None
    if not isinstance(summary.mean, float | int) or not isinstance(summary.norm, float | int) or not summary.norm:
        return None
    mean = round(summary.mean / summary.norm, 5)
    return (*sorted(summary.shape), summary.min, summary.max, mean, _rounded(summary.norm))


def _line(syntax: Syntax, names: list[str]) -> int | None:
    """Return the line that makes one of these parameters use the memory of another one."""
    attributes = {name.rpartition(".")[2] for name in names}
    for statement in syntax.statements(ast.Assign):
        match statement:
            case ast.Assign(targets=[ast.Attribute(attr="data", value=target)], value=value):
                given = _viewed(value)
                named = isinstance(given, ast.Attribute) and given.attr in ("data", "weight", "bias")
                if named and syntax.text(target).rpartition(".")[2] in attributes:
                    return statement.lineno
    made = (
        target.lineno
        for target, value in bindings(syntax)
        if isinstance(value, ast.Call)
        and called(value) == "Parameter"
        and syntax.text(target).rpartition(".")[2].rpartition(" ")[2] in attributes
    )
    return max(made, default=None)


def _viewed(node: ast.expr) -> ast.expr:
    """Return the tensor of which an expression is a view, as in ``w.t()``, ``w.T`` or ``w.view(4, 2)``."""
    while True:
        match node:
            case ast.Call(func=ast.Attribute(attr="t" | "view" | "reshape" | "transpose" | "permute", value=value)):
                node = value
            case ast.Attribute(attr="T" | "mT", value=value):
                node = value
            case _:
                return node
