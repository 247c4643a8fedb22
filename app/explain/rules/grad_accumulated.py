"""Report a gradient that is added to the gradient of an earlier step, which was never cleared.

## Why it matters

`backward()` adds to `.grad` and never resets it. If a training loop does not clear the gradients, every update uses the sum of
all gradients so far. Training does not fail, but its steps are wrong: they grow, and they point in an outdated direction.

## Example

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
for step in range(3):
    loss = (w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
```

Clear the gradient after each update, or call `optimizer.zero_grad()` before each `backward()`:

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

The closure of an optimizer such as `LBFGS` is called several times in each step. It is reported if nothing clears the gradients
between these calls.

## What it does not report

- Micro-batches, and several losses before one update: they add to a gradient that no update has used yet.
- A gradient that the program changes after the update, as in `p.grad *= 0.9`: it is carried over on purpose.
- A gradient that is cleared before its parameter is updated. In a GAN, for example, the pass of the generator adds to the
  gradients of the discriminator, which are cleared before the discriminator is updated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from ... import model
from ...recording import Recording, StepSeries
from ..program.syntax import Syntax
from ..program.updates import by_gradient, last_reads, of_loop, updates
from ..recorded.closures import SummedCalls, is_closure_of, passes_of, sees_variables_of, summed_calls
from ..wording import listed, short

CODE: Final = "grad-accumulated"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 1_000
"""Largest number of steps that are searched. A missing reset shows in the first steps."""
_STATISTICS: Final = ("norm", "mean", "min", "max")
"""Statistics by which two gradients are compared."""
_KEYS: Final = [
    f"{what}.{statistic}"
    for what, statistics in {
        "grad_before": _STATISTICS, "grad": _STATISTICS, "grad_used": _STATISTICS, "contribution": _STATISTICS[:2],
        "update": _STATISTICS[:1],
    }.items()
    for statistic in statistics
]  # fmt: skip
LEAVES: Final = 100
"""Largest number of parameters that are searched. Parameters without a gradient before a pass do not count."""

_GradientStatistics = tuple[float, ...]


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line whose pass adds to a used gradient, if the next update uses the sum."""
    found = _kept_gradients(recording, syntax)
    for line, parameters in found.items():
        yield _finding(recording, syntax, line, parameters)
    summed = summed_calls(recording, syntax)
    if summed is not None and summed.line not in found:
        yield _finding_in_closure(recording, syntax, summed)


def _kept_gradients(recording: Recording, syntax: Syntax) -> dict[int, list[_Added]]:
    """Return the parameters whose gradients were kept from an earlier step, by the line of the pass that adds to them."""
    norms = recording.series(["p*.grad_before.norm"], count=STEPS).values
    had = [int(key[1:].partition(".")[0]) for key, column in norms.items() if (column > 0).any()][:LEAVES]
    found: dict[int, list[_Added]] = {}
    if not had:
        return found
    series = recording.series([f"p{parameter}.{key}" for parameter in had for key in _KEYS], count=STEPS)
    learns = cache(lambda index: _learns(recording, syntax, index))
    for parameter in had:
        added = _first(series, parameter, learns)
        if added is not None:
            found.setdefault(_backward(recording, added.step)[1], []).append(added)
    return found


@dataclass(frozen=True)
class _Added:
    """A parameter and the step that added to its old gradient. ``old`` and ``new`` are the means of the two gradients."""

    parameter: int
    step: int
    old: float
    new: float


def _first(series: StepSeries, parameter: int, learns: Callable[[int], bool]) -> _Added | None:
    """Return the first step that updates a parameter by the sum of a new gradient and a gradient that was used before."""
    before, after, used = (_GradientSeries(series, f"p{parameter}.{what}") for what in ("grad_before", "grad", "grad_used"))
    changed = series.present.get(f"p{parameter}.update.norm")
    stale: _GradientStatistics | None = None
    for index in range(len(series.index)):
        had, has, took = before.at(index), after.at(index), used.at(index)
        if had is None and has is None:
            continue
        kept = stale is not None and had == stale
        if took is not None and changed is not None and changed[index]:
            took = took if series.values[f"p{parameter}.update.norm"][index] else None
        if took is not None and not learns(int(series.index[index])):
            took = None
        if kept and had is not None and had[0] and has != had and took is not None:
            new = series.values.get(f"p{parameter}.contribution.mean")
            return _Added(parameter, int(series.index[index]), had[1], float(new[index]) if new is not None else 0.0)
        stale = took if took is not None else has if kept else None
    return None


