"""Define the route that exports a run as one HTML file."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...errors import NotEnded
from ...runs.run import RecordedRun
from .. import responses
from ..api.reference import problems
from ..links import API
from ..pages.pages import origin_of
from ..protection.clients import sender_of
from ..responses import REVALIDATED, CachedAnswer
from ..service import root_of, service_of
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
    key = (recorded.id, f"{server} {recorded.title} export.html {theme}")
    made = service.answers.get(key)
    if made is None:
        async with service.exporting.entered(sender_of(request.scope)):
            body = await write_file(service, recorded, theme=theme, server=server)
        made = CachedAnswer(body, f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
        if recorded.kept:
            service.answers.put(key, made, len(made.body) + len(key[1]))
    headers = {
        "ETag": made.tag,
        "Cache-Control": REVALIDATED,
        "Content-Disposition": f'attachment; filename="{file_name(recorded)}"',
        "Content-Security-Policy": answer_policy(made.body),
    }
    if made.tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return responses.in_pieces(made.body, HTML, headers)


def file_name(recorded: RecordedRun) -> str:
    """Return a name for the file of a run, from its title."""
    words = re.findall(r"[a-z0-9]+", recorded.title.lower())
    return f"{'-'.join(words)[:60].strip('-') or 'run'}.html"
