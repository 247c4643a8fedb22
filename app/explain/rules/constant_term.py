"""Report a term of a loss that depends on the parameters but has no gradient, so that training does not reduce it.

## Why it matters

A penalty on a gradient, as in WGAN-GP, needs the derivative of that gradient. `autograd.grad` returns gradients without a
graph unless `create_graph=True` is given. A penalty on the weights that is computed from `.data` or `.item()` has no graph
either. Such a term changes the printed loss, but it is a constant: training does not reduce it.

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

- Terms that are cut with `detach()` or under `no_grad()`: both show that no gradient is intended.
- Gradients inside a term that has a gradient itself, such as the perturbation of an adversarial example.
- Terms that are not computed from a parameter, such as a constant of a formula.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.cuts import CONSTRUCTORS, NUMBER_BUILTINS, NUMBER_METHODS
from ..program.losses import Losses
from ..program.syntax import Syntax, called, root_of_pass
from ..recorded.passes import different_graphs
from ..wording import first_line

CODE: Final = "constant-term"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
PASSES: Final = 200
"""Largest number of passes whose lines are searched."""
TERMS: Final = 50
"""Largest number of terms of a loss that are examined."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that cuts a term of a loss from the parameters."""
    events = [recording.log.pass_(index) for index in range(min(recording.log.counts()[1], PASSES))]
    lines = {event.line: event for event in reversed(events) if event.kind == "backward"}
    without_graph = {event.line for event in events if event.kind == "grad"}
    terms: _Terms | None = None
    reported: set[int] = set()
    for line, event in sorted(lines.items()):
        root = root_of_pass(syntax.call(line, "backward"))
        if root is None:
            continue
        terms = terms or _Terms(recording, syntax)
        for term in terms.constant(root):
            cut = terms.cut(term, without_graph)
            if cut is not None and cut[0].lineno not in reported:
                reported.add(cut[0].lineno)
                yield model.Finding(
                    code=CODE,
                    severity="warning",
                    file=None,
                    line=cut[0].lineno,
                    step=event.step,
                    node=None,
                    message=f"`{first_line(syntax.text(term))}` is a constant in the loss, because "
                    f"{'the gradient' if 'grad' in cut[1] else 'its value'} on line {cut[0].lineno} has no graph.",
                    why=f"{cut[1]} Training does not reduce this term.",
                    pass_=event.index,
                )


class _Terms:
    """Finds the terms of a program's losses that have no gradient."""

    def __init__(self, recording: Recording, syntax: Syntax) -> None:
        self._syntax = syntax
        self._losses = Losses(syntax)
        self._requires_grad = {
            row.line: bool(row.tensor.requires_grad) for row in recording.lines() if row.tensor is not None and row.file is None
        }
        graphs = list(different_graphs(recording))
        self._constants = {node.name for graph in graphs for node in graph.nodes if node.kind == "constant" and node.name}
        parameters = [name.split(".") for parameter in recording.parameters() for name in parameter.names]
        self._owners = {part for parts in parameters for part in (parts[:-1] or parts) if not part.isdigit()} - {"self"}

    def constant(self, root: ast.expr) -> Iterator[ast.expr]:
        """Yield the terms of a loss that the recording shows to be constants."""
        waiting: list[tuple[ast.expr, bool]] = [(root, True)]
        seen: set[ast.expr] = set()
        while waiting and len(seen) < TERMS:
            node, whole = waiting.pop(0)
            if node in seen:
                continue
            seen.add(node)
            match node:
                case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
                    waiting += [(left, False), (right, False)]
                    continue
                case ast.Name() | ast.Call() | ast.Attribute() if values := self._before(node):
                    known = [self._requires_grad[value.lineno] for value in values if value.lineno in self._requires_grad]
                    if not whole and len(known) == len(values) and not any(known):
                        yield node
                    else:
                        added = (isinstance(self._syntax.parent(value), ast.AugAssign) for value in values)
                        waiting += [(value, whole and not more) for value, more in zip(values, added, strict=True)]
                    continue
            without = self._in_graph(node) or self._is_number(node) or not self._requires_grad.get(self._line(node), True)
            if without and not whole:
                yield node
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
                waiting += [(each, whole) for each in (node.left, node.right) if self._before(each)]

    def cut(self, term: ast.expr, gradients: set[int]) -> tuple[ast.expr, str] | None:
        """Return the expression that cuts a term from the parameters, with a sentence about it; ``None`` if intended."""
        nodes = self._losses.below(term)
        if any(isinstance(node, ast.Call) and called(node) in ("detach", "detach_") for node in nodes):
            return None
        found: list[tuple[ast.expr, str]] = []
        for node in nodes:
            match node:
                case ast.Call(keywords=keywords) if called(node) == "grad" and node.lineno in gradients:
                    if all(keyword.arg != "create_graph" for keyword in keywords):
                        why = "Without `create_graph=True`, `autograd.grad` returns only the numbers."
                        return node, f"{why} Nothing that is computed from them has a gradient."
                case ast.Attribute(attr="grad"):
                    found.append((node, "`backward()` fills `.grad` without a graph, unless it gets `create_graph=True`."))
                case ast.Attribute(attr="data", value=value) if self._of_parameter(value):
                    found.append((node, "`.data` returns the numbers without their graph."))
                case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in NUMBER_METHODS and self._of_parameter(
                    value
                ):
                    found.append((node, f"`{name}()` returns plain numbers, which have no graph."))
                case ast.Call(args=[value]) if called(node) in {*CONSTRUCTORS, *NUMBER_BUILTINS} and self._of_parameter(value):
                    found.append((node, f"`{called(node)}` keeps only the numbers, without their graph."))
        found = [(node, why) for node, why in found if self._syntax.no_grad_line(node) is None]
        return min(found, key=lambda each: each[0].lineno, default=None)

    def _before(self, node: ast.expr) -> list[ast.expr]:
        """Return the values that an expression may have: for a name, those that the program assigns to it in a line above."""
        if isinstance(node, ast.Call):
            return self._losses.values(node)
        function = self._syntax.function_of(node)
        return [
            value
            for value in self._losses.values(node)
            if value.lineno <= node.lineno and self._syntax.function_of(value) in (function, None)
        ]

    def _in_graph(self, node: ast.expr) -> bool:
        """Return whether a graph has an expression as a constant."""
        return not isinstance(node, ast.Constant) and self._syntax.text(node) in self._constants

    def _is_number(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and called(node) in {*NUMBER_METHODS, *NUMBER_BUILTINS}

    def _line(self, node: ast.expr) -> int:
        """Return the line of an expression that is the whole value of a statement, -1 if it is only a part of a value."""
        parent = self._syntax.parent(node)
        return node.lineno if isinstance(parent, ast.Assign | ast.Return | ast.AugAssign) else -1

    def _of_parameter(self, node: ast.expr) -> bool:
        """Return whether an expression is computed from a parameter, or from the module that has it."""
        nodes = self._losses.below(node)
        names = {getattr(each, "id", None) or getattr(each, "attr", None) for each in nodes}
        return bool(names & self._owners)
