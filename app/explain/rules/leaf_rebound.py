"""Report a name, attribute or item that moves from a leaf to a tensor computed from the leaf's gradient.

## Why it matters

`w = w - lr * w.grad` looks like an update of `w`, but it makes a new tensor and gives it the name `w`. The new tensor is a
computed result, not a leaf: `backward()` does not fill its `.grad`, and optimizers still have the old tensor. The next step
stops with an error, or silently learns nothing.

## Example

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(3):
    loss = (w - 1) ** 2
    loss.backward()
    w = w - 0.1 * w.grad
```

Update the leaf in place, with gradients off, and clear its gradient:

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(3):
    loss = (w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
```

## What it does not report

- A new tensor that becomes a leaf again, with `requires_grad_()`, `detach().requires_grad_()` or `nn.Parameter(…)`.
- A look-ahead from a leaf that the program keeps under another name, as in a line search or an inner loop.
- Results that do not use the gradient of the leaf, such as a running average.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..program.updates import pass_follows, reset
from ..recorded.exceptions import MESSAGE_LIMIT
from ..recorded.signals import distinct
from ..rewriting.rewrites import MOST_SHARED, shared
from ..wording import listed

CODE: Final = "leaf-rebound"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "warning")
STEPS: Final = 1_000
"""Largest number of steps that are searched. A mistake of this kind shows in the first steps."""
SOON: Final = 10
"""Number of steps within which a correct program binds the name to a leaf again."""
MOVES: Final = 500
"""Largest number of moves that are examined."""
_LONGEST: Final = 60
"""Largest number of characters of an expression that is quoted in a sentence."""
_LOST: Final = re.compile(
    r"does not require grad|unsupported operand type.*NoneType|NoneType.* has no attribute|Optional\[Number\]"
)
"""Messages of PyTorch and Python after a name has moved away from its leaf."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for each statement that moves names, attributes or items."""
    found: dict[tuple[str, int], tuple[_Move, ast.Assign | None]] = {}
    for move in islice(_moves(recording), MOVES):
        statement = syntax.assignment(move.name, move.line)
        what = syntax.text(statement.targets[0]) if statement is not None else move.name
        found.setdefault((what, move.line), (move, statement))
    fix = _fix(recording, syntax, found) if found else None
    for (what, _), (move, statement) in found.items():
        yield _finding(recording, syntax, move, what, statement, fix)


@dataclass(frozen=True)
class _Move:
    """A name, attribute or item that moved away from a parameter. ``grad_fn`` is the function that computed the new tensor."""

    name: str
    line: int
    step: int
    parameter: str
    grad_fn: str | None
    tensor: model.TensorSummary | None = None


def _moves(recording: Recording) -> Iterator[_Move]:
    """Yield the first move of each name on each line, from a leaf to a result computed from the leaf's gradient."""
    seen: set[tuple[str, int]] = set()
    learns_on = cache(lambda step: _learning_on(recording, step))
    steps = recording.log.counts()[2]
    for index in range(min(steps, STEPS)):
        for row in recording.rebinds(index):
            if not row.uses_gradient or (row.name, row.line) in seen:
                continue
            if row.to is not None and row.to.is_leaf and row.to.requires_grad:
                continue  # a functional update: the name has a new leaf
            seen.add((row.name, row.line))
            if row.source in learns_on(index):
                continue
            yield _Move(row.name, row.line, index, row.source, row.to.grad_fn if row.to is not None else None, row.to)
    signals = (signal for signal in recording.signals(wire.LeafRebound) if signal.step < steps)
    for signal in distinct(signals, lambda signal: (signal.line, signal.name)):
        if _failing_line(recording, signal.line) is not None:  # without an error, the move may be intended
            yield _Move(signal.name, signal.line, signal.step, f"p{signal.parameter}", signal.grad_fn)


def _learning_on(recording: Recording, step: int) -> set[str]:
    """Return the parameters of ``SOON`` steps, from ``step`` on, whose names are bound to several leaves in these steps."""
    steps = range(step, min(step + SOON, recording.log.counts()[2]))
    names = {f"p{row.parameter}": row.name for at in steps for row in recording.log.step(at).parameters}
    leaves = Counter(names.values())
    return {parameter for parameter, name in names.items() if name is not None and leaves[name] > 1}


