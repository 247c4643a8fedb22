"""Check the lessons of a folder without a server: run their cells in a sandbox, and keep nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence, Set
from pathlib import Path
from typing import Final

import msgspec

from ..drawing.numerals import count_of
from ..errors import SandboxError
from ..executor import LocalExecutor
from ..explain.registry import RULES
from ..finder import WorkerFinder
from ..lessons import library
from ..lessons.checking.check import LessonCheck
from ..lessons.checking.update import updated
from ..lessons.document import Lesson
from ..lessons.problems import LessonProblem
from ..lessons.running.bench import Bench
from ..replays import Replays
from ..runs.archive import Archive
from ..runs.manager import Runs
from ..settings import cores
from ..settings import read as read_settings
from ..store import Store

MEMORY_BYTES: Final = 256 << 20
"""Memory for the recordings that a check makes, in bytes."""


async def check(path: Path, *, update: bool = False) -> bool:
    """Print the problems of a folder or of one lesson. Return whether all of them are warnings.

    Each lesson is checked on its own: the cells of a lesson run even if another lesson cannot be read. Raises
    :class:`BadRequest` if there is no lesson, and :class:`SandboxError` if programs cannot be run here.
    """
    files = [path] if path.is_file() else library.files_of(path)
    reading = await asyncio.to_thread(library.read_files, files)
    problems = list(reading.problems)
    if not path.is_file():
        problems += library.across(reading.lessons, _others(files, reading))
    print(*problems, sep="\n", end="\n" if problems else "", flush=True)
    good = not problems
    if reading.lessons:
        good = await _check_cells(reading.lessons, update) and good
    print(_summary(len(reading.lessons), len(files) - len(reading.lessons)))
    return good


def _others(files: Sequence[Path], reading: library.ReadLessons) -> Set[str]:
    """Return the ids that a lesson may need: those of Tapedeck's lessons, and those of files that could not be read."""
    unread = {str(file) for file in files} - {lesson.file for lesson in reading.lessons}
    needed = {need for lesson in reading.lessons for need in lesson.needs}
    return {lesson.id for lesson in library.own()} | (needed if unread else set())


def _summary(checked: int, unread: int) -> str:
    """Return the last line of the report.

    >>> _summary(1, 0), _summary(11, 2)
    ('1 lesson checked.', '11 lessons checked. 2 lessons could not be read: their cells were not run.')
    """
    lessons = f"{count_of(checked, 'lesson')} checked."
    if not unread:
        return lessons
    return f"{lessons} {count_of(unread, 'lesson')} could not be read: {'its' if unread == 1 else 'their'} cells were not run."


async def _check_cells(lessons: Sequence[Lesson], update: bool) -> bool:
    """Print the problems of lessons whose syntax is right. Return whether all of them are warnings."""
    good = True
    async with bench() as confined:
        gate = asyncio.Semaphore(cores())  # a lesson runs one program after another
        checks = [LessonCheck(lesson, confined, RULES.keys()) for lesson in lessons]
        for checked, finding in zip(checks, [asyncio.create_task(_problems(each, gate)) for each in checks], strict=True):
            for problem in await finding:
                print(problem, flush=True)
                good = good and problem.severity == "warning"
            if update and checked.stale:
                _update(Path(checked.lesson.file), checked)
    return good


async def _problems(check: LessonCheck, gate: asyncio.Semaphore) -> list[LessonProblem]:
    async with gate:
        return [problem async for problem in check.problems()]


def _update(file: Path, checked: LessonCheck) -> None:
    text, missing = updated(file.read_text(encoding="utf-8"), checked.stale)
    file.write_text(text, encoding="utf-8")
    rewritten = count_of(len(checked.stale) - len(missing), "number")
    print(f"{file}: rewrote {rewritten}: read the difference before you keep it.")
    for bound in missing:
        print(f"{file}:{bound.line}: {bound.shown} was not found in this line: change it by hand.")


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Yield a bench whose programs run in a sandbox with the limits of the settings. Raises :class:`SandboxError`."""
    settings = msgspec.structs.replace(read_settings(), data=":memory:")
    executor = LocalExecutor(settings)
    archive = Archive(Store(None), settings.limits, MEMORY_BYTES)
    finder = WorkerFinder(cores())
    runs = Runs(settings, archive, executor, finder, cores())
    replays = Replays(settings.limits, archive, executor, runs.slots)
    await archive.start()
    await executor.start()
    await finder.start()
    try:
        await executor.settled()
        if executor.failure is not None:
            raise SandboxError(executor.failure)
        yield Bench(runs, replays, settings.limits)
    finally:
        await runs.close()
        await replays.close()
        await finder.close()
        await executor.close()
        await archive.close()
