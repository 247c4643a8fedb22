"""Report the numbers of a parameter that were kept without a copy, so that every update changes them too.

## Why it matters

`detach()`, `.data` and `numpy()` return the same memory, not a copy. An update writes to that memory. A value that was kept
before the training is therefore equal to the one after it, and a list of values of all steps has the last value many times.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
before = w.detach()
for step in range(3):
    loss = (w ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print((w - before).norm())
```

Keep a copy:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
before = w.detach().clone()
for step in range(3):
    loss = (w ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print((w - before).norm())
```

## What it does not report

- Copies: `clone()`, `copy.deepcopy(…)`, `tolist()`, `item()`.
- Numbers that are read again before they are used, and those that nothing compares with the parameter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..syntax import Syntax, called

CODE: Final = "values-by-reference"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run."""
_COMPARES: Final = frozenset({"equal", "allclose", "isclose", "array_equal", "dist", "assert_close", "eq", "ne", "sub"})
_VIEWS: Final = frozenset({"detach", "numpy", "cpu"})


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that keeps a parameter by reference, and compares it or keeps more of them in a list."""
    if recording.log.counts()[2] < STEPS:
        return
    names = {name for parameter in recording.parameters() for name in parameter.names}
    for statement in syntax.statements(ast.Assign):
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Name) and (source := _view(syntax, value, names)) is not None and source != target.id:
            using = _compared(syntax, target.id, source, statement)
            if using is not None:
                yield _finding(
                    statement.lineno,
                    f"`{target.id}` is the memory of `{source}`, so line {using} compares the parameter with itself.",
                    f"`{syntax.text(value)}` does not copy, and every update writes to that memory. Add `.clone()`.",
                )
    for call in syntax.statements(ast.Call):
        given = call.args[0] if called(call) == "append" and call.args else None
        source = _view(syntax, given, names) if given is not None else None
        if given is not None and source is not None and _in_training(syntax, call):
            yield _finding(
                call.lineno,
                f"Each element of `{syntax.text(call.func).rpartition('.')[0]}` is the memory of `{source}`, so all are equal.",
                f"`{syntax.text(given)}` does not copy, and every update writes to that memory. Append a copy: `.clone()`.",
            )


def _finding(line: int, message: str, why: str) -> model.Finding:
    return model.Finding(code=CODE, severity="warning", file=None, line=line, step=None, node=None, message=message, why=why)


def _view(syntax: Syntax, node: ast.expr, names: set[str]) -> str | None:
    """Return the parameter whose memory an expression returns: ``w.data``, ``net.weight.detach()``, ``w.detach().numpy()``."""
    viewed = False
    while True:
        match node:
            case ast.Call(func=ast.Attribute(attr=name, value=value), args=[]) if name in _VIEWS:
                node, viewed = value, True
            case ast.Attribute(attr="data", value=value):
                node, viewed = value, True
            case _:
                break
    if not viewed or not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        return None
    text = syntax.text(node)
    path = text.replace("[", ".").replace("]", "").removeprefix("self.")
    return text if any(name == path or name.endswith(f".{path}") for name in names) else None


def _compared(syntax: Syntax, name: str, source: str, kept: ast.Assign) -> int | None:
    """Return the line that compares a kept value with its parameter, after a loop that follows the assignment."""
    if len(syntax.assigned(name)) != 1:
        return None
    function = syntax.function_of(kept)
    loops = [loop for kind in (ast.For, ast.While) for loop in syntax.statements(kind)]
    loops = [loop for loop in loops if loop.lineno > kept.lineno and syntax.function_of(loop) is function]
    after = min((loop.end_lineno or loop.lineno for loop in loops if _trains(loop)), default=None)
    if after is None:
        return None
    for node in syntax.statements(ast.expr):
        if node.lineno > after and isinstance(node, ast.BinOp | ast.Compare | ast.Call):
            compares = (
                called(node) in _COMPARES if isinstance(node, ast.Call) else not isinstance(getattr(node, "op", None), ast.Add)
            )
            texts = {syntax.text(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute | ast.Subscript)}
            if compares and name in texts and source in texts:
                return node.lineno
    return None


def _trains(loop: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and called(node) in ("step", "backward") for node in ast.walk(loop))


def _in_training(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether a call is in a loop that trains."""
    around: ast.AST | None = call
    while around is not None and (around := syntax.parent(around)) is not None and not isinstance(around, ast.FunctionDef):
        if isinstance(around, ast.For | ast.While) and _trains(around):
            return True
    return False
