"""Tell of a name, an attribute or an item that moves from a leaf to a tensor computed from the leaf's gradient."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ... import model, wire
from ...recording import Recording
from ..syntax import Syntax

STEPS = 1_000
"""Steps that are looked at: what goes wrong in training goes wrong early, and then in every step."""
SOON = 10
"""Steps in which a name that moved may be given to a leaf again."""
_LOST = re.compile(r"does not require grad|unsupported operand type.*NoneType|NoneType.* has no attribute|Optional\[Number\]")
"""What torch and Python say once a name has lost its leaf."""


def leaf_rebound(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """``m = m - lr * m.grad``: the name moves from a leaf to a tensor computed from the leaf's own gradient.

    So does an attribute or an item, ``self.w = self.w - …``: one statement of it is told once, whichever item it is of.
    """
    told: set[tuple[str, int]] = set()
    for moved in _moves(recording):
        statement = syntax.assignment(moved.name, moved.line)
        what = syntax.text(statement.targets[0]) if statement is not None else moved.name
        if (what, moved.line) not in told:
            told.add((what, moved.line))
            yield _rebound(recording, syntax, moved, what, statement)


@dataclass(frozen=True)
class _Move:
    """A name, attribute or item that moved away from a parameter, and what made the tensor that it moved to."""

    name: str
    line: int
    step: int
    parameter: str
    grad_fn: str | None


def _moves(recording: Recording) -> Iterator[_Move]:
    """The first move of each on each line, to a tensor that is no leaf and was computed from the leaf's gradient."""
    seen: set[tuple[str, int]] = set()
    steps = recording.log.counts()[2]
    for index in range(min(steps, STEPS)):
        for row in recording.rebinds(index):
            if not row.uses_gradient or (row.name, row.line) in seen:
                continue
            if row.to is not None and row.to.is_leaf and row.to.requires_grad:
                continue  # a new leaf in the old one's place: a functional update
            seen.add((row.name, row.line))
            if _learns_on(recording, index, row.source):
                continue
            yield _Move(row.name, row.line, index, row.source, row.to.grad_fn if row.to is not None else None)
    for signal in recording.signals(wire.LeafRebound):
        if signal.step >= steps:
            continue
        if _breaks(recording, signal.line) is not None:  # else it may be meant: the program keeps the leaf elsewhere too
            yield _Move(signal.name, signal.line, signal.step, f"p{signal.parameter}", signal.grad_fn)


def _learns_on(recording: Recording, step: int, parameter: str) -> bool:
    """Whether in a step soon after another leaf is called as a parameter was: then a later statement makes that one."""
    steps = range(step, min(step + SOON, recording.log.counts()[2]))
    rows = {f"p{row.parameter}": row.name for at in steps for row in recording.log.step(at).parameters}
    name = rows.pop(parameter, None)
    return name is not None and name in rows.values()


def _rebound(recording: Recording, syntax: Syntax, moved: _Move, what: str, statement: ast.Assign | None) -> model.Finding:
    broke = _breaks(recording, moved.line)
    if moved.grad_fn is not None:
        is_now = f"It was computed, by {moved.grad_fn}, so it is no leaf: backward() leaves its .grad None."
    else:
        is_now = "It was computed where gradients are off: it has requires_grad=False, and backward() has nothing to reach."
    return model.Finding(
        code="leaf-rebound",
        severity="error" if broke is not None else "warning",
        file=None,
        line=moved.line,
        step=moved.step,
        node=recording.leaf(recording.log.step(moved.step).main, moved.parameter),
        message=f"{what} is rebound: from line {moved.line} on it {'names' if what.isidentifier() else 'is'} a new tensor, "
        "and no longer the leaf.",
        why=f"{is_now} " + (f"Line {broke} stops on that." if broke is not None else "A further step could not learn from it."),
        fix=_in_place(syntax, what, statement),
    )


def _breaks(recording: Recording, line: int) -> int | None:
    """The line that a run ended on because a name had lost its leaf."""
    for event in recording.log.others():
        if isinstance(event, wire.EndEvent) and event.failure is not None and _LOST.search(event.failure.message):
            return event.failure.line if event.failure.line > 0 else line
    return None


def _in_place(syntax: Syntax, what: str, statement: ast.Assign | None) -> model.Fix | None:
    """Write to the leaf instead: in place, and with gradients off, since torch refuses it otherwise."""
    torch = syntax.torch_name()
    if statement is None or (torch is None and not syntax.in_no_grad(statement)) or not syntax.alone(statement):
        return None
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
    title = f"Update {what} in place"
    if syntax.in_loop(statement) and (reset := _reset(syntax, what, value)):
        # a leaf that stays keeps its .grad, to which the next backward would add
        text += f"\n{indent}{reset}"
        title += " and reset its gradient"
    return model.Fix(title, [model.Edit(start, end, text)])


def _reset(syntax: Syntax, what: str, value: ast.expr) -> str | None:
    """A statement that resets a gradient after an update; ``None`` if the program resets it."""
    cleared, used = syntax.cleared(), syntax.graded(ast.walk(value))
    if what in cleared or (len(used) == 1 and used <= cleared):
        return None
    others = bool(cleared) or syntax.calls("zero_grad")
    if what.isidentifier():
        return None if syntax.calls("zero_grad") else f"{what}.grad = None"
    # what the program resets may be the same by another name: then it has to be there
    return f"{what}.grad.zero_()" if others else f"{what}.grad = None"
