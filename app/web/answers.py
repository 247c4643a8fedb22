"""Write answers: JSON straight from the model's structs, and how long each may be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from fastapi import Request
from starlette.responses import Response

from ..errors import TooLarge
from ..runs.archive import Archive
from ..runs.run import LiveRun, RecordedRun

JSON: Final = "application/json"
FINAL: Final = "private, max-age=3600, immutable"
"""For what belongs to a run that has ended: it never changes, but may be deleted."""
LIGHT_BYTES: Final = 200_000
"""Recordings that take up to this much memory are read on the event loop: going to a thread would cost more."""

P = ParamSpec("P")
T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that may not be kept."""
    return Response(_encode(value), status, {"Cache-Control": "no-store"} | dict(headers or {}), JSON)


def kept(request: Request, body: bytes, media_type: str, *, final: bool, vary: bool = False) -> Response:
    """An answer that may be kept once its run has ended, and is left out where the caller has it already."""
    headers = {"Vary": "Accept"} if vary else {}
    if not final:
        return Response(body, 200, headers | {"Cache-Control": "no-store"}, media_type)
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers |= {"ETag": tag, "Cache-Control": FINAL}
    if tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return Response(body, 200, headers, media_type)


def of_take(request: Request, recorded: RecordedRun, value: Any) -> Response:
    """Something of a run, as JSON."""
    return kept(request, value if isinstance(value, bytes) else _encode(value), JSON, final=recorded.ended)


async def read(archive: Archive, recorded: RecordedRun, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Read something of a recording: at once where it is small and in memory, else beside the event loop."""
    if isinstance(recorded, LiveRun) and recorded.size <= LIGHT_BYTES and not recorded.forgotten:
        return work(*arguments, **named)
    return await archive.beside(lambda: work(*arguments, **named))


async def body_of(request: Request, limit: int) -> bytes:
    """The body of a request; raises :class:`TooLarge` as soon as it is known to be, before it is all here."""
    too_large = TooLarge(f"The body is larger than {limit:,} bytes, the most that is taken.", where="body")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > limit):
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)
