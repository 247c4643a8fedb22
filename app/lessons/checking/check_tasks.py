"""Check the tasks of a lesson: solutions pass, starters and mistakes fail, and statements about a dragged number hold."""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator

from ..answers.judge import Judge
from ..cells import dragged, programs
from ..document import Bound, DragTask, FixTask, Scope, WriteTask
from ..running.bench import Reads, reads
from ..running.recorded_lesson import RecordedLesson
from ..values import language
from ..values.bindings import Bindings
from ..values.language import BindingError

NumberCheck = Callable[[Bound, Bindings, Scope | None], Iterator[str]]
"""Yields the problems of a number that is evaluated over some recordings."""


async def check_task(
    recorded: RecordedLesson, task: WriteTask | FixTask, number: NumberCheck
) -> AsyncIterator[tuple[int, str]]:
    """Yield the line and the text of each problem of a task."""
    judge = Judge(recorded)
    try:
        solved, _, _ = await judge.examine(task, task.solution)
        if not solved.passed:
            yield task.line, f"The solution of `{task.name}` does not pass: {solved.sentence}"
        before = task.starter if isinstance(task, WriteTask) else task.program
        if before.strip():
            started, _, _ = await judge.examine(task, before)
            if started.passed:
                yield task.line, f"`{task.name}` passes before anything is changed: its judge accepts too much."
            elif isinstance(task, FixTask) and (missing := _fault_is_missing(task, started.findings, started.error)):
                yield task.line, missing
        for mistake in task.mistakes:
            bounds = list(programs.bounds(mistake.body))
            judged, bindings, own = await judge.examine(task, mistake.code, [each for each, _ in _parsed(bounds)])
            if judged.passed:
                yield mistake.line, f"The mistake passes: {mistake.code.strip().splitlines()[-1]}"
            for bound in bounds:
                for what in number(bound, bindings, own):
                    yield bound.line, what
    except BindingError as error:
        yield task.line, f"`{task.name}` cannot be judged: {error}"


def _fault_is_missing(task: FixTask, findings: list[str], error: object) -> str | None:
    if task.finding is not None and task.finding not in findings:
        has = ", ".join(f"`{each}`" for each in findings) or "none"
        return f"The program of `{task.name}` has no finding `{task.finding}`: it has {has}."
    found = getattr(error, "type", None)
    if task.error is not None and found != task.error:
        return f"The program of `{task.name}` ends with {found or 'no exception'}, not with {task.error}."
    return None


async def check_drag(recorded: RecordedLesson, task: DragTask, number: NumberCheck) -> AsyncIterator[tuple[int, str]]:
    """Yield the line and the text of each problem of a number that can be dragged."""
    cells = recorded.cells[task.recording]
    try:
        dragged.replaced(cells, task.name, task.low)
    except ValueError as error:
        yield task.line, str(error)
        return
    if not _reached(task, written := dragged.current(cells, task.name)):
        yield task.line, f"The program has {task.name} at {written:g}, which the slider does not reach: {_steps(task)}."
    for end in (task.low, task.high):
        observed = await recorded.bench.observe(dragged.replaced(cells, task.name, end), Reads(), seed=recorded.lesson.seed)
        if (ended := observed.recorded.error) is not None and ended.type in (
            "timed_out",
            "out_of_memory",
            "output_limit",
            "killed",
        ):
            yield task.line, f"With {task.name} at {end:g}, the program is stopped: {ended.message}"
    for sight in task.sees:
        if not task.low <= sight.value <= task.high:
            yield sight.line, f"{sight.value:g} is outside of the range {task.low:g} to {task.high:g}."
            continue
        if not _reached(task, sight.value):
            yield sight.line, f"The slider does not reach {sight.value:g}: {_steps(task)}."
            continue
        bounds = list(programs.bounds(sight.body))
        changed = dragged.replaced(cells, task.name, sight.value)
        wanted = reads(_parsed(bounds), {task.recording: len(cells)})[task.recording]
        observed = await recorded.bench.observe(changed, wanted, seed=recorded.lesson.seed)
        others = {each.scope.recording for each in bounds if each.scope} - {task.recording}
        bindings = Bindings({**await recorded.recordings(frozenset(others)), task.recording: observed})
        for bound in bounds:
            for what in number(bound, bindings, bound.scope):
                yield bound.line, what


def _reached(task: DragTask, value: float) -> bool:
    return math.isclose(dragged.nearest(task, value), value, rel_tol=1e-9, abs_tol=1e-9 * task.step)


def _steps(task: DragTask) -> str:
    return f"its range goes from {task.low:g} to {task.high:g} in steps of {task.step:g}"


def _parsed(bounds: list[Bound]) -> list[tuple[ast.expr, Scope | None]]:
    """Return the bindings of numbers, without those that cannot be parsed."""
    parsed = list[tuple[ast.expr, Scope | None]]()
    for bound in bounds:
        with contextlib.suppress(BindingError):
            parsed.append((language.parse(bound.binding), bound.scope))
    return parsed
