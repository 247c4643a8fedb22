"""Judge a reader's code: run it after the cells of the lesson, and compare its values with the recorded ones.

A reader's code is a stranger's program. It runs like every run of the server: confined, within the same limits, in turn with
others. Only the runs of a ``break-fix`` task are stored, so that their graphs can be shown. No list of runs contains them.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Sequence, Set
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from ... import model
from ...runs.turns import Client
from ..document import FixTask, Scope, WriteTask
from ..running.bench import reads
from ..running.recorded_lesson import RecordedLesson
from ..running.shared_work import SharedWork
from ..values import stated
from ..values.bindings import Bindings, equal
from ..values.language import BindingError
from ..values.observed import Observed
from . import compare
from .compare import Unequal, WrongElement

MOST_OUTPUT: Final = 2_000
"""Largest number of characters of the printed text in an answer."""
MOST_NODES: Final = 20_000
"""Largest number of nodes of a graph that a reader's code may make."""
RIGHT: Final = "Every element equals the tape's."
FIXED: Final = "Fixed: the fault is gone, and the conditions hold."

_LINES: Final = re.compile(r"\blines? \d+(?:(?:, | and | or | to )\d+)*", re.IGNORECASE)
"""Line numbers in the message of a finding."""


class Judged(Struct, frozen=True):
    """The verdict on a reader's code. ``sentence`` states it for the reader, with code in backticks.

    ``wrong`` is the first element that differs from the tape, with both numbers. ``of`` is the number of elements, and
    ``differing`` the number of those that differ. ``node`` is the name of the node to highlight. ``mistake`` is the index of
    the task's mistake with the same result, whose reply fits. ``error`` is the exception that ended the code; its line counts
    from the first line of the code. ``findings`` are the codes of the findings of the run, and ``printed`` is its output.
    ``run`` is the id of the run of a program that was to be fixed; ``None`` for other tasks, and if the store is full.
    """

    passed: bool
    sentence: str
    wrong: WrongElement | None = None
    differing: int = 0
    of: int = 0
    node: str | None = None
    mistake: int | None = None
    error: model.ProgramError | None = None
    findings: list[str] = []
    printed: str = ""
    run: str | None = None


class _Signature(Struct, frozen=True):
    """The result of code, by which a mistake is recognized: its error, passes, findings and the values that are judged."""

    error: tuple[str, str] | None
    passes: int
    findings: list[str]
    values: list[Any]

    def matches(self, other: _Signature) -> bool:
        return (
            (self.error, self.passes) == (other.error, other.passes)
            and self.findings == other.findings
            and len(self.values) == len(other.values)
            and all(_same(one, two) for one, two in zip(self.values, other.values, strict=True))
        )


