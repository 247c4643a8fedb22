"""Report a clipping of gradients that has no effect on the update.

## Why it matters

Clipping changes the gradients that `optimizer.step()` reads, so it belongs between `backward()` and `step()`. It has no effect
elsewhere, on another network, or on a generator that is already used up. It also has no effect if its result is not kept:
`clamp` returns a new tensor, whereas `clamp_` changes the gradient. Training then explodes as if nothing were clipped.

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
- Copies of gradients that the program uses, such as the result of `clamp`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.blocks import around, calls_in, order
from ..program.generators import used_up
from ..program.losses import bindings
from ..program.modules import makes_layer, module_classes
from ..program.other_networks import of_other_network
from ..program.syntax import Syntax, called
from ..wording import listed

CODE: Final = "clip-unused"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
CLIPS: Final = frozenset({"clip_grad_norm_", "clip_grad_value_", "clip_grad_norm", "clip_grads_with_norm_"})
"""Functions of `torch.nn.utils` that clip gradients."""
_NEW: Final = frozenset({"clamp", "clip", "mul", "div", "nan_to_num", "renorm", "clamp_min", "clamp_max"})
"""Methods that return a new tensor. The methods with an underscore at the end of the name change the tensor itself."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that clips without an effect."""
    if not recording.log.counts()[1]:
        return
    yield from _discarded(syntax)
    roots = {name.partition(".")[0] for parameter in recording.parameters() for name in parameter.names}
    for call in syntax.statements(ast.Call):
        if called(call) in CLIPS and (found := _without_effect(syntax, call, roots)) is not None:
            yield _finding(call.lineno, *found)


def _finding(line: int, message: str, why: str) -> model.Finding:
    return model.Finding(code=CODE, severity="warning", file=None, line=line, step=None, node=None, message=message, why=why)


def _without_effect(syntax: Syntax, call: ast.Call, roots: set[str]) -> tuple[str, str] | None:
    """Return the message and the reason for a call that clips without an effect; ``None`` for other calls.

    ``roots`` are the first parts of the names of the parameters that a pass has reached.
    """
    line = call.lineno
    if (stepping := _step_before(syntax, call)) is not None:
        message = f"Line {line} clips the gradients after the update on line {stepping} has used them."
        return message, "Clipping changes the gradients that `step()` reads. Move it between `backward()` and `step()`."
    if (passing := _backward_after(syntax, call)) is not None:
        message = f"Line {line} clips the gradients before the `backward()` on line {passing} computes them."
        return message, "There is nothing to clip at that point. Move the line between `backward()` and `step()`."
    if (used := used_up(syntax, call)) is not None:
        name, reading = used
        because = f"line {reading} has used it up" if reading != line else "the first iteration has used it up"
        message = f"`{name}` is empty when line {line} clips its gradients, because {because}."
        return message, f"`{name}` is a generator, which can be read only once. Make it a list: `list(…)`."
    if (wasted := of_other_network(syntax, call)) is not None:
        return wasted
    owner = _owner(call)
    if owner is not None and roots and owner not in roots and _is_layer(syntax, owner):
        message = f"Line {line} clips the gradients of `{owner}`, which no `backward()` has reached."
        return message, f"`{owner}` has no gradient, and the gradients of {listed(sorted(roots))} are not clipped."
    return None


def _owner(call: ast.Call) -> str | None:
    """Return the name of the module whose ``parameters()`` a call clips."""
    match call:
        case ast.Call(args=[ast.Call(func=ast.Attribute(attr="parameters", value=ast.Name(id=name))), *_]):
            return name
    return None


def _is_layer(syntax: Syntax, name: str) -> bool:
    """Return whether each value of a name is a layer that the program makes, not a module that contains other modules."""
    classes = module_classes(syntax)
    values = [value for target, value in bindings(syntax) if isinstance(target, ast.Name) and target.id == name]
    return bool(values) and all(
        isinstance(value, ast.Call)
        and makes_layer(value, classes)
        and not any(isinstance(each, ast.Name) for each in value.args)
        for value in values
    )


def _discarded(syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each statement that only computes a changed copy of a gradient."""
    statements: list[ast.Expr | ast.Assign] = [*syntax.statements(ast.Expr), *syntax.statements(ast.Assign)]
    for statement in statements:
        match statement.value:
            case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id="torch")), args=[value, *_]) if name in _NEW:
                pass
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in _NEW:
                pass
            case _:
                continue
        if _is_gradient(syntax, value) and (isinstance(statement, ast.Expr) or _is_dropped(syntax, statement)):
            yield _finding(
                statement.lineno,
                f"`{name}` returns a new tensor that nothing uses, so line {statement.lineno} leaves the gradient unchanged.",
                f"`{name}_`, with an underscore, changes the gradient itself.",
            )


def _is_gradient(syntax: Syntax, node: ast.expr) -> bool:
    """Return whether an expression is a ``.grad``, its ``.data``, or a name that is first assigned one of them."""
    if isinstance(node, ast.Name):
        values = [value for value in syntax.assigned(node.id) if value.lineno < node.lineno]
        return bool(values) and not isinstance(values[0], ast.Name) and _is_gradient(syntax, values[0])
    if isinstance(node, ast.Attribute) and node.attr == "data":
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == "grad"


def _is_dropped(syntax: Syntax, statement: ast.Assign) -> bool:
    """Return whether a statement assigns to a name that its function does not read afterwards."""
    match statement.targets:
        case [ast.Name(id=name)]:
            pass
        case _:
            return False
    function = syntax.function_of(statement)
    reads = (node for node in syntax.statements(ast.Name) if node.id == name and isinstance(node.ctx, ast.Load))
    return all(node.lineno <= statement.lineno or syntax.function_of(node) is not function for node in reads)


def _step_before(syntax: Syntax, call: ast.Call) -> int | None:
    """Return the line of an update that runs before a call, without a pass or another clipping between them.

    The update may be in the block of the call or in a block around it. Return ``None`` if an update also follows the call.
    """
    for before, after in around(syntax, call):
        for earlier in reversed(before):
            names = calls_in([earlier])
            if names & {"backward", "unscale_", *CLIPS}:
                return None
            if "step" in names and isinstance(earlier, ast.Expr):
                return earlier.lineno if "step" not in calls_in(after) and _is_optimizer_step(syntax, earlier) else None
    return None


def _backward_after(syntax: Syntax, call: ast.Call) -> int | None:
    """Return the line of the pass that follows a call, if an update follows that pass and no pass runs before the call.

    The gradients must be cleared before the call or after the update. Otherwise, the call clips those of the previous step.
    """
    for before, after in around(syntax, call):
        passing, stepping = order(after, "backward"), order(after, "step")
        if "backward" in calls_in(before) or passing is None or stepping is None or passing > stepping:
            return None
        clears = "zero_grad" in calls_in(before) or order(after[stepping:], "zero_grad") is not None
        return after[passing].lineno if clears else None
    return None


def _is_optimizer_step(syntax: Syntax, statement: ast.Expr) -> bool:
    """Return whether a statement calls the ``step`` of an optimizer or of a scaler.

    An optimizer is an object whose ``zero_grad`` the program calls. The ``step`` of a scaler gets an argument.
    """
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
