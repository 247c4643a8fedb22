"""Report a state that was kept without a copy, so that training continues to change it.

## Why it matters

`state_dict()` returns the parameters themselves, not copies of them. If the program keeps this result as the best state so far
and continues to train, the kept state changes with every update. A program that loads it afterwards loads the last weights, not
the best ones.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
best, best_loss = None, float("inf")
for step in range(5):
    loss = (model(torch.randn(4, 2)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    if loss.item() < best_loss:
        best, best_loss = model.state_dict(), loss.item()
    optimizer.step()
model.load_state_dict(best)
```

Keep a copy:

```python
import copy
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
best, best_loss = None, float("inf")
for step in range(5):
    loss = (model(torch.randn(4, 2)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    if loss.item() < best_loss:
        best, best_loss = copy.deepcopy(model.state_dict()), loss.item()
    optimizer.step()
model.load_state_dict(best)
```

## What it does not report

- Copies: `copy.deepcopy(…)`, `{name: value.clone() …}`, or a file written by `torch.save`.
- A state that is loaded in the loop in which it was read, as for a target network.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax

CODE: Final = "state-by-reference"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run in which the state can change."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that keeps a state by reference in a loop with updates and loads it after the loop."""
    if recording.log.counts()[2] < STEPS:
        return
    loads = [
        (call, syntax.text(call.args[0]))
        for call in syntax.statements(ast.Call)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "load_state_dict" and call.args
    ]
    for call in syntax.statements(ast.Call) if loads else ():
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "state_dict"):
            continue
        statement, loop = syntax.statement_of(call), _training_loop(syntax, call)
        name = _bound_to(syntax, statement, call) or _appended_to(syntax, call)
        if name is None or loop is None:
            continue
        inside = set(map(id, ast.walk(loop)))
        loading = next(
            (each.lineno for each, given in loads if given.partition("[")[0] == name and id(each) not in inside), None
        )
        if loading is not None:
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=call.lineno,
                step=None,
                node=None,
                message=f"`{name}` refers to the parameters themselves, so line {loading} loads the last weights, not the kept "
                "ones.",
                why="`state_dict()` does not copy, so every later update changes the kept state. Keep a copy: "
                f"`copy.deepcopy({syntax.text(call)})`.",
            )


def _bound_to(syntax: Syntax, statement: ast.stmt | None, call: ast.Call) -> str | None:
    """Return the name or attribute that a statement assigns the result of a call to, not a copy or a part of the result."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    if isinstance(target, ast.Name | ast.Attribute) and _refers_to(statement.value, call):
        return syntax.text(target)
    if isinstance(statement.value, ast.Tuple) and isinstance(target, ast.Tuple) and call in statement.value.elts:
        places = zip(target.elts, statement.value.elts, strict=False)
        return next((syntax.text(each) for each, value in places if value is call), None)
    return None


def _appended_to(syntax: Syntax, call: ast.Call) -> str | None:
    """Return the list to which the result of a call itself is appended."""
    parent = syntax.parent(call)
    match parent:
        case ast.Call(func=ast.Attribute(attr="append", value=owner), args=[only]) if only is call:
            return syntax.text(owner)
    return None


def _refers_to(value: ast.expr, call: ast.Call) -> bool:
    """Return whether a value consists of the tensors of a state: the state itself, or a dict with the same tensors."""
    match value:
        case ast.DictComp(value=ast.Name(), generators=[ast.comprehension(iter=source)]):
            return any(node is call for node in ast.walk(source))
        case ast.Call(func=ast.Name(id="dict" | "OrderedDict"), args=[only]):
            return only is call
        case ast.Call(func=ast.Attribute(attr="copy"), args=[only]):
            return only is call
        case ast.Call(func=ast.Attribute(attr="copy", value=only), args=[]):
            return only is call
    return value is call


def _training_loop(syntax: Syntax, node: ast.AST) -> ast.AST | None:
    """Return the outermost loop around a node that contains an update or a pass."""
    found, parent = None, syntax.parent(node)
    while parent is not None and not isinstance(parent, ast.FunctionDef):
        if isinstance(parent, ast.For | ast.While) and any(
            isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in ("step", "backward")
            for each in ast.walk(parent)
        ):
            found = parent
        parent = syntax.parent(parent)
    return found
