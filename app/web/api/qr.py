"""Draw the address of a page as a QR code, so that an audience can open it."""

from __future__ import annotations

import io
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...errors import InvalidInput

LONGEST: Final = 1_000
"""Largest number of characters of a path. A QR code has room for about 2,300 bytes at this level of correction."""

router = APIRouter(include_in_schema=False)


@router.get("/qr.svg")
async def draw(request: Request, path: Annotated[str, Query(max_length=LONGEST)]) -> Response:
    """Draw the QR code of a page of this server, given its path with its query. Raises :class:`InvalidInput` for other text."""
    import segno  # only presenters need it

    if not path.startswith("/") or path.startswith("//") or not path.isprintable():
        raise InvalidInput("The path of a QR code must be a path of this server, such as /r/….", where="path")
    address = f"{request.url.scheme}://{request.url.netloc}{path}"
    drawing = io.BytesIO()
    segno.make_qr(address, error="m").save(drawing, kind="svg", border=2, scale=8, light="#fff", xmldecl=False)
    return Response(drawing.getvalue(), 200, {"Cache-Control": "private, max-age=3600"}, "image/svg+xml")
