"""Serve the user's guide, a few pages of text."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..errors import NotFound
from .pages import page

CHAPTERS: Final = (
    ("", "Start", "What the page shows, and how to see your first gradient."),
    ("graph", "Read the graph", "What cards, arrows, leaves and norms mean."),
    ("play", "Play a training", "Steps, phases and charts; how to compare, keep and share runs."),
    ("how", "How do I …?", "Short answers to the questions that come up most."),
)
"""The slug, the title and a sentence about each page. The first page is at ``/guide``."""

router = APIRouter(include_in_schema=False)


@router.get("/guide")
async def start(request: Request) -> Response:
    """Show the first page of the guide."""
    return _chapter(request, 0)


@router.get("/guide/{slug}")
async def chapter(request: Request, slug: str) -> Response:
    """Show a page of the guide."""
    index = next((index for index, (name, _, _) in enumerate(CHAPTERS) if index and name == slug), None)
    if index is None:
        raise NotFound("The guide has no such page. Open its first page, which lists all pages.")
    return _chapter(request, index)


def _chapter(request: Request, index: int) -> Response:
    slug, title, summary = CHAPTERS[index]
    return page(
        request,
        f"guide/{slug or 'start'}",
        chapters=CHAPTERS,
        chapter=slug,
        heading=title,
        summary=summary,
        before=CHAPTERS[index - 1] if index else None,
        after=CHAPTERS[index + 1] if index + 1 < len(CHAPTERS) else None,
    )
