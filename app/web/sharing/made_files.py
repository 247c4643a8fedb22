"""Make the files of runs that take long to make: a few at a time, each once, and for clients in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.responses import Response

from ...runs.run import RecordedRun
from ...workers import FairGate
from .. import responses
from ..protection.clients import sender_of
from ..responses import CachedAnswer
from ..service import service_of


async def made_once(
    request: Request, recorded: RecordedRun, name: str, gate: FairGate, make: Callable[[], Awaitable[bytes]]
) -> CachedAnswer:
    """Return a file of a run, from the cache or made by ``make``. ``name`` distinguishes the run's files.

    ``gate`` limits how many files are made at once. Raises :class:`Busy` if too many wait.
    """
    service = service_of(request)
    key = (recorded.id, name)
    made = service.answers.get(key)
    if made is not None:
        return made
    async with gate.entered(sender_of(request.scope)):
        made = service.answers.get(key)  # an earlier request may have made it
        if made is None:
            body = await make()
            made = CachedAnswer(body, f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
            if recorded.ended and recorded.kept:
                service.answers.put(key, made, len(body) + len(name))
        return made


def file_answer(
    request: Request, recorded: RecordedRun, made: CachedAnswer, media_type: str, headers: dict[str, str]
) -> Response:
    """Return the response with a file.

    The response about an ended run may be cached, and is 304 if the caller has the file.
    """
    if not recorded.ended:
        return responses.in_pieces(made.body, media_type, headers | {"Cache-Control": "no-store"})
    headers = headers | {"ETag": made.tag, "Cache-Control": responses.REVALIDATED}
    if made.tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return responses.in_pieces(made.body, media_type, headers)
