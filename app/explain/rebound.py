"""Tell of a name that moves from a leaf to a tensor computed from the leaf's gradient."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .. import model, wire
from ..recording import Recording
from .syntax import Syntax

STEPS = 1_000
"""Steps that are looked at: what goes wrong in training goes wrong early, and then in every step."""
SOON = 10
"""Steps in which a name that moved may be given to a leaf again."""
_LOST = re.compile(r"does not require grad|unsupported operand type.*NoneType|NoneType.* has no attribute|Optional\[Number\]")
"""What torch and Python say once a name has lost its leaf."""


def leaf_rebound(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """``m = m - lr * m.grad``: the name moves from a leaf to a tensor computed from the leaf's own gradient."""
    told: set[tuple[str, int]] = set()
    for index in range(min(recording.log.counts()[2], STEPS)):
        for row in recording.rebinds(index):
            if not row.uses_gradient or (row.name, row.line) in told:
                continue
            if row.to is not None and row.to.is_leaf and row.to.requires_grad:
                continue  # a new leaf in the old one's place: a functional update
            told.add((row.name, row.line))
            if _learns_on(recording, index, row.source):
                continue
            yield _rebound(recording, program, syntax, index, row)


def _learns_on(recording: Recording, step: int, parameter: str) -> bool:
    """Whether in a step soon after another leaf is called as a parameter was: then a later statement makes that one."""
    steps = range(step, min(step + SOON, recording.log.counts()[2]))
    rows = {f"p{row.parameter}": row.name for at in steps for row in recording.log.step(at).parameters}
    name = rows.pop(parameter, None)
    return name is not None and name in rows.values()


def _rebound(recording: Recording, program: model.Program, syntax: Syntax, step: int, row: model.Rebind) -> model.Finding:
    broke = _breaks(recording, row.line)
    name, made = row.name, row.to.grad_fn if row.to is not None else None
    if made is not None:
        is_now = f"It was computed, by {made}, so it is no leaf: backward() leaves its .grad None."
    else:
        is_now = "It was computed where gradients are off: it has requires_grad=False, and backward() has nothing to reach."
    return model.Finding(
        code="leaf-rebound",
        severity="error" if broke is not None else "warning",
        file=None,
        line=row.line,
        step=step,
        node=_node(recording, step, row.source),
        message=f"{name} is rebound: from line {row.line} on it names a new tensor, and no longer the leaf.",
        why=f"{is_now} " + (f"Line {broke} stops on that." if broke is not None else "A further step could not learn from it."),
        fix=_in_place(syntax, name, row.line),
    )


def _breaks(recording: Recording, line: int) -> int | None:
    """The line that a run ended on because a name had lost its leaf."""
    for event in recording.log.others():
        if isinstance(event, wire.End) and event.failure is not None and _LOST.search(event.failure.message):
            return event.failure.line if event.failure.line > 0 else line
    return None


def _node(recording: Recording, step: int, parameter: str) -> str | None:
    """The node of a parameter in the main pass of a step."""
    main = recording.log.step(step).main
    event = recording.log.pass_(main) if main >= 0 else None
    if event is None or event.graph < 0:
        return None
    return next((node.id for node in recording.graph(event.graph).nodes if node.parameter == parameter), None)


def _in_place(syntax: Syntax, name: str, line: int) -> model.Fix | None:
    """Write to the leaf instead: in place, and with gradients off, since torch refuses it otherwise."""
    statement = syntax.assignment(name, line)
    torch = syntax.torch_name()
    if statement is None or (torch is None and not syntax.in_no_grad(statement)) or not syntax.alone(statement):
        return None
    value = statement.value
    operators = {ast.Sub: "-=", ast.Add: "+="}
    operator = operators.get(type(value.op)) if isinstance(value, ast.BinOp) else None
    if operator and isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name) and value.left.id == name:
        update = f"{name} {operator} {syntax.text(value.right)}"
    else:
        update = f"{name}.copy_({syntax.text(value)})"
    start, end = syntax.span(statement)
    indent = " " * start[1]
    text = update if syntax.in_no_grad(statement) else f"with {torch}.no_grad():\n{indent}    {update}"
    title = f"Update {name} in place"
    if syntax.in_loop(statement) and not syntax.clears_gradient(name):
        # a leaf that stays keeps its .grad, to which the next backward would add
        text += f"\n{indent}{name}.grad = None"
        title += " and reset its gradient"
    return model.Fix(title, [model.Edit(start, end, text)])
