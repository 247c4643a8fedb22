"""Turn errors, Tapedeck's and the framework's, into problem+json responses (RFC 9457) or error pages."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from msgspec import UNSET, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .. import errors
from .links import problem_type
from .service import root_of

MEDIA: Final = "application/problem+json"
log = logging.getLogger(__name__)


class Problem(Struct, frozen=True):
    """Description of an error. ``where`` locates the error in the request; ``retry_after`` is in seconds."""

    type: str
    title: str
    status: int
    detail: str
    where: str | UnsetType = UNSET
    retry_after: float | UnsetType = UNSET


class Sort(Struct, frozen=True):
    """A kind of problem: its anchor in ``/docs``, its status, its title and its description."""

    anchor: str
    status: int
    title: str
    sentence: str


SORTS: Final[dict[type[errors.TapedeckError], Sort]] = {
    errors.UnreadableInput: Sort("unreadable", 400, "Cannot be read", "The body is not in the format that Content-Type names."),
    errors.InvalidInput: Sort("invalid", 422, "Cannot be run", "The input can be read, but it cannot be run."),
    errors.BadRequest: Sort("bad-request", 400, "Bad request", "The request is malformed."),
    errors.NotAllowed: Sort(
        "not-allowed",
        403,
        "Not yours",
        "Only the owner of a run can stop or delete it, and only a caller who requested a replay can stop it.",
    ),
    errors.NotFound: Sort("not-found", 404, "Not found", "There is no such run, step, graph, pass, node or page."),
    errors.NotEnded: Sort("not-ended", 409, "Not yet", "The run is still in progress: try again when it has ended."),
    errors.TooLarge: Sort(
        "too-large", 413, "Too large", "The program or the body exceeds a limit. The limits are at /api/v1/limits."
    ),
    errors.UnsupportedMedia: Sort("media-type", 415, "Unknown media type", "Tapedeck cannot run a body of this Content-Type."),
    errors.TooMany: Sort("too-many", 429, "Too many requests", "Wait for the seconds in Retry-After, then try again."),
    errors.DrawingError: Sort("drawing", 500, "Could not be drawn", "Drawing failed. The recording is not affected."),
    errors.ProtocolError: Sort("protocol", 500, "Recording broke", "The program's process sent data that could not be read."),
    errors.Busy: Sort("busy", 503, "Busy", "All slots are in use: wait for the seconds in Retry-After, then try again."),
    errors.SandboxError: Sort(
        "sandbox", 503, "No sandbox", "This machine has nothing that can confine a program, so no programs are run."
    ),
    errors.StoreFull: Sort("store-full", 507, "No room", 'The store is full: delete some runs, or send "store": false.'),
}

QUESTION: Final = Sort("question", 422, "Cannot be shown", "The address asks for something that cannot be shown.")
_OTHERS: Final = {
    404: SORTS[errors.NotFound],
    405: Sort(
        "method", 405, "Method not allowed", "This address does not support the method: see Allow for those it supports."
    ),
    422: SORTS[errors.InvalidInput],
}
METHOD: Final = _OTHERS[405]
INTERNAL: Final = Sort("internal", 500, "Our mistake", "Tapedeck failed because of a bug. The server's log has the details.")

Render = Callable[[Request, Sort, str], Awaitable[Response]]


def install(app: FastAPI, render: Render) -> None:
    """Register the error handlers.

    The API and programs receive problem+json; a browser that requested a page receives the page that ``render`` returns.
    """

    async def answer(
        request: Request,
        sort: Sort,
        detail: str,
        *,
        where: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        headers = dict(headers or {})
        if retry_after is not None:
            headers["Retry-After"] = str(math.ceil(retry_after))
        if _wants_page(request):
            response = await render(request, sort, detail)
            response.headers.update(headers)
            return response
        problem = Problem(
            type=problem_type(root_of(request), sort.anchor),
            title=sort.title,
            status=sort.status,
            detail=detail,
            where=UNSET if where is None else where,
            retry_after=UNSET if retry_after is None else retry_after,
        )
        headers["Cache-Control"] = "no-store"
        return Response(msgspec.json.encode(problem), sort.status, headers, MEDIA)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.TapedeckError)
        sort = next((SORTS[kind] for kind in type(error).__mro__ if kind in SORTS), INTERNAL)
        if sort is SORTS[errors.InvalidInput] and request.method != "POST":
            sort = QUESTION
        if sort.status == 500:
            log.error("%s %s: %s", request.method, request.url.path, error)
        wait = error.retry_after
        if wait is None and sort.status in (429, 503):
            wait = 5.0
        return await answer(request, sort, str(error), where=error.where, retry_after=wait)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sort = _OTHERS.get(error.status_code)
        if sort is None:
            phrase = HTTPStatus(error.status_code).phrase
            sort = Sort("http", error.status_code, phrase, phrase)
        detail = sort.sentence if error.detail == HTTPStatus(error.status_code).phrase else str(error.detail)
        return await answer(request, sort, detail, headers=error.headers)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        where = ".".join(location[1:]) or location[0]
        sort = SORTS[errors.InvalidInput] if request.method == "POST" else QUESTION
        return await answer(request, sort, f"{where}: {first['msg']}.", where=where)

    async def broken(request: Request, error: Exception) -> Response:
        return await answer(request, INTERNAL, INTERNAL.sentence)

    handlers: list[tuple[Any, Any]] = [
        (errors.TapedeckError, ours),
        (HTTPException, http),
        (RequestValidationError, validation),
        (Exception, broken),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


def _wants_page(request: Request) -> bool:
    """Return whether a browser will show the response to a person."""
    path = request.url.path.removeprefix(root_of(request))
    return "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/static/", "/openapi.json"))
