"""Turn the errors of Tapedeck and of the framework into problem+json responses (RFC 9457) or error pages."""

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
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response

from ... import errors
from ..links import problem_type
from ..service import root_of

CLIENT_LEFT: Final = 499
"""Status of a response that nobody receives, because the client has left; nginx logs the same."""
MEDIA: Final = "application/problem+json"
log = logging.getLogger(__name__)


class Problem(Struct, frozen=True):
    """An error. ``where`` is the field or parameter of the request that is wrong; ``retry_after`` is in seconds."""

    type: str
    title: str
    status: int
    detail: str
    where: str | UnsetType = UNSET
    retry_after: float | UnsetType = UNSET


class ProblemKind(Struct, frozen=True):
    """A kind of problem: its anchor in ``/docs``, its status, its title and its description."""

    anchor: str
    status: int
    title: str
    sentence: str


PROBLEM_KINDS: Final[dict[type[errors.TapedeckError], ProblemKind]] = {
    errors.UnreadableInput: ProblemKind("unreadable", 400, "Cannot be read", "The body does not match its Content-Type."),
    errors.InvalidInput: ProblemKind("invalid", 422, "Cannot be run", "The input can be read, but it cannot be run."),
    errors.BadRequest: ProblemKind("bad-request", 400, "Bad request", "The request is malformed."),
    errors.NotAllowed: ProblemKind(
        "not-allowed",
        403,
        "Not allowed",
        "Only the owner of a run can stop or delete it. Only a caller who requested a replay can stop it. A private server "
        "requires its token, and refuses requests that pages of other sites send.",
    ),
    errors.NotFound: ProblemKind("not-found", 404, "Not found", "There is no such run, step, graph, pass, node or page."),
    errors.NotEnded: ProblemKind("not-ended", 409, "Run in progress", "Try again when the run has ended."),
    errors.TooLarge: ProblemKind(
        "too-large", 413, "Too large", "The program or the body exceeds a limit. The limits are at /api/v1/limits."
    ),
    errors.OverBudget: ProblemKind(
        "over-budget",
        413,
        "Too much work",
        "The input takes too much time or memory to process. Send a smaller or simpler one.",
    ),
    errors.UnsupportedMedia: ProblemKind("media-type", 415, "Unknown media type", "Tapedeck cannot run this Content-Type."),
    errors.TooMany: ProblemKind("too-many", 429, "Too many requests", "Wait for the seconds in Retry-After, then try again."),
    errors.RecordingDamaged: ProblemKind(
        "damaged", 500, "Recording damaged", "The disk of the server has changed a stored recording. Run the program again."
    ),
    errors.DrawingError: ProblemKind("drawing", 500, "Drawing failed", "The recording itself is not affected."),
    errors.ProtocolError: ProblemKind("protocol", 500, "Recording failed", "The process of the program sent invalid data."),
    errors.Busy: ProblemKind("busy", 503, "Busy", "All slots are in use. Wait for the seconds in Retry-After, then try again."),
    errors.SandboxError: ProblemKind(
        "sandbox", 503, "No sandbox", "Programs cannot be confined on this machine, so the server runs none."
    ),
    errors.StoreFull: ProblemKind("store-full", 507, "Store full", 'Delete some runs, or send "store": false.'),
}

INVALID_QUERY: Final = ProblemKind("question", 422, "Cannot be shown", "The address selects something that cannot be shown.")
_OTHERS: Final = {
    404: PROBLEM_KINDS[errors.NotFound],
    405: ProblemKind(
        "method",
        405,
        "Method not allowed",
        "This address does not support the method. The Allow header lists those it supports.",
    ),
    422: PROBLEM_KINDS[errors.InvalidInput],
}
METHOD_NOT_ALLOWED: Final = _OTHERS[405]
INTERNAL: Final = ProblemKind("internal", 500, "Internal error", "Tapedeck failed because of a bug. See the server's log.")

Render = Callable[[Request, ProblemKind, str], Awaitable[Response]]


def install(app: FastAPI, render: Render) -> None:
    """Register the error handlers.

    A browser that requested a page receives the page that ``render`` returns, or a sentence if the bundle is unusable. All
    other clients receive problem+json.
    """

    async def answer(
        request: Request,
        kind: ProblemKind,
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
            try:
                response = await render(request, kind, detail)
            except errors.BundleUnusable as error:
                response = PlainTextResponse(str(error), 500)  # no page can be rendered, this one included
            response.headers.update(headers)
            return response
        problem = Problem(
            type=problem_type(root_of(request), kind.anchor),
            title=kind.title,
            status=kind.status,
            detail=detail,
            where=UNSET if where is None else where,
            retry_after=UNSET if retry_after is None else retry_after,
        )
        headers["Cache-Control"] = "no-store"
        return Response(msgspec.json.encode(problem), kind.status, headers, MEDIA)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.TapedeckError)
        kind = next((PROBLEM_KINDS[each] for each in type(error).__mro__ if each in PROBLEM_KINDS), INTERNAL)
        if kind is PROBLEM_KINDS[errors.InvalidInput] and request.method != "POST":
            kind = INVALID_QUERY
        if kind.status == 500:
            log.error("%s %s: %s", request.method, request.url.path, error)
        wait = error.retry_after
        if wait is None and kind.status in (429, 503):
            wait = 5.0
        return await answer(request, kind, str(error), where=error.where, retry_after=wait)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = _OTHERS.get(error.status_code)
        if kind is None:
            phrase = HTTPStatus(error.status_code).phrase
            kind = ProblemKind("http", error.status_code, phrase, phrase)
        detail = kind.sentence if error.detail == HTTPStatus(error.status_code).phrase else str(error.detail)
        return await answer(request, kind, detail, headers=error.headers)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        where = ".".join(location[1:]) or location[0]
        kind = PROBLEM_KINDS[errors.InvalidInput] if request.method == "POST" else INVALID_QUERY
        return await answer(request, kind, f"{where}: {first['msg']}.", where=where)

    async def left(request: Request, error: Exception) -> Response:
        return Response(None, CLIENT_LEFT)

    async def broken(request: Request, error: Exception) -> Response:
        return await answer(request, INTERNAL, INTERNAL.sentence)

    handlers: list[tuple[Any, Any]] = [
        (errors.TapedeckError, ours),
        (HTTPException, http),
        (RequestValidationError, validation),
        (ClientDisconnect, left),
        (Exception, broken),
    ]
    for error_class, handler in handlers:
        app.add_exception_handler(error_class, handler)


def _wants_page(request: Request) -> bool:
    """Return whether a browser will show the response to a person."""
    path = request.url.path.removeprefix(root_of(request))
    return "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/static/", "/openapi.json"))
