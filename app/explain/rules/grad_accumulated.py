"""Tell of a gradient that is added to what an update has used already, since nothing has cleared it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from ... import model
from ...recording import Recording, StepSeries
from ..syntax import Syntax
from ..updates import by_gradient, of_loop, updates, written_by
from ..wording import listed, short

STEPS = 1_000
"""Steps that are looked at: what is not cleared is not cleared early either."""
_TOLD = ("norm", "mean", "min", "max")
"""By what two gradients are held to be the same."""
_KEYS = [
    f"{what}.{told}"
    for what, statistics in {
        "grad_before": _TOLD, "grad": _TOLD, "grad_used": _TOLD, "contribution": _TOLD[:2], "update": _TOLD[:1],
    }.items()
    for told in statistics
]  # fmt: skip
LEAVES = 100
"""Parameters that are looked at, of those that had a gradient before a pass."""

_Told = tuple[float, ...]


def grad_accumulated(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A pass adds to a gradient that an update has used, and the next update uses the sum.

    Micro-batches, and several losses before one update, add to what no update has used. A gradient that is written to after
    its update, such as ``p.grad *= 0.9``, is carried over on purpose. One that is cleared before its parameter is updated
    does no harm: the generator's pass of a GAN adds to the gradients of the discriminator.
    """
    norms = recording.series(["p*.grad_before.norm"], count=STEPS).values
    had = [int(key[1:].partition(".")[0]) for key, column in norms.items() if (column > 0).any()][:LEAVES]
    if not had:
        return
    series = recording.series([f"p{parameter}.{key}" for parameter in had for key in _KEYS], count=STEPS)
    learns = cache(lambda index: _learns(recording, syntax, index))
    found: dict[int, list[_Added]] = {}
    for parameter in had:
        added = _first(series, parameter, learns)
        if added is not None:
            found.setdefault(_backward(recording, added.step)[1], []).append(added)
    for line, parameters in found.items():
        yield _finding(recording, syntax, line, parameters)


@dataclass(frozen=True)
class _Added:
    """A parameter to whose old gradient a pass of a step added a new one; numbers are told of a scalar."""

    parameter: int
    step: int
    old: float
    new: float


def _first(series: StepSeries, parameter: int, learns: Callable[[int], bool]) -> _Added | None:
    """The first step that updates a parameter by the sum of a gradient that was used before and a new one."""
    before, after, used = (_Column(series, f"p{parameter}.{what}") for what in ("grad_before", "grad", "grad_used"))
    changed = series.present.get(f"p{parameter}.update.norm")
    stale: _Told | None = None
    for place in range(len(series.index)):
        had, has, took = before.at(place), after.at(place), used.at(place)
        if had is None and has is None:
            continue
        kept = stale is not None and had == stale
        if took is not None and changed is not None and changed[place]:
            took = took if series.values[f"p{parameter}.update.norm"][place] else None
        if took is not None and not learns(int(series.index[place])):
            took = None
        if kept and had is not None and had[0] and has != had and took is not None:
            new = series.values.get(f"p{parameter}.contribution.mean")
            return _Added(parameter, int(series.index[place]), had[1], float(new[place]) if new is not None else 0.0)
        stale = took if took is not None else has if kept else None
    return None


class _Column:
    """What is told of one tensor of a parameter, step by step."""

    def __init__(self, series: StepSeries, key: str) -> None:
        self._columns = [series.values[f"{key}.{told}"] for told in _TOLD if f"{key}.{told}" in series.values]
        self._known = series.present.get(f"{key}.norm")

    def at(self, place: int) -> _Told | None:
        if self._known is None or not self._known[place]:
            return None
        return tuple(float(column[place]) for column in self._columns)


def _learns(recording: Recording, syntax: Syntax, index: int) -> bool:
    """Whether the updates of a step are made by gradients: those of an optimizer are, and what the program writes so."""
    step = recording.log.step(index)
    return step.optimizer is not None or any(by_gradient(syntax, each.statement) for each in updates(syntax, step.update))


def _backward(recording: Recording, index: int) -> tuple[int, int]:
    """The first pass of a step that adds to gradients, and its line."""
    passes = [recording.log.pass_(at) for at in recording.log.step(index).passes]
    first = next((event for event in passes if event.kind not in ("grad", "nested")), passes[0])
    return first.index, first.line


