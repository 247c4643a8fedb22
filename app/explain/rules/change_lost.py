"""Report a change of parameters that is lost, because the program computes it without storing it.

## Why it matters

`p.data.clamp(-1, 1)` returns a new tensor, and the parameter stays the same; `clamp_`, with an underscore, changes the
parameter. In a loop over parameters, `e = 0.9 * e + 0.1 * p` makes a new tensor and gives it the name `e`. The parameter in the
module stays the same, and the next iteration gives the name to the next parameter. Neither raises an error.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
net, average = nn.Linear(2, 1), nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    net(torch.randn(4, 2)).pow(2).mean().backward()
    optimizer.step()
    with torch.no_grad():
        for e, p in zip(average.parameters(), net.parameters()):
            e = 0.9 * e + 0.1 * p
```

Write to the parameter in place:

```python
import torch
from torch import nn

torch.manual_seed(0)
net, average = nn.Linear(2, 1), nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    net(torch.randn(4, 2)).pow(2).mean().backward()
    optimizer.step()
    with torch.no_grad():
        for e, p in zip(average.parameters(), net.parameters()):
            e.copy_(0.9 * e + 0.1 * p)
```

## What it does not report

- A new tensor that the program reads afterwards.
- A gradient whose changed copy is not stored: that is `clip-unused`.
- Names of single leaves, such as `w = w - 0.1 * w.grad`: that is `leaf-rebound`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax, called

CODE: Final = "change-lost"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_COPIES: Final = frozenset(
    {
        "clamp", "clip", "clamp_min", "clamp_max", "mul", "multiply", "div", "divide", "add", "sub", "subtract", "lerp",
        "renorm", "nan_to_num", "addcmul", "addcdiv",
    }
)  # fmt: skip
"""Methods that return a new tensor. The methods with an underscore at the end of the name change the tensor itself."""
_GENERATORS: Final = frozenset({"parameters", "buffers"})
_NAMED: Final = frozenset({"named_parameters", "named_buffers"})
_SAME: Final = frozenset({"list", "tuple", "reversed", "iter", "tqdm"})
"""Functions that return the elements of their argument."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each statement that computes a changed parameter without storing it."""
    if not recording.log.counts()[1]:
        return
    names = {name for parameter in recording.parameters() for name in parameter.names}
    for statement in syntax.statements(ast.Expr):
        found = _copy(statement.value)
        if found is not None and syntax.in_loop(statement) and _is_parameter(syntax, found[1], names):
            method, tensor = found
            yield _finding(
                statement.lineno,
                f"`{method}` returns a new tensor that nothing uses, so line {statement.lineno} leaves `{syntax.text(tensor)}` "
                "unchanged.",
                f"`{method}_`, with an underscore, changes the tensor itself.",
            )
    for assigned in syntax.statements(ast.Assign):
        match assigned.targets:
            case [ast.Name(id=name)] if _computes(assigned.value, name) and _of_parameters(syntax, assigned, name):
                if not _is_read(syntax, assigned, name):
                    yield _finding(
                        assigned.lineno,
                        f"Line {assigned.lineno} gives the name `{name}` to a new tensor, so the parameter stays the same.",
                        f"`{name}` is the variable of a loop over parameters. Change the parameter in place, under "
                        f"`torch.no_grad()`: `{name}.copy_(…)`.",
                    )


def _finding(line: int, message: str, why: str) -> model.Finding:
    return model.Finding(code=CODE, severity="warning", file=None, line=line, step=None, node=None, message=message, why=why)


def _copy(value: ast.expr) -> tuple[str, ast.expr] | None:
    """Return the name of the method that an expression calls to make a changed copy, and the tensor that it copies."""
    match value:
        case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id="torch")), args=[tensor, *_], keywords=keywords) if (
            name in _COPIES and all(keyword.arg != "out" for keyword in keywords)
        ):
            return name, tensor
        case ast.Call(func=ast.Attribute(attr=name, value=tensor)) if name in _COPIES and not (
            isinstance(tensor, ast.Name) and tensor.id == "torch"
        ):
            return name, tensor
    return None


