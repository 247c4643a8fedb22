"""Define the route that compares two runs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...recording.divergence import Divergence, first_divergence
from .. import responses
from ..links import API
from ..protection.clients import sender_of
from ..service import service_of
from . import reference

SECONDS: Final = 2.0
"""Time in seconds after which a comparison ends with the steps compared so far."""

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["runs"])


@router.get("/divergence", **reference.returns(Divergence, "The first difference, or a sentence if there is none.", 404, 503))
async def compare_runs(
    request: Request,
    id: str,
    other: Annotated[str, Query(description="The run to compare with.", max_length=40)],
    tolerance: Annotated[
        float | None,
        Query(
            ge=0,
            le=1,
            description="Largest relative difference that counts as equal. Default: 0 if both runs compute in the same dtypes, "
            "else a bound on rounding errors that grows with the number of operations.",
        ),
    ] = None,
) -> Response:
    """Find the first step and node whose numbers differ between two runs: values, gradients, then parameters."""
    service = service_of(request)
    first, second = await service.find(id), await service.find(other)
    async with service.comparing.entered(sender_of(request.scope)):  # to_thread: not in the threads that read runs
        found = await asyncio.to_thread(first_divergence, first.recording, second.recording, tolerance, seconds=SECONDS)
    return responses.json(found)