class Judge:
    """Judges the tasks of one lesson. Create and use an instance on one event loop."""

    def __init__(self, recorded: RecordedLesson) -> None:
        self._recorded = recorded
        self._mistakes = SharedWork[str, list[_Signature]]()
        """The results of the mistakes of each task, computed when a reader's code fails for the first time."""

    async def judge(
        self, task: WriteTask | FixTask, code: str, client: Client | None = None, address: str | None = None
    ) -> Judged:
        """Return the verdict on a reader's code. ``address`` is a digest of the reader's address.

        Raises :class:`Busy`, :class:`TooMany` or :class:`SandboxError` if the code cannot be run now, and
        :class:`BindingError` if the task itself has a fault, which ``tapedeck lesson check`` reports.
        """
        if isinstance(task, WriteTask) and (copied := _copied(task, code)) is not None:
            return Judged(False, f"`{copied}` is the answer itself: compute it from the other names.")
        shown = isinstance(task, FixTask)
        attempt = await self._attempt(task, code, client, stored=shown, address=address)
        judged = await self._judged(task, attempt, client)
        if shown and attempt.observed.recorded.kept:
            judged = msgspec.structs.replace(judged, run=attempt.observed.recorded.id)
        if judged.passed or not task.mistakes:
            return judged
        return _with_mistake(judged, await self._matching(task, code, attempt))

    async def examine(
        self, task: WriteTask | FixTask, code: str, texts: Sequence[ast.expr] = ()
    ) -> tuple[Judged, Bindings, Scope]:
        """Return the verdict on code from one run, without looking for a matching mistake.

        Also return the bindings and the scope with which ``texts`` can be evaluated. The scope is the end of the run.
        """
        attempt = await self._attempt(task, code, None, texts)
        return await self._judged(task, attempt, None), attempt.bindings, attempt.own

    async def _attempt(
        self,
        task: WriteTask | FixTask,
        code: str,
        client: Client | None,
        texts: Sequence[ast.expr] = (),
        *,
        stored: bool = False,
        address: str | None = None,
    ) -> _Attempt:
        cells = self._recorded.cells.get(task.starts, [])[: task.cells]
        after = [task.then] if isinstance(task, WriteTask) and task.then else []
        own = Scope(_own_name(task), len(cells) + len(after))
        counts = {name: len(each) for name, each in self._recorded.cells.items()} | {own.recording: own.cell + 1}
        wanted = reads([(side, own) for side in (*_own_sides(task), *texts)], counts)[own.recording]
        observed, others = await asyncio.gather(
            self._recorded.bench.observe(
                [*cells, code, *after],
                wanted,
                seed=self._recorded.lesson.seed,
                client=client,
                stored=stored,
                address=address,
            ),
            self._recorded.recordings(_named(task, self._recorded) - {own.recording}),
        )
        return _Attempt(task, observed, Bindings({**others, own.recording: observed}), own, len(cells))

    async def _judged(self, task: WriteTask | FixTask, attempt: _Attempt, client: Client | None) -> Judged:
        common: dict[str, Any] = {
            "findings": attempt.findings,
            "printed": attempt.observed.recorded.recording.stdout()[:MOST_OUTPUT],
        }
        if (error := attempt.error) is not None:
            where = f" on line {error.line}" if error.line else ""
            stopped = error.type in model.FINAL  # by a limit, which the message explains
            sentence = error.message if stopped else f"It ends with {error.type}{where}: {error.message}"
            return Judged(False, sentence, error=error, **common)
        if isinstance(task, FixTask) and task.finding in attempt.findings:
            finding = next(each for each in attempt.observed.recorded.findings if each.code == task.finding)
            return Judged(
                False, f"The fault is still there: {attempt.with_own_lines(finding.message)}", node=finding.node, **common
            )
        if (found := await asyncio.to_thread(attempt.unmet)) is not None:
            return _of(found, common)
        if task.check is not None:
            verdict = await self._recorded.bench.verdict(attempt.observed, client)
            if verdict != "right":
                return Judged(False, _of_verdict(verdict), **common)
        return Judged(True, RIGHT if isinstance(task, WriteTask) else FIXED, **common)

    async def _matching(self, task: WriteTask | FixTask, code: str, attempt: _Attempt) -> int | None:
        """Return the index of the mistake with the same code, or of the most similar one with the same result."""
        normal = _normal(code)
        for index, mistake in enumerate(task.mistakes):
            if _normal(mistake.code) == normal:
                return index
        known = await self._mistakes.get(task.name, lambda: self._results_of_mistakes(task))
        own = await asyncio.to_thread(attempt.signature)
        same = [index for index, each in enumerate(known) if each.matches(own)]
        lines = set(normal.split("\n"))
        return max(same, key=lambda index: len(lines & set(_normal(task.mistakes[index].code).split("\n"))), default=None)

    async def _results_of_mistakes(self, task: WriteTask | FixTask) -> list[_Signature]:
        attempts = await asyncio.gather(*(self._attempt(task, mistake.code, None) for mistake in task.mistakes))
        return [await asyncio.to_thread(each.signature) for each in attempts]


