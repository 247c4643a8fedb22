"""Serve the user's guide, a few pages of text."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...errors import NotFound
from .templates import page

TEACH: Final = "/teach"

CHAPTERS: Final = (
    ("/guide", "Start", "What the page shows, and how to see your first gradient."),
    ("/guide/graph", "Read the graph", "What cards, arrows, leaves and norms mean."),
    ("/guide/play", "Play a training", "Steps, phases and charts; how to compare, keep and share runs."),
    ("/guide/how", "How do I …?", "Short answers to the questions that come up most."),
    (TEACH, "Teach with it", "How to use Tapedeck in a course, and what it stores about your students."),
)
"""The path, the title and a sentence about each page. :mod:`.teach` serves the last one."""

router = APIRouter(include_in_schema=False)


@router.get("/guide")
async def start(request: Request) -> Response:
    """Show the first page of the guide."""
    return chapter_page(request, "/guide")


@router.get("/guide/{slug}")
async def chapter(request: Request, slug: str) -> Response:
    """Show a page of the guide."""
    path = f"/guide/{slug}"
    if path not in (each[0] for each in CHAPTERS):
        raise NotFound("The guide has no such page. Open its first page, which lists all pages.")
    return chapter_page(request, path)


def chapter_page(request: Request, path: str, **context: Any) -> Response:
    """Return the page of the guide at a path. ``context`` has the variables that only its template uses."""
    index = [each[0] for each in CHAPTERS].index(path)
    _, title, summary = CHAPTERS[index]
    return page(
        request,
        "guide/start" if path == "/guide" else f"guide/{path.rpartition('/')[2]}",
        chapters=CHAPTERS,
        chapter=path,
        heading=title,
        summary=summary,
        before=CHAPTERS[index - 1] if index else None,
        after=CHAPTERS[index + 1] if index + 1 < len(CHAPTERS) else None,
        **context,
    )
