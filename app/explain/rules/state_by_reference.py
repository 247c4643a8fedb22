"""Report a state that was kept without a copy, so that training continues to change it.

## Why it matters

`state_dict()` returns the parameters themselves, not copies of them. If the program keeps this result as the best state so far
and continues to train, the kept state changes with every update. A program that loads it afterwards loads the last weights, not
the best ones. An average of several kept states is an average of one and the same state.

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
- A state that is loaded or read before the next update.
- The state of a network that no optimizer updates, such as a moving average, which the program changes through this state.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax, called
from ..recorded.signals import distinct

CODE: Final = "state-by-reference"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that keeps a state by reference, if a later line reads it after an update."""
    reported = set[int]()
    for signal in kept(recording):
        call = state_on(syntax, signal.kept)
        if call is None or signal.kept in reported or not (signal.changed or _in_comparison(syntax, call)):
            continue
        reported.add(signal.kept)
        effect = (
            "loads the last weights, not the kept ones" if signal.loads else "reads the last weights instead of the kept ones"
        )
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=signal.kept,
            step=None,
            node=None,
            message=f"`{syntax.text(holder(syntax, call) or call)}` refers to the parameters themselves, so line {signal.line} "
            f"{effect}.",
            why="`state_dict()` does not copy, so every later update changes the kept state. Keep a copy: "
            f"`copy.deepcopy({syntax.text(call)})`.",
        )


def kept(recording: Recording) -> list[wire.KeptByReference]:
    """Return the signals of numbers that were kept without a copy. Signals of numbers that were loaded again come first."""
    signals = distinct(recording.signals(wire.KeptByReference), lambda signal: (signal.kept, signal.loads, signal.changed))
    return sorted(signals, key=lambda signal: not signal.loads)


def state_on(syntax: Syntax, line: int) -> ast.Call | None:
    """Return the call of ``state_dict()`` on a line; ``None`` if there is none."""
    return next((call for call in syntax.statements(ast.Call) if call.lineno == line and called(call) == "state_dict"), None)


def holder(syntax: Syntax, node: ast.expr | None) -> ast.expr | None:
    """Return the variable in which the statement of a node keeps a value; ``None`` if there is none.

    It is the target of an assignment or the list of a call of ``append``. Of several targets, it is the one for the node.
    """
    match syntax.statement_of(node):
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if node in values:
            target = targets[values.index(node)] if len(targets) == len(values) else targets[0]
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            pass
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append", value=owner))):
            return owner
        case _:
            return None
    while isinstance(target, ast.Subscript):
        target = target.value
    return target


def _in_comparison(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether a state is kept only if a comparison holds, as for the best state so far."""
    around = syntax.parent(call)
    while around is not None and not isinstance(around, ast.FunctionDef):
        if isinstance(around, ast.If) and any(isinstance(node, ast.Compare) for node in ast.walk(around.test)):
            return True
        around = syntax.parent(around)
    return False
