"""Define the route that exports a run as one HTML file."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...errors import NotEnded
from ...runs.run import RecordedRun
from ..api.reference import problems
from ..links import API
from ..pages.pages import origin_of
from ..service import reader_of, root_of, service_of
from .made_files import file_answer, made_once
from .single_file import answer_policy, write_file

HTML: Final = "text/html; charset=utf-8"
FILE: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {"description": "The file.", "content": {"text/html": {"schema": {"type": "string"}}}},
        **problems(404, 409, 422, 503),
    },
}
Theme = Annotated[
    Literal["light", "dark"] | None, Query(description="Theme of the file. Default: the theme of the reader's system.")
]

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["runs"])


@router.get("/export.html", **FILE)
async def export_file(request: Request, id: str, theme: Theme = None) -> Response:
    """Export a run as one HTML file that plays from the disk, without a server and without a network.

    It has the graph, the program, the deck, the curves, the inspector and the findings, with the recorded numbers. A long
    recording is cut after the steps that fit, and the file says so.
    """
    service = service_of(request)
    recorded = await service.find(id)
    if not recorded.ended:
        raise NotEnded("This run is in progress: export it when it has ended.")
    server = origin_of(request) + root_of(request)
    name = f"{server} {recorded.title} export.html {theme}"
    made = await made_once(
        request,
        recorded,
        name,
        service.exporting,
        lambda: write_file(reader_of(request), recorded, theme=theme, server=server),
    )
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(recorded)}"',
        "Content-Security-Policy": answer_policy(made.body),
    }
    return file_answer(request, recorded, made, HTML, headers)


def file_name(recorded: RecordedRun) -> str:
    """Return a name for the file of a run, from its title."""
    words = re.findall(r"[a-z0-9]+", recorded.title.lower())
    return f"{'-'.join(words)[:60].strip('-') or 'run'}.html"