def _is_parameter(syntax: Syntax, node: ast.expr, names: set[str]) -> bool:
    """Return whether an expression is a parameter or its ``.data``. ``names`` are the names of recorded parameters."""
    if isinstance(node, ast.Attribute) and node.attr == "data":
        node = node.value
    if isinstance(node, ast.Name) and _of_parameters(syntax, node, node.id):
        return True
    text = syntax.text(node).replace("[", ".").replace("]", "")
    owner, _, path = text.partition(".")
    return text in names or (owner == "self" and any(name.endswith(f".{path}") for name in names))


def _computes(value: ast.expr, name: str) -> bool:
    """Return whether a value is computed from a loop variable, by a formula or a method that copies."""
    if not isinstance(value, ast.BinOp) and _copy(value) is None:
        return False
    nodes = list(ast.walk(value))
    if any(isinstance(node, ast.Call) and (called(node) or "").endswith("_") for node in nodes):
        return False  # a method in place changes the parameter
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _of_parameters(syntax: Syntax, node: ast.AST, name: str) -> bool:
    """Return whether the innermost loop around a node that has this variable gives it the parameters of a module."""
    for loop in syntax.loops(node):
        if isinstance(loop, ast.For) and any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(loop.target)):
            return any(each.id == name for each in _variables(syntax, loop.target, loop.iter))
    return False


def _variables(syntax: Syntax, target: ast.expr, values: ast.expr) -> Iterator[ast.Name]:
    """Yield the variables of a loop to which it gives parameters."""
    match target, values:
        case ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=several):
            for one, each in zip(targets, several, strict=False):
                yield from _variables(syntax, one, each)
        case ast.Tuple(elts=[_, inner]), ast.Call(func=ast.Name(id="enumerate"), args=[each, *_]):
            yield from _variables(syntax, inner, each)
        case _, ast.Call(func=ast.Name(id=function), args=[each, *_]) if function in _SAME:
            yield from _variables(syntax, target, each)
        case ast.Name(), ast.Call(func=ast.Attribute(attr=method)) if method in _GENERATORS:
            yield target
        case ast.Tuple(elts=[_, ast.Name() as second]), ast.Call(func=ast.Attribute(attr=method)) if method in _NAMED:
            yield second
        case ast.Name(), ast.Call(func=ast.Attribute(attr="values", value=ast.Call(func=ast.Attribute(attr="state_dict")))):
            yield target
        case ast.Tuple(elts=[_, ast.Name() as second]), ast.Call(
            func=ast.Attribute(attr="items", value=ast.Call(func=ast.Attribute(attr="state_dict")))
        ):
            yield second
        case ast.Name(), ast.Name(id=name):
            assigned = syntax.assigned(name)
            if assigned and all(
                not isinstance(each, ast.Name) and any(True for _ in _variables(syntax, target, each)) for each in assigned
            ):
                yield target


def _is_read(syntax: Syntax, statement: ast.Assign, name: str) -> bool:
    """Return whether the function of a statement reads the name below it, other than as the variable of another loop."""
    function, end = syntax.function_of(statement), statement.end_lineno or statement.lineno
    own = syntax.loops(statement)
    if not isinstance(own[0], ast.For) or all(getattr(each, "id", None) != name for each in ast.walk(own[0].target)):
        return True  # an inner loop, whose next turn may read it
    for node in syntax.statements(ast.Name):
        if node.id != name or not isinstance(node.ctx, ast.Load) or node.lineno <= end:
            continue
        if syntax.function_of(node) is not function:
            continue
        others = (loop for loop in syntax.loops(node) if loop not in own and isinstance(loop, ast.For))
        if not any(isinstance(each, ast.Name) and each.id == name for loop in others for each in ast.walk(loop.target)):
            return True
    return False
