"""Build HTTP responses: JSON encoded directly from the model's structs, and caching headers."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
from fastapi import Request
from msgspec import Struct
from starlette.responses import Response, StreamingResponse

from .. import model
from ..runs.run import RecordedRun
from .links import finding_url, list_links

JSON: Final = "application/json"
FINAL: Final = "private, max-age=3600, immutable"
"""``Cache-Control`` of a response about an ended run: the data never changes, but the run can be deleted."""
REVALIDATED: Final = "private, no-cache"
"""``Cache-Control`` of an answer that may change although the run has ended: a client asks whether its copy is current."""

LARGE: Final = 1024 * 1024
"""Size in bytes above which a body is sent in pieces, without an ``ETag``."""

_encode = msgspec.json.Encoder().encode


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response. By default, it must not be cached."""
    return Response(_encode(value), status, {"Cache-Control": "no-store"} | dict(headers or {}), JSON)


def cacheable(
    request: Request, body: bytes, media_type: str, *, final: bool, vary: bool = False, renewed: bool = False
) -> Response:
    """Return a response that may be cached if it is ``final``, or 304 if the caller's ``If-None-Match`` matches it.

    A large body is sent in pieces. ``vary`` is true if the body depends on the request's ``Accept`` header. ``renewed`` is true
    if the body is about a run that a newer server records again: a client then asks whether its copy is current.
    """
    caching = REVALIDATED if renewed else FINAL
    headers = {"Vary": "Accept"} if vary else {}
    if len(body) > LARGE:
        headers |= {"Cache-Control": caching if final else "no-store"}
        return in_pieces(body, media_type, headers)
    if not final:
        return Response(body, 200, headers | {"Cache-Control": "no-store"}, media_type)
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers |= {"ETag": tag, "Cache-Control": caching}
    if tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return Response(body, 200, headers, media_type)


def in_pieces(body: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Return a response with a large body, which is sent in pieces."""
    return StreamingResponse(_pieces(body), 200, headers, media_type)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """Yield a large body in pieces: each is compressed on the event loop, which serves other requests in between."""
    for start in range(0, len(body), LARGE // 4):
        yield body[start : start + LARGE // 4]
        await asyncio.sleep(0)


def retry_after(queue: model.QueuePosition | msgspec.UnsetType) -> str:
    """Return the ``Retry-After`` of a run or replay in progress: the estimated seconds until it starts; 1 if it is not queued.

    >>> retry_after(msgspec.UNSET), retry_after(model.QueuePosition(7, 3.2))
    ('1', '4')
    """
    return str(1 if queue is msgspec.UNSET else max(1, math.ceil(queue.seconds)))


def run_of(recorded: RecordedRun, root: str, links: Mapping[str, str]) -> model.Run:
    """Return a run with its links and with the addresses of its findings' documentation."""
    run = recorded.run(links)
    findings = [finding_of(finding, root) for finding in run.findings]
    if run.omitted is not msgspec.UNSET:
        links = run.links | list_links(root, recorded.id, run.omitted)
    return msgspec.structs.replace(run, findings=findings, links=dict(links))


def finding_of(finding: model.Finding, root: str) -> model.Finding:
    """Return a finding with the address of its documentation."""
    return msgspec.structs.replace(finding, help=finding_url(root, finding.code))


class CachedAnswer(Struct, frozen=True):
    """The body of an answer about an ended run, and its ``ETag``."""

    body: bytes
    tag: str
    gzipped: bool = False
    final: bool = True
    """False if a replay may change the answer, as for a run with summarized steps."""