class _Attempt:
    """A run of code for a task. ``first`` is the index of the cell of the code."""

    def __init__(self, task: WriteTask | FixTask, observed: Observed, bindings: Bindings, own: Scope, first: int) -> None:
        self._task = task
        self.observed = observed
        self.bindings = bindings
        self.own = own
        self._first = first

    @property
    def error(self) -> model.ProgramError | None:
        """The exception that ended the run. Its line is a line of the reader's code, or ``None`` if it was raised elsewhere."""
        error = self.observed.recorded.error
        if error is None:
            return None
        start, stop = self.observed.program.cells[self._first]
        inside = error.line is not None and start <= error.line <= stop
        return model.ProgramError(
            error.type, error.message, error.file, error.line - start + 1 if inside and error.line else None, "", error.columns
        )

    def with_own_lines(self, message: str) -> str:
        """Return the message of a finding in which lines of the reader's code count from its first line."""
        start, stop = self.observed.program.cells[self._first]

        def counted(found: re.Match[str]) -> str:
            line = int(found[0])
            return str(line - start + 1) if start <= line <= stop else found[0]

        return _LINES.sub(lambda found: re.sub(r"\d+", counted, found[0]), message)

    @property
    def findings(self) -> list[str]:
        """The codes of the findings of the run, except those of severity ``good``."""
        return sorted({each.code for each in self.observed.recorded.findings if each.severity != "good"})

    def unmet(self) -> Unequal | None:
        """Return why a condition of the task does not hold; ``None`` if all do."""
        largest = max((nodes for nodes, _ in self.observed.recorded.recording.log.graph_sizes()), default=0)
        if largest > MOST_NODES:
            return Unequal(f"The code makes a graph of {largest:,} nodes; a task may have {MOST_NODES:,}.")
        tape = self._task.scope if isinstance(self._task, WriteTask) else self.own
        found = (compare.unmet(condition, self.bindings, self.own, tape) for condition in _conditions(self._task))
        return next((each for each in found if each is not None), None)

    def signature(self) -> _Signature:
        """Return the result of the run."""
        error = self.error
        values = []
        for side in _own_sides(self._task):
            try:
                values.append(self.bindings.of(side, self.own))
            except BindingError:
                values.append(None)
        passes = self.observed.recorded.counts[1]
        return _Signature(None if error is None else (error.type, error.message), passes, self.findings, values)


def _of(found: Unequal, common: dict[str, Any]) -> Judged:
    return Judged(False, found.sentence, found.wrong, found.differing, found.of, found.node, **common)


def _with_mistake(judged: Judged, mistake: int | None) -> Judged:
    return judged if mistake is None else msgspec.structs.replace(judged, mistake=mistake)


def _of_verdict(verdict: str | None) -> str:
    if verdict is None:
        return "Nothing was run backward, so there is no gradient to check."
    if verdict == "wrong":
        return "The gradient is not the slope of the loss: the check by finite differences says *wrong*."
    return f"The check by finite differences says *{verdict}*, not *right*."


def _own_name(task: WriteTask | FixTask) -> str:
    """Return the name of the reader's run in conditions. It is empty unless the task is to fix a program."""
    return task.name if isinstance(task, FixTask) else ""


def _conditions(task: WriteTask | FixTask) -> list[ast.expr]:
    text = task.judge if isinstance(task, WriteTask) else task.holds
    return stated.comparisons(text) if text else []


def _own_sides(task: WriteTask | FixTask) -> list[ast.expr]:
    """Return the expressions that are read in the run of the reader."""
    sides = list[ast.expr]()
    for condition in _conditions(task):
        if isinstance(task, WriteTask) and isinstance(condition, ast.Compare):
            sides.append(condition.left)
        elif isinstance(condition, ast.Compare):
            sides += [condition.left, *condition.comparators]
        else:
            sides.append(condition)
    return sides


def _named(task: WriteTask | FixTask, recorded: RecordedLesson) -> frozenset[str]:
    """Return the names of the recordings in which the conditions of a task are evaluated."""
    names = {each.id for side in _conditions(task) for each in ast.walk(side) if isinstance(each, ast.Name)}
    if isinstance(task, WriteTask):
        names.add(task.scope.recording)
    return frozenset(names & recorded.cells.keys())


def _copied(task: WriteTask, code: str) -> str | None:
    """Return the recorded value, such as ``m.grad``, that the code reads instead of computing it; ``None`` if there is none."""
    text, unassigned = _normal(code), _unassigned(code)
    return next((side for side in stated.tape_sides(task.judge) if _reads(side, text, unassigned)), None)


def _reads(side: str, text: str, unassigned: Set[str]) -> bool:
    if side.isidentifier():
        return side in unassigned
    return "." in side and re.search(rf"(?<![\w.]){re.escape(side)}(?!\w)", text) is not None


def _unassigned(code: str) -> Set[str]:
    """Return the names that code reads and does not assign. Code that cannot be parsed reads none."""
    try:
        names = [each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return {each.id for each in names if isinstance(each.ctx, ast.Load)} - {
        each.id for each in names if not isinstance(each.ctx, ast.Load)
    }


def _normal(code: str) -> str:
    """Return code without its comments, blank lines and spaces inside lines.

    >>> _normal("dm = m * x  # by hand\\n\\n")
    'dm=m*x'
    """
    lines = (line.partition("#")[0].rstrip() for line in code.splitlines())
    return "\n".join(" " * (len(line) - len(line.lstrip())) + "".join(line.split()) for line in lines if line)


def _same(one: Any, two: Any) -> bool:
    return equal(one, two) and np.shape(one) == np.shape(two)
