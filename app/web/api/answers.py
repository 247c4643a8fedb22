"""Answer requests for parts of a run: encode them, large ones in a thread, and cache answers about ended runs."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from fastapi import Request
from starlette.responses import Response

from ...runs.run import RecordedRun
from ..responses import FINAL, JSON, REVALIDATED, CachedAnswer
from ..service import root_of, service_of

GZIP_BYTES: Final = 50_000
"""Size above which a body is compressed in the thread that encodes it."""

P = ParamSpec("P")
T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


async def answer(
    request: Request,
    recorded: RecordedRun,
    work: Callable[P, Any],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Response:
    """Return the result of ``work`` as JSON; bytes are sent unchanged. See :func:`encoded_answer`."""

    def encode() -> bytes:
        value = work(*args, **kwargs)
        return value if isinstance(value, bytes) else _encode(value)

    return await encoded_answer(request, recorded, encode, JSON)


async def encoded_answer(
    request: Request,
    recorded: RecordedRun,
    encode: Callable[[], bytes],
    media_type: str,
    *,
    vary: str = "",
    apart: bool = False,
    lasting: bool = True,
) -> Response:
    """Return a part of a run that ``encode`` reads and encodes, in a thread unless the run is small.

    The answer about an ended run is cached in the server, and may be cached by the client. ``vary`` names the request header
    on which the answer depends, besides ``Accept-Encoding``. With ``apart``, the work never uses the threads that read the runs
    of all clients: it is done in another thread. The caller must then limit how many such requests run at once. An answer that
    is not ``lasting`` may change after a replay: it is not cached here, and clients ask whether it has changed.
    """
    service = service_of(request)

    async def read(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if apart:
            return await asyncio.to_thread(work, *args, **kwargs)
        return await service.read(recorded, work, *args, **kwargs)

    if not recorded.ended:
        return Response(await read(encode), 200, _vary(vary) | {"Cache-Control": "no-store"}, media_type)
    gzip_accepted = "gzip" in request.headers.get("accept-encoding", "")
    key = (recorded.id, f"{root_of(request)} {request.url.path}?{request.url.query} {media_type} {gzip_accepted}")
    cached = service.answers.get(key)
    if cached is None:
        cached = await read(_packed, encode, gzip_accepted, recorded)
        if not lasting:
            cached = msgspec.structs.replace(cached, final=False)
        if recorded.kept and cached.final:
            service.answers.put(key, cached, len(cached.body) + len(key[1]))
    headers = _vary(vary) | {
        "ETag": cached.tag,
        "Cache-Control": FINAL if cached.final and not recorded.renewed else REVALIDATED,
    }
    if cached.tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    if cached.gzipped:
        headers |= {"Content-Encoding": "gzip", "Vary": ", ".join(filter(None, (vary, "Accept-Encoding")))}
    return Response(cached.body, 200, headers, media_type)


def _vary(header: str) -> dict[str, str]:
    return {"Vary": header} if header else {}


def _packed(encode: Callable[[], bytes], gzip_accepted: bool, recorded: RecordedRun) -> CachedAnswer:
    """Encode an answer, and compress a large one here, because compressing it on the event loop would take too long."""
    body, final = encode(), not recorded.recording.summarized
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    if gzip_accepted and len(body) > GZIP_BYTES:
        return CachedAnswer(gzip.compress(body, 1, mtime=0), tag, True, final)
    return CachedAnswer(body, tag, False, final)
