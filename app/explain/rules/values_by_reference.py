"""Report the numbers of a parameter that were kept without a copy, so that every update changes them too.

## Why it matters

`detach()`, `.data` and `numpy()` return the same memory, not a copy. An update writes to that memory. A value that was kept
before the training is therefore equal to the value after it. In a list of the values of all steps, each element is the last
value.

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
- Numbers through which the program itself changes the parameter.
- Numbers that are read again before they are used, and numbers that the program does not compare with the parameter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax, called
from .state_by_reference import holder, kept, state_on

CODE: Final = "values-by-reference"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run."""
_COMPARES: Final = frozenset({"equal", "allclose", "isclose", "array_equal", "dist", "assert_close", "eq", "ne", "sub"})
_VIEWS: Final = frozenset({"detach", "numpy", "cpu"})


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that keeps a parameter by reference, to compare it later or to collect it in a list."""
    if recording.log.counts()[2] < STEPS:
        return
    signals = [signal for signal in kept(recording) if signal.changed]
    for signal in signals:
        if state_on(syntax, signal.kept) is None:
            yield _kept(syntax, signal)
    reported = {signal.kept for signal in signals}
    for finding in _of_text(recording, syntax):
        if finding.line not in reported:
            yield finding


def _kept(syntax: Syntax, signal: wire.KeptByReference) -> model.Finding:
    """Return the finding for numbers that were read after an update."""
    variable = holder(syntax, next((each for each in syntax.statements(ast.expr) if each.lineno == signal.kept), None))
    what = f"`{syntax.text(variable)}` uses" if variable is not None else "A kept tensor uses"
    source = f"`{signal.name}`" if signal.name is not None else "the parameter"
    effect = "copies the last numbers" if signal.loads else "reads the last numbers instead of the kept ones"
    return _finding(
        signal.kept,
        f"{what} the memory of {source}, so line {signal.line} {effect}.",
        "`detach()` and `.data` do not copy, and every update writes to that memory. Keep a copy: add `.clone()`.",
    )


def _of_text(recording: Recording, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield the findings that follow from the text: numbers that are compared later, or collected in a list."""
    names = {name for parameter in recording.parameters() for name in parameter.names}
    for statement in syntax.statements(ast.Assign):
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Name) and (source := _view(syntax, value, names)) is not None and source != target.id:
            using = _compared(syntax, target.id, source, statement)
            if using is not None:
                yield _finding(
                    statement.lineno,
                    f"`{target.id}` uses the memory of `{source}`, so line {using} compares the parameter with itself.",
                    f"`{syntax.text(value)}` does not copy, and every update writes to that memory. Add `.clone()`.",
                )
        if isinstance(target, ast.Name) and (owner := _views_of_all(syntax, value)) is not None:
            using = _combined(syntax, target.id, statement)
            if using is not None:
                yield _finding(
                    statement.lineno,
                    f"`{target.id}` uses the memory of the parameters of `{owner}`, so line {using} combines each "
                    "parameter with itself.",
                    f"`{syntax.text(value)}` does not copy, and every update writes to that memory. Add `.clone()`.",
                )
    for call in syntax.statements(ast.Call):
        given = call.args[0] if called(call) == "append" and call.args else None
        source = _view(syntax, given, names) if given is not None else None
        if given is not None and source is not None and _in_training(syntax, call):
            yield _finding(
                call.lineno,
                f"Each element of `{syntax.text(call.func).rpartition('.')[0]}` uses the memory of `{source}`, "
                "so all elements are equal.",
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
    """Return the line that compares a kept value with its parameter, after the training that follows the assignment."""
    if len(syntax.assigned(name)) != 1:
        return None
    after = _after_training(syntax, kept)
    if after is None:
        return None
    for node in syntax.statements(ast.expr):
        if after < node.lineno and isinstance(node, ast.BinOp | ast.Compare | ast.Call):
            compares = (
                called(node) in _COMPARES if isinstance(node, ast.Call) else not isinstance(getattr(node, "op", None), ast.Add)
            )
            texts = {syntax.text(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute | ast.Subscript)}
            if compares and name in texts and source in texts:
                return node.lineno
    return None


def _after_training(syntax: Syntax, kept: ast.Assign) -> int | None:
    """Return the line up to which the program trains after an assignment: a loop that follows, or a step in the same block."""
    parent = syntax.parent(kept)
    block: list[ast.stmt] = parent.body if isinstance(parent, ast.For | ast.While) else []
    later = [each for each in block if each.lineno > kept.lineno]
    steps = (each for each in later if any(isinstance(node, ast.Call) and called(node) == "step" for node in ast.walk(each)))
    if (step := next(steps, None)) is not None:
        return step.end_lineno or step.lineno
    function = syntax.function_of(kept)
    loops = [loop for kind in (ast.For, ast.While) for loop in syntax.statements(kind)]
    loops = [loop for loop in loops if loop.lineno > kept.lineno and syntax.function_of(loop) is function]
    return min((loop.end_lineno or loop.lineno for loop in loops if _trains(loop)), default=None)


def _views_of_all(syntax: Syntax, node: ast.expr) -> str | None:
    """Return the module whose parameters a comprehension views, as in ``[p.data for p in net.parameters()]``."""
    match node:
        case ast.ListComp(elt=elt, generators=[ast.comprehension(target=ast.Name(id=name), iter=ast.Call() as source, ifs=[])]):
            owner = source.func.value if isinstance(source.func, ast.Attribute) and called(source) == "parameters" else None
            if owner is not None and _view(syntax, elt, {name}) == name:
                return syntax.text(owner)
    return None


def _combined(syntax: Syntax, name: str, kept: ast.Assign) -> int | None:
    """Return the line of a loop over pairs of kept values and parameters that combines the numbers of both."""
    if len(syntax.assigned(name)) != 1:
        return None
    for loop in syntax.statements(ast.For):
        match loop:
            case ast.For(
                target=ast.Tuple(elts=[ast.Name(id=one), ast.Name(id=other)]),
                iter=ast.Call(func=ast.Name(id="zip"), args=[ast.expr() as first, ast.expr() as second]),
            ) if loop.lineno > kept.lineno and name in (syntax.text(first), syntax.text(second)):
                if "parameters" in [called(each) for each in (first, second) if isinstance(each, ast.Call)]:
                    return next((each.lineno for each in loop.body if {one, other} <= _values(each)), None)
    return None


def _values(statement: ast.stmt) -> set[str]:
    """Return the names whose numbers a statement uses. ``p.grad``, ``p.shape`` and ``p.device`` do not count for ``p``."""
    gradients = {
        node.value
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute) and node.attr in ("grad", "shape", "device")
    }
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and node not in gradients}


def _trains(loop: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and called(node) in ("step", "backward") for node in ast.walk(loop))


def _in_training(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether a call is in a loop that trains."""
    around: ast.AST | None = call
    while around is not None and (around := syntax.parent(around)) is not None and not isinstance(around, ast.FunctionDef):
        if isinstance(around, ast.For | ast.While) and _trains(around):
            return True
    return False
