"""Report weights or targets of a loss that broadcasting has turned into a matrix, outside of the graph.

## Why it matters

In reinforcement learning, a loss often weights each log-probability with a number that has no gradient: `returns - values`. If
one of them is a column of shape `(N, 1)` and the other a row of shape `(N,)`, their difference is an `(N, N)` matrix. The
product then combines each log-probability with the weights of all samples. No error is raised, because the mean of the product
is a single number again. The same happens to targets such as `rewards + 0.99 * critic(next_states)`.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, returns = torch.randn(8, 3), torch.randn(8)
policy, critic = nn.Linear(3, 2), nn.Linear(3, 1)
value = critic(x)
advantage = returns - value.detach()
chosen = policy(x).log_softmax(1)[:, 0]
loss = -(chosen * advantage).mean() + ((value.squeeze(1) - returns) ** 2).mean()
loss.backward()
```

Give both operands the same shape:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, returns = torch.randn(8, 3), torch.randn(8)
policy, critic = nn.Linear(3, 2), nn.Linear(3, 1)
value = critic(x)
advantage = returns - value.detach().squeeze(1)
chosen = policy(x).log_softmax(1)[:, 0]
loss = -(chosen * advantage).mean() + ((value.squeeze(1) - returns) ** 2).mean()
loss.backward()
```

## What it does not report

- Columns that the expression makes on purpose, with `x[:, None]`, `unsqueeze()` or `keepdim=True`.
- Matrices that do not come from a column, such as kernels and masks, and results that are not reduced to a single number.
- Tensors inside the graph. For those, see [broadcast-both](#broadcast-both).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from .broadcast_both import makes_column

CODE: Final = "broadcast-outside"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
ABOVE: Final = 20
"""Largest number of nodes between the product and the number to which it is reduced."""
_PRODUCTS: Final = ("MulBackward0", "SubBackward0", "MinimumBackward0")
_LOSSES: Final = ("MseLoss", "SmoothL1Loss", "HuberLoss", "L1Loss")
_PASSED: Final = ("Mul", "Neg", "Div", "Sub", "Add", "Minimum", "Pow", "Abs", "Mean", "Sum")
_SHAPES: Final = frozenset({"squeeze", "view", "reshape", "flatten", "unsqueeze", "expand", "mean", "sum", "max", "amax", "t"})
"""Methods of an operand after which its shape is no longer that of the layer's result."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that makes such a matrix."""
    reported: set[int] = set()
    shapes = {row.line: row.tensor.shape for row in recording.lines() if row.tensor is not None and row.file is None}
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            matrix = _matrix(graph, index) if node.op in _PRODUCTS or node.op.startswith(_LOSSES) else None
            line = graph.nodes[matrix].line if matrix is not None else None
            if matrix is None or line is None or line in reported or not _reduced(graph, index):
                continue
            column = _column(graph, syntax, line, _size(graph, matrix), shapes)
            if column is not None:
                reported.add(line)
                size = _size(graph, matrix)
                name = graph.nodes[matrix].name or "the result"
                yield graph.warning(
                    CODE,
                    graph.nodes[matrix],
                    line=line,
                    message=f"`{column}` is a column of {size} numbers, so `{name}` has {size} × {size} numbers, not {size}.",
                    why=f"Line {node.line} combines each of {size} numbers with a row of {size} numbers, and the loss covers "
                    f"all pairs. Give both operands on line {line} the same shape: `{column}.squeeze(-1)`.",
                )


def _matrix(graph: GraphOfPass, index: int) -> int | None:
    """Return the operand of a node that is a square matrix without a gradient, if the other is a vector of its length."""
    inputs = graph.inputs(index)
    matrix = next((each for each in inputs if graph.nodes[each].kind == "constant"), None)
    if len(inputs) != 2 or matrix is None:
        return None
    vector = inputs[0] if inputs[1] == matrix else inputs[1]
    if graph.nodes[vector].op.startswith("Expand"):
        vector = next(iter(graph.inputs(vector)), vector)
    shape = _shape(graph, vector)
    if not shape or shape[0] < 2 or shape not in ([shape[0]], [shape[0], 1]):
        return None
    return matrix if _shape(graph, matrix) == [shape[0], shape[0]] else None


def _shape(graph: GraphOfPass, index: int) -> list[int] | None:
    value = graph.numbers.value(index)
    return value.shape if value is not None else None


def _size(graph: GraphOfPass, matrix: int) -> int:
    value = graph.numbers.value(matrix)
    return value.shape[0] if value is not None else 0


def _reduced(graph: GraphOfPass, index: int) -> bool:
    """Return whether the result of a node is a single number, or goes into one, element by element."""
    if _shape(graph, index) == []:
        return True
    waiting, seen = [index], set[int]()
    while waiting and len(seen) < ABOVE:
        for user, _ in graph.users(waiting.pop()):
            value = graph.numbers.value(user)
            if not graph.nodes[user].op.startswith(_PASSED):
                return False
            if value is not None and not value.shape:
                return True
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return False


def _column(graph: GraphOfPass, syntax: Syntax, line: int, size: int, shapes: dict[int, list[int]]) -> str | None:
    """Return the text of the operand on a line that is a column of ``size`` numbers, ``None`` without one.

    ``shapes`` maps lines to the shapes of their last values. If the line makes a column on purpose, return ``None``.
    """
    statement = syntax.statement(line)
    if not isinstance(statement, ast.Assign) or any(makes_column(each) for each in ast.walk(statement.value)):
        return None
    named = {
        node.name: value.shape for index, node in enumerate(graph.nodes) if (value := graph.numbers.value(index)) is not None
    }
    for operation in ast.walk(statement.value):
        for operand in (operation.left, operation.right) if isinstance(operation, ast.BinOp) else ():
            if _is_output(graph, syntax, operand, size):
                return syntax.text(operand)
            name = _tensor(operand)
            made = [value.lineno for value in syntax.assigned(name)] if name is not None else []
            shape = named.get(name) or next((shapes[each] for each in reversed(made) if each in shapes), None)
            if name is not None and shape == [size, 1]:
                return syntax.text(operand)
    return None


def _is_output(graph: GraphOfPass, syntax: Syntax, operand: ast.expr, size: int) -> bool:
    """Return whether an expression calls a layer whose output is a column, as the graph shows for another call of it."""
    if isinstance(operand, ast.Call) and isinstance(operand.func, ast.Attribute):
        if operand.func.attr in ("detach", "clone"):
            return _is_output(graph, syntax, operand.func.value, size)
        if operand.func.attr in _SHAPES:
            return False
    module = syntax.text(operand.func) if isinstance(operand, ast.Call) else None
    return module is not None and any(
        node.module == module and node.kind == "op" and _shape(graph, index) == [size, 1]
        for index, node in enumerate(graph.nodes)
    )


def _tensor(node: ast.expr) -> str | None:
    """Return the name ``w`` in ``w``, ``w.detach()``, ``w.clone()`` or ``w.data``; ``None`` for other expressions."""
    while isinstance(node, ast.Call | ast.Attribute):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Attribute) and node.func.attr in ("detach", "clone")):
            return None
        node = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else node
        if isinstance(node, ast.Attribute) and node.attr == "data":
            node = node.value
        elif isinstance(node, ast.Attribute):
            return None
    return node.id if isinstance(node, ast.Name) else None
