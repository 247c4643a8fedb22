"""Report a clipping of gradients that has no effect on the update.

## Why it matters

Clipping changes the gradients that `optimizer.step()` reads, so it belongs between `backward()` and `step()`. It has no effect
after `step()`, or on a generator that is already used up. It also has no effect if its result is not kept: `clamp` returns a
new tensor, whereas `clamp_` changes the gradient. Training then explodes as if nothing were clipped.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = (w ** 4).sum()
    loss.backward()
    optimizer.step()
    torch.nn.utils.clip_grad_norm_([w], 1.0)
```

Clip between `backward()` and `step()`:

```python
import torch

w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = (w ** 4).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([w], 1.0)
    optimizer.step()
```

## What it does not report

- Clipping after a `backward()` that follows the update, as in a loop that begins with the update.
- Results that the program uses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..syntax import Syntax, called

CODE: Final = "clip-unused"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_CLIPS: Final = frozenset({"clip_grad_norm_", "clip_grad_value_", "clip_grad_norm", "clip_grads_with_norm_"})
_NEW: Final = frozenset({"clamp", "clip", "mul", "div", "nan_to_num", "renorm", "clamp_min", "clamp_max"})
"""Methods that return a new tensor. With an underscore at the end of its name, each changes the tensor itself."""
_GENERATORS: Final = frozenset({"parameters", "named_parameters", "filter", "map", "iter"})
"""Functions that return an iterator, which can be read only once."""
_READS: Final = frozenset({"list", "tuple", "sum", "set", "sorted"})
"""Functions that read all of an iterator."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that clips without an effect."""
    if not recording.log.counts()[1]:
        return
    yield from _discarded(syntax)
    for call in syntax.statements(ast.Call):
        if called(call) in _CLIPS:
            stepping = _step_before(syntax, call)
            if stepping is not None:
                yield _finding(
                    call.lineno,
                    f"Line {call.lineno} clips the gradients after the update on line {stepping} has used them.",
                    "Clipping changes the gradients that `step()` reads. Move it between `backward()` and `step()`.",
                )
            elif (used := _used_up(syntax, call)) is not None:
                name, line = used
                yield _finding(
                    call.lineno,
                    f"`{name}` is empty when line {call.lineno} clips its gradients, because line {line} has used it up.",
                    f"`{name}` is a generator, which can be read only once. Make it a list: `list(…)`.",
                )


def _finding(line: int, message: str, why: str) -> model.Finding:
    return model.Finding(code=CODE, severity="warning", file=None, line=line, step=None, node=None, message=message, why=why)


def _discarded(syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each statement that only computes a changed copy of a gradient."""
    for statement in syntax.statements(ast.Expr):
        match statement.value:
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in _NEW and _is_gradient(value):
                yield _finding(
                    statement.lineno,
                    f"`{name}` returns a new tensor that nothing keeps, so line {statement.lineno} leaves the gradient "
                    "unchanged.",
                    f"`{name}_`, with an underscore, changes the gradient itself.",
                )


def _is_gradient(node: ast.expr) -> bool:
    """Return whether an expression is a ``.grad``, or its ``.data``."""
    if isinstance(node, ast.Attribute) and node.attr == "data":
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == "grad"


def _step_before(syntax: Syntax, call: ast.Call) -> int | None:
    """Return the line of an update that runs before a call, in the same block and without a pass between them."""
    statement = syntax.statement_of(call)
    while statement is not None:
        block = _block(syntax, statement)
        for earlier in reversed(block[: block.index(statement)]):
            names = {called(each) for each in ast.walk(earlier) if isinstance(each, ast.Call)}
            if names & {"backward", "unscale_", *_CLIPS}:
                return None
            if "step" in names and isinstance(earlier, ast.Expr):
                later = block[block.index(statement) + 1 :]
                again = any(called(each) == "step" for node in later for each in ast.walk(node) if isinstance(each, ast.Call))
                return earlier.lineno if not again and _is_optimizer_step(syntax, earlier) else None
        parent = syntax.parent(statement)
        statement = parent if isinstance(parent, ast.If | ast.With) else None
    return None


def _is_optimizer_step(syntax: Syntax, statement: ast.Expr) -> bool:
    """Return whether a statement calls ``step`` of an object whose ``zero_grad`` the program calls, or of a scaler."""
    call = statement.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    owner = syntax.text(call.func.value)
    clears = {
        syntax.text(each.func.value)
        for each in syntax.statements(ast.Call)
        if isinstance(each.func, ast.Attribute) and each.func.attr == "zero_grad"
    }
    return owner in clears or bool(call.args)


def _block(syntax: Syntax, statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements of the block that a statement is in."""
    parent = syntax.parent(statement)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and statement in block:
            return block
    return [statement]


def _used_up(syntax: Syntax, call: ast.Call) -> tuple[str, int] | None:
    """Return the name of a generator that a call gets, and the line that has already used it up."""
    match call:
        case ast.Call(args=[ast.Name(id=name), *_]):
            pass
        case _:
            return None
    values = syntax.assigned(name)
    if len(values) != 1 or syntax.function_of(values[0]) is not syntax.function_of(call):
        return None
    made = values[0]
    if not isinstance(made, ast.GeneratorExp) and not (isinstance(made, ast.Call) and called(made) in _GENERATORS):
        return None
    if _loop(syntax, made) is not None:
        return None  # each iteration makes a new generator
    for use in syntax.statements(ast.Name):
        if use.id == name and isinstance(use.ctx, ast.Load) and made.lineno <= use.lineno < call.lineno:
            parent = syntax.parent(use)
            consumes = isinstance(parent, ast.Call) and ("optim." in syntax.text(parent.func) or called(parent) in _READS)
            if consumes or (isinstance(parent, ast.For) and parent.iter is use):
                return name, use.lineno
    return None


def _loop(syntax: Syntax, node: ast.AST) -> ast.AST | None:
    parent = syntax.parent(node)
    while parent is not None and not isinstance(parent, ast.For | ast.While | ast.FunctionDef):
        parent = syntax.parent(parent)
    return parent
