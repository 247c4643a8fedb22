"""Report a loss that was cut from its graph and then made to require a gradient.

## Why it matters

`backward()` raises an error for a loss without a graph. Setting `requires_grad = True` on the loss silences the error, but the
loss is then a leaf: nothing leads from it to the parameters, and nothing is learned.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Linear(4, 3)
guess = model(x).argmax(dim=1)
loss = (guess != y).float().mean()
loss.requires_grad = True
loss.backward()
```

Compute the loss from numbers that have a graph:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Linear(4, 3)
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
```

## What it does not report

A leaf that the program makes from plain numbers, such as `x = torch.tensor(3.0, requires_grad=True)`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.cuts import MODULES, Cuts
from ..program.losses import Losses
from ..program.syntax import Syntax, called
from ..recorded.passes import different_graphs
from ..wording import first_line

CODE: Final = "loss-is-leaf"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each loss that was computed and then made a leaf, once per name."""
    reported: set[str] = set()
    cuts: Cuts | None = None
    for graph in different_graphs(recording):
        root = graph.roots[0]
        if len(graph.roots) != 1 or root.kind != "leaf" or root.name is None or root.name in reported:
            continue
        late = _set_late(syntax, root.name) or _returned(syntax, root.name)
        if late is None:
            continue
        reported.add(root.name)
        line, value = late
        cuts = cuts or Cuts(syntax, {row.line: bool(row.tensor.requires_grad) for row in recording.lines() if row.tensor})
        cut = cuts.nearest(value)
        where = f" `{first_line(cut.text)}` on line {cut.line} cuts the graph: {_lowered(cut.why)}" if cut is not None else ""
        yield model.Finding(
            code=CODE,
            severity="error",
            file=None,
            line=cut.line if cut is not None else line,
            step=graph.step,
            node=root.id,
            message=f"`{root.name}` has no graph. Line {line} makes it a leaf, so `backward()` reaches no parameter.",
            why=f"A gradient reaches a tensor only through operations that have a derivative.{where} "
            "Setting `requires_grad` afterwards does not bring the graph back.",
            pass_=graph.pass_,
        )


def _set_late(syntax: Syntax, name: str) -> tuple[int, ast.expr] | None:
    """Return the line that makes a computed tensor require a gradient, and the expression from which it was computed."""
    values = [value for value in syntax.assigned(name) if _computed(value)]
    for value in values:
        if isinstance(value, ast.Call) and any(_is_true(keyword) for keyword in value.keywords):
            return value.lineno, value
        if isinstance(value, ast.Call) and called(value) == "requires_grad_" and _turns_on(value):
            return value.lineno, value
    for statement in syntax.statements(ast.stmt) if values else ():
        if _made_leaf(statement) == name:
            return statement.lineno, next((each for each in reversed(values) if each.lineno < statement.lineno), values[0])
    return None


def _returned(syntax: Syntax, name: str) -> tuple[int, ast.expr] | None:
    """Return the line and the expression that make a leaf in a function whose result the program assigns to ``name``."""
    losses = Losses(syntax)
    for value in syntax.assigned(name):
        for result in losses.values(value) if isinstance(value, ast.Call) else ():
            if isinstance(result, ast.Call) and _computed(result) and any(_is_true(keyword) for keyword in result.keywords):
                return result.lineno, result
    return None


def _made_leaf(statement: ast.stmt) -> str | None:
    """Return the name of the tensor whose ``requires_grad`` a statement sets to ``True``."""
    match statement:
        case ast.Assign(targets=[ast.Attribute(attr="requires_grad", value=ast.Name(id=name))], value=ast.Constant(value=True)):
            return name
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="requires_grad_", value=ast.Name(id=name))) as call):
            return name if _turns_on(call) else None
    return None


def _turns_on(call: ast.Call) -> bool:
    """Return whether a call of ``requires_grad_`` has no argument, or an argument other than ``False``."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return not any(isinstance(each, ast.Constant) and not each.value for each in given)


def _computed(value: ast.expr) -> bool:
    """Return whether an expression reads a variable: a name that is neither a module nor a called function."""
    functions = {id(node.func) for node in ast.walk(value) if isinstance(node, ast.Call)}
    names = (node for node in ast.walk(value) if isinstance(node, ast.Name))
    return any(node.id not in MODULES and id(node) not in functions for node in names)


def _is_true(keyword: ast.keyword) -> bool:
    return keyword.arg == "requires_grad" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True


def _lowered(sentence: str) -> str:
    return sentence if sentence.startswith("`") else sentence[:1].lower() + sentence[1:]
