"""Find closures of optimizers whose calls add to the gradients of the calls before, because no call clears them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.syntax import Syntax, called
from .steps import first_steps

PARAMETERS: Final = 8
"""Largest number of parameters whose gradients are compared."""
CALLS: Final = 200
"""Largest number of calls of a closure that are compared."""
_EQUAL, _DIFFERENT = 1e-3, 1e-2
"""Differences up to which two gradients count as equal, and from which they count as different, as parts of the sum."""


@dataclass(frozen=True)
class SummedCalls:
    """A step in which an optimizer called the function ``closure`` several times, and used the sum of their gradients.

    Each call made a pass on ``line``. ``parameters`` are the names of parameters whose sum differs from the last gradient.
    """

    step: wire.StepEvent
    closure: str
    line: int
    calls: int
    parameters: list[str]


def summed_calls(recording: Recording, syntax: Syntax) -> SummedCalls | None:
    """Return the first step in which the gradients of a closure's calls were summed, ``None`` if there is none."""
    if not syntax.calls("step"):
        return None
    for step in first_steps(recording):
        if step.optimizer is not None and 1 < len(step.passes) <= CALLS:
            closure = _closure(recording, syntax, step)
            found = _summed(recording, step, *closure) if closure is not None else None
            if found is not None:
                return found
    return None


def is_closure_of(syntax: Syntax, function: ast.FunctionDef | None, step: ast.Call) -> bool:
    """Return whether a call such as ``optimizer.step(closure)`` passes a function, or a lambda that names it."""
    names = (node for argument in step.args for node in ast.walk(argument) if isinstance(node, ast.Name))
    return function is not None and any(node.id == function.name for node in names)


def passes_of(function: ast.FunctionDef) -> int:
    """Return how many calls of ``backward`` a function contains."""
    return sum(isinstance(each, ast.Call) and called(each) == "backward" for each in ast.walk(function))


def sees_variables_of(syntax: Syntax, function: ast.FunctionDef, statement: ast.stmt) -> bool:
    """Return whether a function can read the variables of the function around a statement."""
    owner = syntax.function_of(statement)
    around: ast.FunctionDef | None = function
    while around is not None and around is not owner:
        around = syntax.function_of(around)
    return around is owner


def _closure(recording: Recording, syntax: Syntax, step: wire.StepEvent) -> tuple[str, int] | None:
    """Return the name of the closure whose calls made all passes of a step, one each, and the line of these passes."""
    lines = {event.line for event in map(recording.log.pass_, step.passes) if event.kind == "backward"}
    if len(lines) != 1:
        return None
    (line,) = lines
    backward = syntax.statement_of(syntax.call(line, "backward"))
    function = syntax.function_of(backward) if backward is not None else None
    if function is None or syntax.repetition(backward) is not function or passes_of(function) != 1:
        return None
    steps = (call for call in syntax.statements(ast.Call) if called(call) == "step" and call.lineno in step.update)
    return (function.name, line) if any(is_closure_of(syntax, function, call) for call in steps) else None


def _summed(recording: Recording, step: wire.StepEvent, closure: str, line: int) -> SummedCalls | None:
    """Return the step if each gradient is the sum over all passes, and a parameter changed between the passes.

    An optimizer may sum the gradients of several calls on purpose, but not after it has changed the parameters. Means are
    compared, because the mean of a sum is the sum of the means.
    """
    events = [recording.log.pass_(index) for index in step.passes]
    if any(event.graph < 0 or not recording.fits_one_answer(event) for event in events):
        return None
    numbers = [recording.numbers(event.index) for event in events]
    table = Tensors(step.tensors)
    names = []
    for row in islice((row for row in step.parameters if row.contribution >= 0), PARAMETERS):
        total = _mean(table.summary(row.contribution))
        nodes = [(each, recording.leaf(each.event.index, f"p{row.parameter}")) for each in numbers]
        parts = [_mean(each.used(each.node_index(node))) for each, node in nodes if node is not None]
        values = {_mean(each.value(each.node_index(node))) for each, node in nodes if node is not None}
        known = [part for part in parts if part is not None]
        if total is None or len(known) < len(numbers):
            return None
        size = sum(map(abs, known))
        if abs(total - sum(known)) > _EQUAL * size:
            return None
        if abs(total - known[-1]) > _DIFFERENT * size and len(values) > 1:
            names.append(row.name or f"p{row.parameter}")
    return SummedCalls(step, closure, line, len(events), names) if names else None


def _mean(summary: model.TensorSummary | None) -> float | None:
    """Return the mean of a recorded tensor, ``None`` if it is unknown or not finite."""
    return summary.mean if summary is not None and isinstance(summary.mean, float) and isfinite(summary.mean) else None
