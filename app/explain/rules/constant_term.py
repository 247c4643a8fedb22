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

- Terms that are cut with `detach()` or under `no_grad()`: both show that no gradient is intended. If both sides of a term are
  detached, as in `mse_loss(a.detach(), b.detach())`, it is reported.
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
from ..program.detached_sides import DetachedSides
from ..program.losses import Losses
from ..program.syntax import Syntax, called, root_of_pass
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import first_line

CODE: Final = "constant-term"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
PASSES: Final = 200
"""Largest number of passes whose lines are searched."""
_ELEMENTWISE: Final = ("Add", "Sub", "Mul", "Div", "Neg", "Pow", "Abs", "Square")
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
    for node, graph in _residuals(recording, syntax, without_graph):
        if node.lineno not in reported:
            reported.add(node.lineno)
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=node.lineno,
                step=graph.step,
                node=None,
                message=f"The gradient on line {node.lineno} is a constant in the loss, because it has no graph.",
                why="Without `create_graph=True`, `autograd.grad` returns only the numbers. The parameters that this gradient "
                "depends on get no gradient from this term.",
                pass_=graph.pass_,
            )


def _residuals(recording: Recording, syntax: Syntax, lines: set[int]) -> Iterator[tuple[ast.Call, GraphOfPass]]:
    """Yield calls of ``autograd.grad`` on these lines, with the graph of a loss that adds their result to an output.

    The gradient was computed without a graph, so it is a constant in the graph of the loss. An example is the residual of a
    differential equation. The gradient and the loss depend on the same parameters.
    """
    calls: dict[str, ast.Call] = {}
    for statement in syntax.statements(ast.Assign):
        call = next((node for node in ast.walk(statement.value) if isinstance(node, ast.Call) and called(node) == "grad"), None)
        if call is not None and call.lineno in lines and all(keyword.arg != "create_graph" for keyword in call.keywords):
            names = (node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name))
            calls |= {name: call for name in names if len(syntax.assigned(name)) <= 1}
    if not calls:
        return
    graphs = [(recording.log.pass_(graph.pass_), graph) for graph in different_graphs(recording)]
    parameter_names = {parameter.id: parameter.names for parameter in recording.parameters()}
    below: dict[int, set[str]] = {}
    for event, graph in graphs:
        if event.kind == "grad":
            below.setdefault(event.line, set()).update(node.parameter for node in graph.nodes if node.parameter is not None)
    for event, graph in graphs:
        if event.kind != "backward":
            continue
        trained = {node.parameter for node in graph.nodes if node.parameter is not None}
        for index, node in enumerate(graph.nodes):
            call = calls.get(node.name or "") if node.kind == "constant" else None
            if call is None:
                continue
            inputs = {
                syntax.text(each) for argument in call.args[1:2] for each in ast.walk(argument) if isinstance(each, ast.expr)
            }
            shared = trained & below.get(call.lineno, set())
            if any(inputs.isdisjoint(parameter_names.get(each, ())) for each in shared) and _is_summed(graph, index):
                yield call, graph


def _is_summed(graph: GraphOfPass, constant: int) -> bool:
    """Return whether a constant is added to a result of the network, and the sum is squared or made absolute, and reduced."""
    for user, _ in graph.users(constant):
        inputs = [graph.nodes[each] for each in graph.inputs(user)]
        if not graph.nodes[user].op.startswith(("Add", "Sub")) or not any(each.kind == "op" for each in inputs):
            continue
        waiting, seen, squared = [user], {user}, False
        while waiting:
            for above, _ in graph.users(waiting.pop()):
                squared = squared or graph.nodes[above].op.startswith(("Pow", "Abs", "Square", "Mse"))
                if squared and graph.nodes[above].op.startswith(("Mean", "Sum", "Mse")):
                    return True
                if above not in seen and graph.nodes[above].op.startswith(_ELEMENTWISE):
                    seen.add(above)
                    waiting.append(above)
    return False


class _Terms:
    """Finds the terms of a program's losses that have no gradient."""

    def __init__(self, recording: Recording, syntax: Syntax) -> None:
        self._syntax = syntax
        self._losses = Losses(syntax)
        self._detached = DetachedSides(syntax, self._before, self._of_parameter)
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
            without = without or self._detached.sides(node) is not None
            if without and not whole:
                yield node
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
                waiting += [(each, whole) for each in (node.left, node.right) if self._before(each)]

    def cut(self, term: ast.expr, gradients: set[int]) -> tuple[ast.expr, str] | None:
        """Return the expression that cuts a term from the parameters, with a sentence about it; ``None`` if it is intended."""
        nodes = self._losses.below(term)
        detached = [node for node in nodes if isinstance(node, ast.Call) and called(node) in ("detach", "detach_")]
        gradient = self._gradient(nodes, gradients)
        if gradient is not None and not any(gradient in self._losses.below(node) for node in detached):
            why = "Without `create_graph=True`, `autograd.grad` returns only the numbers."
            return gradient, f"{why} Nothing that is computed from them has a gradient."
        if detached:
            return self._both_sides(term)
        found: list[tuple[ast.expr, str]] = []
        for node in nodes:
            match node:
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

    def _gradient(self, nodes: set[ast.AST], lines: set[int]) -> ast.Call | None:
        """Return the first call of ``autograd.grad`` among the nodes, on one of these lines, that keeps no graph."""
        calls = (node for node in nodes if isinstance(node, ast.Call) and called(node) == "grad" and node.lineno in lines)
        without = (call for call in calls if all(keyword.arg != "create_graph" for keyword in call.keywords))
        return min(without, key=lambda call: call.lineno, default=None)

    def _both_sides(self, term: ast.expr) -> tuple[ast.expr, str] | None:
        """Return the call of ``detach()`` on the left side of a term, with a sentence about it, if both sides are detached."""
        if (sides := self._detached.sides_of_term(term)) is None:
            return None
        left, right = sides
        lines = f"line {left.lineno}" if left.lineno == right.lineno else f"lines {left.lineno} and {right.lineno}"
        return left, f"Both sides of the term are detached, on {lines}. Detach only the target."

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
        match node:
            case ast.Call(func=ast.Name(id="sum"), args=[ast.GeneratorExp(elt=each) | ast.ListComp(elt=each)]):
                return self._is_number(each)
            case ast.UnaryOp(operand=each):
                return self._is_number(each)
            case ast.BinOp(left=left, right=right):
                sides = [each for each in (left, right) if any(isinstance(node, ast.Name) for node in ast.walk(each))]
                return bool(sides) and all(self._is_number(each) for each in sides)
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