def _finding(
    recording: Recording, syntax: Syntax, move: _Move, what: str, statement: ast.Assign | None, fix: model.Fix | None
) -> model.Finding:
    failing = _failing_line(recording, move.line)
    effect = f"This causes the error on line {failing}." if failing is not None else "The next step learns nothing."
    if move.grad_fn is not None:
        value = syntax.text(statement.value) if statement is not None and len(statement.targets) == 1 else ""
        quotable = 0 < len(value) <= _LONGEST and value.isprintable()
        computed = f"`{value}` is a computed result" if quotable else f"It is computed by `{move.grad_fn}`"
        why = f"{computed}, so the new `{what}` is not a leaf: `backward()` won't fill its `.grad`. {effect}"
    else:
        why = (
            f"The new `{what}` was computed with gradients off, so it has `requires_grad=False` and `backward()` cannot reach "
            f"it. {effect}"
        )
    return model.Finding(
        code=CODE,
        severity="error" if failing is not None else "warning",
        file=None,
        line=move.line,
        step=move.step,
        node=recording.leaf(recording.log.step(move.step).main, move.parameter),
        message=f"Line {move.line} makes `{what}` a new tensor. The leaf that PyTorch trains is left behind.",
        why=why if fix is not None else f"{why} Update the leaf in place instead, under `torch.no_grad()`.",
        fix=fix,
    )


def _failing_line(recording: Recording, line: int) -> int | None:
    """Return the line on which the run ended because a name had moved away from its leaf.

    If the error has no line, return ``line``.
    """
    for event in recording.log.others():
        if (
            isinstance(event, wire.EndEvent)
            and event.failure is not None
            and _LOST.search(event.failure.message[:MESSAGE_LIMIT])
        ):
            return event.failure.line if event.failure.line > 0 else line
    return None


def _fix(
    recording: Recording, syntax: Syntax, found: dict[tuple[str, int], tuple[_Move, ast.Assign | None]]
) -> model.Fix | None:
    """Return the fix that updates all leaves in place, ``None`` if that is unsafe for any of them.

    A write in place also changes the leaf under its other names, in containers, and in a graph that is kept.
    """
    if syntax.keeps_graphs() or len(found) > MOST_SHARED:
        return None
    edits: list[model.Edit] = []
    resets = False
    for (what, _), (move, statement) in found.items():
        if statement is None or shared(syntax, what, made=statement.value) or _new_shape(recording, move):
            return None
        edit, clears = _in_place(syntax, what, statement)
        if edit is None:
            return None
        edits.append(edit)
        resets = resets or clears
    names = listed(list(dict.fromkeys(what for what, _ in found)))
    its = "its gradient" if len(found) == 1 else "their gradients"
    return model.Fix(f"Update {names} in place{f' and reset {its}' if resets else ''}", edits)


def _new_shape(recording: Recording, move: _Move) -> bool:
    """Return whether a name is given a tensor of another shape or dtype than its leaf."""
    leaf = recording.parameters()[int(move.parameter[1:])]
    return move.tensor is not None and (move.tensor.shape, move.tensor.dtype) != (leaf.shape, leaf.dtype)


def _in_place(syntax: Syntax, what: str, statement: ast.Assign) -> tuple[model.Edit | None, bool]:
    """Return the edit that updates a leaf in place, with gradients off, and whether it resets the gradient."""
    torch = syntax.torch_name()
    if (torch is None and not syntax.in_no_grad(statement)) or not syntax.alone(statement):
        return None, False
    value = statement.value
    operators = {ast.Sub: "-=", ast.Add: "+="}
    operator = operators.get(type(value.op)) if isinstance(value, ast.BinOp) else None
    if operator and isinstance(value, ast.BinOp) and syntax.text(value.left) == what:
        one_line = value.right.lineno == value.right.end_lineno
        update = f"{what} {operator} {syntax.text(value.right) if one_line else syntax.operand(value.right)}"
    else:
        update = f"{what}.copy_({syntax.text(value)})"
    start, end = syntax.span(statement)
    indent = " " * start[1]
    text = update if syntax.in_no_grad(statement) else f"with {torch}.no_grad():\n{indent}    {update}"
    clearing = reset(syntax, what, value) if pass_follows(syntax, statement) else None
    if clearing is not None:  # the leaf keeps its .grad, and the next backward() would add to it
        text += f"\n{indent}{clearing}"
    return model.Edit(start, end, text), clearing is not None
