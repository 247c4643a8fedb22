"""Report a term of a loss that is a constant, because it was computed from a gradient without a graph.

## Why it matters

A penalty on a gradient, as in WGAN-GP, needs the derivative of that gradient. `autograd.grad` returns it without a graph unless
`create_graph=True` is given. The penalty then has a value, which changes the printed loss, but it has no gradient: training
does not reduce it.

## Example

```python
import torch

w = torch.tensor(2.0, requires_grad=True)
x = torch.tensor(1.0, requires_grad=True)
for step in range(3):
    (slope,) = torch.autograd.grad(w * x ** 2, x)
    penalty = (slope - 1) ** 2
    loss = (w * x - 1) ** 2 + penalty
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
    w.grad = None
```

Let the gradient keep its graph:

```python
import torch

w = torch.tensor(2.0, requires_grad=True)
x = torch.tensor(1.0, requires_grad=True)
for step in range(3):
    (slope,) = torch.autograd.grad(w * x ** 2, x, create_graph=True)
    penalty = (slope - 1) ** 2
    loss = (w * x - 1) ** 2 + penalty
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
    w.grad = None
```

## What it does not report

Gradients inside a term that has a gradient itself, such as the perturbation of an adversarial example.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..syntax import Syntax, called, root_of_pass

CODE: Final = "constant-term"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
PASSES: Final = 200
"""Largest number of passes whose lines are searched."""
NAMES: Final = 100
"""Largest number of names that are followed from a term."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each gradient that was returned without a graph, although a term of a loss was computed from it."""
    events = [recording.log.pass_(index) for index in range(min(recording.log.counts()[1], PASSES))]
    without_graph = {event.line for event in events if event.kind == "grad"}
    if not without_graph:
        return
    requires_grad = {row.line: bool(row.tensor.requires_grad) for row in recording.lines() if row.tensor is not None}
    reported: set[int] = set()
    for event in events:
        root = root_of_pass(syntax.call(event.line, "backward")) if event.kind == "backward" else None
        values = syntax.assigned(root.id) if isinstance(root, ast.Name) else [root] if root is not None else []
        for term in (term for value in values for term in _terms(value)):
            if not isinstance(term, ast.Name) or any(
                requires_grad.get(value.lineno, True) for value in syntax.assigned(term.id)
            ):
                continue
            call = _gradient(syntax, term, without_graph)
            if call is not None and call.lineno not in reported:
                reported.add(call.lineno)
                yield model.Finding(
                    code=CODE,
                    severity="warning",
                    file=None,
                    line=call.lineno,
                    step=event.step,
                    node=None,
                    message=f"`{term.id}` is a constant in the loss, because the gradient on line {call.lineno} has no graph.",
                    why="Without `create_graph=True`, `autograd.grad` returns only the numbers, so nothing that is computed "
                    "from them has a gradient. Training does not reduce this term.",
                    pass_=event.index,
                )


def _terms(value: ast.expr) -> Iterator[ast.expr]:
    """Yield the terms of a sum, without their constant factors."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
                waiting += [left, right]
            case ast.BinOp(left=ast.Constant(), op=ast.Mult(), right=inner):
                waiting.append(inner)
            case ast.BinOp(left=inner, op=ast.Mult() | ast.Div(), right=ast.Constant()):
                waiting.append(inner)
            case ast.BinOp(left=ast.Name() as factor, op=ast.Mult(), right=ast.Name() as inner):
                waiting += [factor, inner]
            case term:
                yield term


def _gradient(syntax: Syntax, term: ast.Name, lines: set[int]) -> ast.Call | None:
    """Return the call of ``autograd.grad`` from whose result a term was computed."""
    waiting, seen = [term], {term.id}
    while waiting and len(seen) < NAMES:
        for statement in _assignments(syntax, waiting.pop().id):
            nodes = list(ast.walk(statement.value))
            for call in (node for node in nodes if isinstance(node, ast.Call) and node.lineno in lines):
                keywords = {keyword.arg for keyword in call.keywords}
                if called(call) == "grad" and "create_graph" not in keywords:
                    return call
            for node in nodes:
                if isinstance(node, ast.Name) and node.id not in seen:
                    seen.add(node.id)
                    waiting.append(node)
    return None


def _assignments(syntax: Syntax, name: str) -> Iterator[ast.Assign]:
    """Yield the assignments that bind a name, alone or among others."""
    for statement in syntax.statements(ast.Assign):
        if any(isinstance(node, ast.Name) and node.id == name for target in statement.targets for node in ast.walk(target)):
            yield statement
