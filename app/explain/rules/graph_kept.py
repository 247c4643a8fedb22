"""Report a total that adds up losses together with their graphs, although nothing runs backward through it.

## Why it matters

A loss refers to its graph. A total such as `total += loss` is a tensor with a graph too, which contains the graphs of all
iterations. Without a `backward()`, as in a validation, each graph also keeps the tensors that it saved. A long run can then end
without memory. A total that is only printed needs the numbers.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    (w ** 2).sum().backward()
    optimizer.step()
    total = 0.0
    for scale in (1.0, 2.0):
        loss = (scale * w ** 2).sum()
        total += loss
    print(total)
```

Turn gradients off, or add the number with `loss.item()`:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    (w ** 2).sum().backward()
    optimizer.step()
    total = 0.0
    for scale in (1.0, 2.0):
        with torch.no_grad():
            loss = (scale * w ** 2).sum()
        total += loss
    print(total)
```

## What it does not report

- Totals that any `backward()` runs through, or that contribute to a loss.
- Totals that begin anew in each iteration, and totals without a graph.
- Lists of losses, and programs that call `autograd.grad`.

The finding is a note if `backward()` has freed the saved tensors of each loss: the total then keeps only small objects.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.losses import Losses
from ..program.syntax import Syntax, called
from ..wording import first_line

CODE: Final = "graph-kept"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning", "note")
STEPS: Final = 2
"""Smallest number of steps of a run."""
PASSES: Final = 10_000
"""Largest number of passes of a run whose graphs are compared."""
_DERIVATIVES: Final = frozenset({"grad", "jacobian", "hessian", "vjp", "jvp", "hvp"})


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that adds losses to a total that no pass runs through."""
    _, passes, steps = recording.log.counts()
    if steps < STEPS or passes > PASSES or any(called(call) in _DERIVATIVES for call in syntax.statements(ast.Call)):
        return
    rows = {row.line: row for row in recording.lines() if row.file is None and row.graph is not None and _is_scalar(row.tensor)}
    sums = [each for each in _sums(syntax) if each[0].lineno in rows]
    if not sums:
        return
    reached = {f"g{event.graph}" for event in recording.log.passes(0, passes)}
    losses = Losses(syntax)
    for statement, total, added in sums:
        if rows[statement.lineno].graph in reached or losses.contain(added):
            continue
        text = first_line(syntax.text(added))
        freed = isinstance(added, ast.Name) and any(
            value.lineno in rows and rows[value.lineno].graph in reached
            for value in syntax.assigned(added.id)
            if syntax.function_of(value) is syntax.function_of(statement)
        )
        kept = "the graphs" if freed else "the graphs, and the tensors that they saved,"
        remedy = "Add the number" if freed else "Turn gradients off with `torch.no_grad()`, or add the number"
        number = text if isinstance(added, ast.Name | ast.Attribute | ast.Call | ast.Subscript) else f"({text})"
        yield model.Finding(
            code=CODE,
            severity="note" if freed else "warning",
            file=None,
            line=statement.lineno,
            step=None,
            node=None,
            message=f"Line {statement.lineno} adds `{text}` to `{total}` together with its graph, but nothing runs backward "
            f"through `{total}`.",
            why=f"`{total}` keeps {kept} of all iterations, so the program needs more memory in each of them. "
            f"{remedy}: `{total} += {number}.item()`.",
        )


def _is_scalar(tensor: model.TensorSummary | None) -> bool:
    return tensor is not None and bool(tensor.requires_grad) and not tensor.shape


def _sums(syntax: Syntax) -> Iterator[tuple[ast.stmt, str, ast.expr]]:
    """Yield the statements of loops that add to a total from before the loop, with the total and the added value."""
    for statement in syntax.statements(ast.stmt):
        match statement:
            case ast.AugAssign(target=ast.Name() as target, op=ast.Add(), value=added):
                total = syntax.text(target)
            case ast.Assign(targets=[ast.Name() as target], value=ast.BinOp(left=left, op=ast.Add(), right=right)):
                total = syntax.text(target)
                sides = [each for each in (left, right) if syntax.text(each) != total]
                if len(sides) != 1:
                    continue
                added = sides[0]
            case _:
                continue
        loop = _loop(syntax, statement)
        if loop is not None and not any(_assigns(syntax, each, total) for each in ast.walk(loop) if each is not statement):
            yield statement, total, added


def _loop(syntax: Syntax, statement: ast.stmt) -> ast.For | ast.While | None:
    """Return the innermost loop around a statement in its function."""
    around = syntax.parent(statement)
    while around is not None and not isinstance(around, ast.FunctionDef | ast.For | ast.While):
        around = syntax.parent(around)
    return around if isinstance(around, ast.For | ast.While) else None


def _assigns(syntax: Syntax, node: ast.AST, name: str) -> bool:
    """Return whether a node is an assignment that replaces the value of a name."""
    return isinstance(node, ast.Assign) and any(syntax.text(target) == name for target in node.targets)
