"""Report a parameter that is updated through `.data`, where autograd does not see the change.

## Why it matters

A change through `.data` is invisible to autograd. If a graph still needs the old values, its gradients are silently wrong.
An update under `torch.no_grad()` is just as fast, and PyTorch then raises an error instead.

## Example

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(3):
    loss = (w - 1) ** 2
    loss.backward()
    w.data -= 0.1 * w.grad
    w.grad = None
```

Write to the parameter itself, with gradients off:

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(3):
    loss = (w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
```

## What it does not report

Parameters whose shape changes: a new size can be assigned only through `.data`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from ... import model
from ...recording import Recording, Tensors
from ..program.syntax import Syntax
from ..program.updates import Update, updates
from ..rewriting.rewrites import MOST_SHARED, shared
from ..wording import listed

CODE: Final = "data-update"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)
STEPS: Final = 50
"""Largest number of steps whose updates are searched."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one note for all updates through ``.data``, with a fix that rewrites them."""
    found: dict[ast.stmt, Update] = {}
    first: int | None = None
    same = True
    for index in range(min(recording.log.counts()[2], STEPS)):
        step = recording.log.step(index)
        tensors = Tensors(step.tensors)
        shapes = [(row.value, row.value_after) for row in step.parameters if min(row.value, row.value_after) >= 0]
        if any(tensors.shape(before) != tensors.shape(after) for before, after in shapes):
            return  # a new size can be assigned only through .data
        same = same and all(tensors.dtype(before) == tensors.dtype(after) for before, after in shapes)
        for each in updates(syntax, step.update):
            if each.through_data:
                found[each.statement] = each
                first = index if first is None else first
    if not found:
        return
    names = list(dict.fromkeys(syntax.text(each.target) for each in found.values()))
    yield model.Finding(
        code=CODE,
        severity="note",
        file=None,
        line=min(statement.lineno for statement in found),
        step=first,
        node=None,
        message=f"{listed(names)} {'is' if len(names) == 1 else 'are'} updated through `.data`, which autograd does not see.",
        why="If a graph still needs the old values, its gradients are silently wrong. "
        "Write to the parameter itself under `torch.no_grad()`: PyTorch then raises an error instead.",
        fix=_fix(syntax, list(found.values())) if same else None,
    )


def _fix(syntax: Syntax, found: list[Update]) -> model.Fix | None:
    """Return the fix that writes to the parameters themselves, with adjacent statements under one ``no_grad``."""
    torch = syntax.torch_name()
    if syntax.keeps_graphs() or len(found) > MOST_SHARED:
        return None  # in a kept graph, a write that PyTorch sees may raise an error
    for each in found:
        rebinds = isinstance(each.statement, ast.Assign) and isinstance(each.statement.targets[0], ast.Attribute)
        if rebinds and shared(syntax, syntax.text(each.target)):
            return None  # a write in place would also change the tensor under its other name
    if not all(syntax.alone(each.statement) for each in found):
        return None
    if torch is None and not all(syntax.in_no_grad(each.statement) for each in found):
        return None
    groups: list[list[Update]] = [[found[0]]]
    for one, other in pairwise(found):
        together = other.statement.lineno == (one.statement.end_lineno or 0) + 1
        if together and syntax.indent(one.statement) == syntax.indent(other.statement):
            groups[-1].append(other)
        else:
            groups.append([other])
    return model.Fix("Write to the parameter itself, under `no_grad`", [_edit(syntax, group, torch) for group in groups])


def _edit(syntax: Syntax, group: list[Update], torch: str | None) -> model.Edit:
    (start, _), (_, end) = syntax.span(group[0].statement), syntax.span(group[-1].statement)
    indent = syntax.indent(group[0].statement)
    covered = syntax.in_no_grad(group[0].statement)
    inner = indent if covered else f"{indent}    "
    written = []
    for each in group:
        _, (line, column) = syntax.span(each.statement)
        comment = syntax.lines[line - 1][column:] if each is not group[-1] else ""
        written.append(f"{_itself(syntax, each)}{comment}")
    text = f"\n{inner}".join(written)
    return model.Edit(start, end, text if covered else f"with {torch}.no_grad():\n{inner}{text}")


def _itself(syntax: Syntax, update: Update) -> str:
    """Return the statement that makes the same change to the parameter itself."""
    statement, target = update.statement, syntax.text(update.target)
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
        value = statement.value
        operator = {ast.Sub: "-=", ast.Add: "+="}.get(type(value.op)) if isinstance(value, ast.BinOp) else None
        if operator is not None and isinstance(value, ast.BinOp) and syntax.text(value.left) in (target, f"{target}.data"):
            one_line = value.right.lineno == value.right.end_lineno
            right = _plain(syntax, value.right, target)
            return f"{target} {operator} {right if one_line else f'({right})'}"
        return f"{target}.copy_({_plain(syntax, value, target)})"
    return _plain(syntax, statement, target)


def _plain(syntax: Syntax, node: ast.expr | ast.stmt, target: str) -> str:
    """Return the text of an expression, without the ``.data`` of a parameter and of gradients."""
    text = syntax.text(node)
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and each.attr == "data":
            owner = syntax.text(each.value)
            if owner == target or (isinstance(each.value, ast.Attribute) and each.value.attr == "grad"):
                text = text.replace(syntax.text(each), owner)
    return text
