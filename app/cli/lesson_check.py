"""Check the lessons of a folder without a server: run their cells in a sandbox, and keep nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
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
from ..lessons.problems import LessonError, LessonProblem
from ..lessons.reading import reader
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

    Raises :class:`BadRequest` if there is no lesson, and :class:`SandboxError` if programs cannot be run here.
    """
    try:
        lessons = _read(path)
    except LessonError as error:
        print(error)
        return False
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
    print(f"{len(lessons)} lesson{'' if len(lessons) == 1 else 's'} checked.")
    return good


async def _problems(check: LessonCheck, gate: asyncio.Semaphore) -> list[LessonProblem]:
    async with gate:
        return [problem async for problem in check.problems()]


def _read(path: Path) -> list[Lesson]:
    if path.is_file():
        return [reader.read(path.read_text(encoding="utf-8"), str(path))]
    return library.read_folder(path, known={lesson.id for lesson in library.own()})


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