class _GradientSeries:
    """The statistics of one gradient of a parameter, step by step."""

    def __init__(self, series: StepSeries, key: str) -> None:
        keys = (f"{key}.{statistic}" for statistic in _STATISTICS)
        self._columns = [series.values[each] for each in keys if each in series.values]
        self._known = series.present.get(f"{key}.norm")

    def at(self, index: int) -> _GradientStatistics | None:
        """Return the statistics at an index of the series, ``None`` if there was no gradient."""
        if self._known is None or not self._known[index]:
            return None
        return tuple(float(column[index]) for column in self._columns)


def _learns(recording: Recording, syntax: Syntax, index: int) -> bool:
    """Return whether the updates of a step are made by gradients: by an optimizer, or by statements that use a ``.grad``."""
    step = recording.log.step(index)
    return step.optimizer is not None or any(by_gradient(syntax, each.statement) for each in updates(syntax, step.update))


def _backward(recording: Recording, index: int) -> tuple[int, int]:
    """Return the index and the line of the first pass of a step that adds to gradients."""
    passes = [recording.log.pass_(each) for each in recording.log.step(index).passes]
    first = next((event for event in passes if event.kind not in ("grad", "nested")), passes[0])
    return first.index, first.line


def _finding(recording: Recording, syntax: Syntax, line: int, found: list[_Added]) -> model.Finding:
    first = min(found, key=lambda added: (added.step, added.parameter))
    step = recording.log.step(first.step)
    pass_, _ = _backward(recording, first.step)
    rows = {row.parameter: row for row in step.parameters}
    names = [rows[each.parameter].name or f"p{each.parameter}" for each in found if each.parameter in rows]
    if len(names) == 1:
        message = f"`{names[0]}.grad` is left over from an earlier step, and this `backward()` adds to it."
    else:
        message = f"The gradients of {listed(names)} are left over from an earlier step, and this `backward()` adds to them."
    if recording.parameters()[first.parameter].shape == []:
        numbers = (
            f"In step {first.step}, `{names[0]}.grad` was still {short(first.old)}; {short(first.new)} was added, "
            f"and the update used {short(first.old + first.new)}."
        )
    else:
        numbers = f"In step {first.step}, the old gradient was still there, and the update used the sum."
    fix = _fix(syntax, line, step.update, names, several=len(step.passes) > 1)
    remedy = "" if fix is not None else " Clear the gradients before each `backward()`, or after each update."
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=line if line > 0 else None,
        step=first.step,
        node=recording.leaf(pass_, f"p{first.parameter}"),
        message=message,
        why=f"`backward()` adds to `.grad` and never resets it. {numbers}{remedy}",
        fix=fix,
        pass_=pass_,
    )


def _finding_in_closure(recording: Recording, syntax: Syntax, summed: SummedCalls) -> model.Finding:
    step, line = summed.step, summed.line
    fix = _fix(syntax, line, step.update, summed.parameters, several=True)
    remedy = (
        ""
        if fix is not None
        else f" Clear the gradients at the start of `{summed.closure}`, so that each of its calls clears them."
    )
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=line,
        step=step.index,
        node=None,
        message=f"Each call of `{summed.closure}` adds to the gradients of earlier calls. Nothing clears them in between.",
        why=f"The optimizer called `{summed.closure}` {summed.calls} times in step {step.index}. It needs the gradient of each "
        f"call, but got the sum of all gradients so far.{remedy}",
        fix=fix,
        pass_=step.passes[-1],
    )


