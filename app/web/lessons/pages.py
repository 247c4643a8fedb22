"""Serve the lessons as pages, and record their programs once for all readers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ...drawing.style import legend
from ...errors import Busy, NotFound, TapedeckError
from ...lessons.cells import programs
from ...lessons.document import Lesson
from ...runs.run import RecordedRun
from ..example_runs import VISIT_SECONDS, SharedProgram
from ..links import API, run_links
from ..pages.pages import origin_of
from ..pages.templates import page, script_json
from ..pictures import Look, RunReader, draw
from ..responses import run_of
from ..service import Service, reader_of, root_of, service_of
from .article import LessonArticle, task_kind

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)


@router.get("/lessons")
async def index(request: Request) -> Response:
    """Show the list of lessons."""
    lessons = await _lessons(request)
    tasks = {each.id: sum(task_kind(block) is not None for block in each.blocks) for each in lessons}
    place = {each.id: number for number, each in enumerate(lessons, 1)}
    places = {each.id: sorted(place[need] for need in each.needs if need in place) for each in lessons}
    return page(request, "lessons", lessons=lessons, tasks=tasks, places=places)


@router.get("/lessons/{id}")
async def lesson(request: Request, id: str) -> Response:
    """Show a lesson."""
    service, root = service_of(request), root_of(request)
    lessons = await _lessons(request)
    at = next((at for at, each in enumerate(lessons) if each.id == id), None)
    if at is None:
        raise NotFound("There is no lesson of this name. The page /lessons lists all of them.")
    chosen = lessons[at]
    runs, values = await asyncio.gather(recordings(service, chosen), stated(service, chosen))
    article = await service.archive.beside(lambda: LessonArticle(chosen, runs, values, root))
    svg = await first_picture(reader_of(request), article)
    ready = {name: None if run is None else run_of(run, root, run_links(root, run.id)) for name, run in runs.items()}
    state = {
        "root": root,
        "api": f"{root}{API}",
        "lesson": chosen.id,
        "runs": ready,
        "waiting": article.waiting,
        "legend": legend(),
        "mode": service.mode,
    }
    return page(
        request,
        "lesson",
        lesson=chosen,
        article=article,
        place=at + 1,
        count=len(lessons),
        before=lessons[at - 1] if at else None,
        after=lessons[at + 1] if at + 1 < len(lessons) else None,
        origin=origin_of(request),
        titles={each.id: each.title for each in lessons},
        runs=ready,
        legend=legend(),
        svg=svg,
        state=script_json(state),
    )


async def first_picture(reader: RunReader, article: LessonArticle) -> Markup | None:
    """Return the inline picture of a lesson's first view, which the page shows until its script has loaded the stage.

    Return ``None`` if the lesson has no view, or if the picture cannot be drawn now.
    """
    if (first := article.first) is None:
        return None
    try:
        drawn = await draw(reader, first.recorded, first.what, first.index, "svg", Look("inline", layout="nodes"))
    except TapedeckError as error:
        log.info("The first picture of the lesson %s could not be drawn: %s", article.lesson.id, error)
        return None
    return Markup(drawn.body.decode())


async def _lessons(request: Request) -> list[Lesson]:
    """Return the lessons of the server, read in a thread on the first visit."""
    shelf = service_of(request).lessons
    await run_in_threadpool(shelf.load)
    return shelf.lessons


async def recordings(service: Service, lesson: Lesson) -> Mapping[str, RecordedRun | None]:
    """Return the recordings of a lesson by name; ``None`` for one that takes longer than a page waits."""
    prepared = prepared_runs(lesson)
    found = await asyncio.gather(*(service.example_runs.find(each) for each in prepared.values()))
    return dict(zip(prepared, found, strict=True))


async def stated(service: Service, lesson: Lesson, seconds: float | None = VISIT_SECONDS) -> Mapping[int, str] | None:
    """Return the numbers whose text the lesson leaves out, by id; ``None`` if they are not available within ``seconds``.

    Return an empty mapping if reading them fails. The programs are run for the first reader only, even if that reader does not
    wait.
    """
    if not service.executor.ready:
        return None
    try:
        return await asyncio.wait_for(service.lessons.numbers(lesson.id).stated(), seconds)
    except (TimeoutError, Busy):
        return None
    except TapedeckError as error:
        log.info("The numbers of the lesson %s could not be read: %s", lesson.id, error)
        return {}


def prepared_runs(lesson: Lesson) -> dict[str, SharedProgram]:
    """Return the programs of a lesson's recordings by their names."""
    return {
        name: SharedProgram(f"lesson {lesson.id} {name}", programs.joined(cells), lesson.seed)
        for name, cells in programs.recordings(lesson).items()
    }