def _finding(recording: Recording, syntax: Syntax, line: int, found: list[_Added]) -> model.Finding:
    first = min(found, key=lambda added: (added.step, added.parameter))
    step = recording.log.step(first.step)
    at, _ = _backward(recording, first.step)
    rows = {row.parameter: row for row in step.parameters}
    names = [rows[each.parameter].name or f"p{each.parameter}" for each in found if each.parameter in rows]
    still = f"{names[0]}.grad still holds" if len(names) == 1 else f"The gradients of {listed(names)} still hold"
    scalar = recording.parameters()[first.parameter].shape == []
    numbers = (
        f"In step {first.step} {names[0]}.grad was still {short(first.old)}; {short(first.new)} was added, and the update "
        f"used {short(first.old + first.new)}."
        if scalar
        else f"In step {first.step} the gradient of the step before was still there, and the update used the sum."
    )
    return model.Finding(
        code="grad-accumulated",
        severity="warning",
        file=None,
        line=line if line > 0 else None,
        step=first.step,
        node=recording.leaf(at, f"p{first.parameter}"),
        message=f"{still} what the last update used, and this backward() adds to it: nothing clears it.",
        why=f"backward() adds to .grad and never resets it. {numbers}",
        fix=_fix(syntax, line, step.update, names, several=len(step.passes) > 1),
        pass_=at,
    )


def _fix(syntax: Syntax, line: int, update: list[int], names: list[str], *, several: bool) -> model.Fix | None:
    """Clear an optimizer's gradients before the only pass of a step, or after the update; each other one after its own."""
    backward = _alone(syntax, syntax.call(line, "backward"))
    last_read = _last_reads(syntax)
    if (optimizer := _optimizer(syntax, update)) is not None:
        made, name = optimizer
        if backward is not None and not several:
            return model.Fix("Clear the gradients before each backward()", [syntax.before(backward, f"{name}.zero_grad()")])
        if last_read.get(syntax.function_of(made), 0) > (made.end_lineno or 0):
            return None
        return model.Fix("Clear the gradients after each update", [syntax.after(made, f"{name}.zero_grad()")])
    edits: dict[str, model.Edit] = {}
    for each in updates(syntax, update):
        target = syntax.text(each.target)
        if (
            by_gradient(syntax, each.statement)
            and syntax.alone(each.statement)
            and not last_read.get(syntax.function_of(each.statement), 0) > (each.statement.end_lineno or 0)
        ):
            name = "*" if of_loop(syntax, each.target) is not None else target
            edits[name] = syntax.after(each.statement, f"{target}.grad = None")
    if "*" in edits and len(edits) == 1:
        return model.Fix("Clear each gradient after its update", list(edits.values()))
    its = f"{names[0]}.grad" if len(names) == 1 else "the gradients"
    if set(names) <= set(edits):
        return model.Fix(f"Clear {its} after the update", [edits[name] for name in names])
    if backward is not None and not several and all(name.isidentifier() for name in names):
        text = f"\n{syntax.indent(backward)}".join(f"{name}.grad = None" for name in names)
        return model.Fix(f"Clear {its} before each backward()", [syntax.before(backward, text)])
    return None


def _alone(syntax: Syntax, call: ast.Call | None) -> ast.stmt | None:
    """The statement that a call is made in, if it has its lines to itself."""
    statement = syntax.statement_of(call) if call is not None else None
    return statement if statement is not None and isinstance(statement, ast.Expr) and syntax.alone(statement) else None


def _optimizer(syntax: Syntax, update: list[int]) -> tuple[ast.stmt, str] | None:
    """The statement in which an optimizer makes its step, and what the program calls the optimizer."""
    for call in syntax.statements(ast.Call):
        if call.lineno in update and isinstance(call.func, ast.Attribute) and call.func.attr == "step":
            statement = _alone(syntax, call)
            scaled = bool(call.args) and not isinstance(call.args[0], ast.Lambda)  # scaler.step(optimizer)
            if scaled and any(function.name == syntax.text(call.args[0]) for function in syntax.statements(ast.FunctionDef)):
                scaled = False  # optimizer.step(closure)
            name = syntax.text(call.args[0] if scaled else call.func.value)
            if statement is not None:
                return statement, name
    return None


def _last_reads(syntax: Syntax) -> dict[ast.FunctionDef | None, int]:
    """The last line of each function, and of the module, that reads a ``.grad`` other than to write by it."""
    lines: dict[ast.FunctionDef | None, int] = {}
    for node in syntax.statements(ast.Attribute):
        if node.attr == "grad" and isinstance(node.ctx, ast.Load):
            statement = syntax.statement_of(node)
            if statement is None or written_by(statement) is None:
                lines[syntax.function_of(node)] = node.lineno
    return lines