def _fix(syntax: Syntax, line: int, update: list[int], names: list[str], *, several: bool) -> model.Fix | None:
    """Return the fix that clears the gradients.

    With an optimizer, the gradients are cleared before the pass if a step has only one pass, otherwise after the update. With
    an update by hand, they are cleared after the update if the program does not read them there, otherwise before the pass.
    """
    backward = _alone(syntax, syntax.call(line, "backward"))
    last_read = last_reads(syntax)
    if optimizers := _optimizers(syntax, update):
        stepping, name = optimizers[0]
        closure = _closure(syntax, backward, stepping)
        if backward is not None and closure is not None:
            if passes_of(closure) > 1 or syntax.parent(backward) is not closure:
                return None
            if not sees_variables_of(syntax, closure, stepping):
                return None
            several = False  # a step calls the closure as often as it needs, and each call begins with zero_grad()
        if backward is not None and not several:
            text = f"\n{syntax.indent(backward)}".join(dict.fromkeys(f"{each}.zero_grad()" for _, each in optimizers))
            return model.Fix("Clear the gradients before each `backward()`", [syntax.before(backward, text)])
        if len(optimizers) > 1:
            return None
        if last_read.get(syntax.function_of(stepping), 0) > (stepping.end_lineno or 0):
            return None
        return model.Fix("Clear the gradients after each update", [syntax.after(stepping, f"{name}.zero_grad()")])
    if _reads_before(syntax, line):
        return None  # the loop uses the gradient of the previous step
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
    its = f"`{names[0]}.grad`" if len(names) == 1 else "the gradients"
    if set(names) <= set(edits):
        return model.Fix(f"Clear {its} after the update", [edits[name] for name in names])
    if backward is not None and not several and all(name.isidentifier() for name in names):
        text = f"\n{syntax.indent(backward)}".join(f"{name}.grad = None" for name in names)
        return model.Fix(f"Clear {its} before each `backward()`", [syntax.before(backward, text)])
    return None


def _closure(syntax: Syntax, backward: ast.stmt | None, stepping: ast.stmt) -> ast.FunctionDef | None:
    """Return the function around a pass, if a step calls it, as in ``optimizer.step(closure)``."""
    function = syntax.function_of(backward) if backward is not None else None
    call = stepping.value if isinstance(stepping, ast.Expr | ast.Assign) else None
    return function if isinstance(call, ast.Call) and is_closure_of(syntax, function, call) else None


def _alone(syntax: Syntax, call: ast.Call | None) -> ast.stmt | None:
    """Return the statement that consists of a call or assigns its result, if no other statement shares its lines."""
    statement = syntax.statement_of(call) if call is not None else None
    whole = isinstance(statement, ast.Expr) or (isinstance(statement, ast.Assign) and statement.value is call)
    return statement if statement is not None and whole and syntax.alone(statement) else None


def _optimizers(syntax: Syntax, update: list[int]) -> list[tuple[ast.stmt, str]]:
    """Return the statements in which optimizers make their steps, and the names of the optimizers."""
    found = []
    for call in syntax.statements(ast.Call):
        if call.lineno in update and isinstance(call.func, ast.Attribute) and call.func.attr == "step":
            statement = _alone(syntax, call)
            scaled = bool(call.args) and not isinstance(call.args[0], ast.Lambda)  # scaler.step(optimizer)
            if scaled and any(function.name == syntax.text(call.args[0]) for function in syntax.statements(ast.FunctionDef)):
                scaled = False  # optimizer.step(closure)
            name = syntax.text(call.args[0] if scaled else call.func.value)
            if statement is not None:
                found.append((statement, name))
    return found


def _reads_before(syntax: Syntax, line: int) -> bool:
    """Return whether a ``.grad`` is read in the loop of a pass before the pass runs."""
    around = syntax.repetition(syntax.statement_of(syntax.call(line, "backward")))
    if around is None:
        return False
    return any(
        node.attr == "grad" and isinstance(node.ctx, ast.Load) and node.lineno < line
        for node in ast.walk(around)
        if isinstance(node, ast.Attribute)
    )
