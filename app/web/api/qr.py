"""Draw the address of a page as a QR code, so that an audience can open it."""

from __future__ import annotations

import asyncio
import io
from functools import lru_cache
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...errors import InvalidInput
from ..protection.clients import sender_of
from ..service import service_of

LONGEST: Final = 1_000
"""Largest number of characters of a path."""
LONGEST_ADDRESS: Final = 1_500
"""Largest number of bytes of an address. A QR code has room for about 2,300 at this level of correction."""

router = APIRouter(include_in_schema=False)


@router.get("/qr.svg")
async def draw(request: Request, path: Annotated[str, Query(max_length=LONGEST)]) -> Response:
    """Draw the QR code of a page of this server, given its path with its query. Raises :class:`InvalidInput` for other text."""
    if not path.startswith("/") or path.startswith("//") or not path.isprintable():
        raise InvalidInput("The path of a QR code must be a path of this server, such as /r/….", where="path")
    address = f"{request.url.scheme}://{request.url.netloc}{path}"
    if len(address.encode()) > LONGEST_ADDRESS:
        raise InvalidInput(f"The address has more than {LONGEST_ADDRESS:,} bytes, too many for a QR code.", where="path")
    async with service_of(request).making.entered(sender_of(request.scope)):
        drawing = await asyncio.to_thread(_drawn, address)
    return Response(drawing, 200, {"Cache-Control": "private, max-age=3600"}, "image/svg+xml")


@lru_cache(maxsize=128)
def _drawn(address: str) -> bytes:
    """Draw an address as a QR code, and return the SVG. Drawing takes up to some tenths of a second."""
    import segno  # only presenters need it

    drawing = io.BytesIO()
    segno.make_qr(address, error="m").save(drawing, kind="svg", border=2, scale=8, light="#fff", xmldecl=False)
    return drawing.getvalue()
