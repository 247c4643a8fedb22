"""Answer what went wrong as problem+json (RFC 9457): our errors, and the framework's."""

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
from .service import root_of

MEDIA: Final = "application/problem+json"
log = logging.getLogger(__name__)


class Problem(Struct, frozen=True):
    """An answer that says what is wrong. ``where`` is the place in the input, ``retry_after`` is in seconds."""

    type: str
    title: str
    status: int
    detail: str
    where: str | UnsetType = UNSET
    retry_after: float | UnsetType = UNSET


class Sort(Struct, frozen=True):
    """A sort of problem: where ``/docs`` tells of it, its status, and what it is called."""

    anchor: str
    status: int
    title: str
    sentence: str


SORTS: Final[dict[type[errors.TapedeckError], Sort]] = {
    errors.UnreadableInput: Sort("unreadable", 400, "Cannot be read", "The body is not the format that it says it is."),
    errors.InvalidInput: Sort("invalid", 422, "Cannot be run", "The input can be read, but is not something to run."),
    errors.BadRequest: Sort("bad-request", 400, "Bad request", "The request cannot be understood."),
    errors.NotAllowed: Sort(
        "not-allowed", 403, "Not yours", "Only its owner may stop or delete a run; only who asked for a replay may stop it."
    ),
    errors.NotFound: Sort("not-found", 404, "Not found", "There is no such run, step, graph, pass, node or page."),
    errors.NotEnded: Sort("not-ended", 409, "Not yet", "The run still goes on: ask again once it has ended."),
    errors.TooLarge: Sort(
        "too-large", 413, "Too large", "The program or the body is above a limit: /api/v1/limits tells them."
    ),
    errors.UnsupportedMedia: Sort("media-type", 415, "Unknown media type", "Content-Type names nothing that can be run."),
    errors.TooMany: Sort("too-many", 429, "Too many requests", "Wait as long as Retry-After says, then try again."),
    errors.DrawingError: Sort("drawing", 500, "Could not be drawn", "The picture failed; the recording itself is sound."),
    errors.ProtocolError: Sort("protocol", 500, "Recording broke", "What the program's process sent could not be read."),
    errors.Busy: Sort("busy", 503, "Busy", "No place to run this just now: wait as long as Retry-After says."),
    errors.SandboxError: Sort("sandbox", 503, "No sandbox", "Nothing on this machine can confine a program: none is run."),
    errors.StoreFull: Sort("store-full", 507, "No room", 'No room for another recording: delete some, or send "store": false.'),
}

QUESTION: Final = Sort("question", 422, "Cannot be shown", "What is asked for in the address is not there to be shown.")
_OTHERS: Final = {
    404: SORTS[errors.NotFound],
    405: Sort("method", 405, "Method not allowed", "This address is not for that method: Allow names those it is for."),
    422: SORTS[errors.InvalidInput],
}
METHOD: Final = _OTHERS[405]
INTERNAL: Final = Sort("internal", 500, "Our mistake", "Something in Tapedeck broke. The log of the server tells what.")

Render = Callable[[Request, Sort, str], Awaitable[Response]]


def install(app: FastAPI, render: Render) -> None:
    """Answer every error: problem+json for the API and for programs, a page (by ``render``) for a browser on a page."""

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
            type=f"{root_of(request)}/docs#{sort.anchor}",
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
        place = [str(part) for part in first["loc"]]
        where = ".".join(place[1:]) or place[0]
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
    """Whether a browser shows the answer to a person."""
    path = request.url.path.removeprefix(root_of(request))
    return "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/static/", "/openapi.json"))
