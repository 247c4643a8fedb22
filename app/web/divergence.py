"""Define the route that compares two runs."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ..recording.divergence import Divergence, first_divergence
from . import reference, responses
from .links import API
from .service import service_of

SECONDS: Final = 2.0
"""Time in seconds after which a comparison ends with the steps compared so far."""

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["runs"])


@router.get("/divergence", **reference.returns(Divergence, "The first difference, or a sentence that there is none.", 404))
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
    first, second = await service.runs.find(id), await service.runs.find(other)
    found = await service.archive.beside(
        lambda: first_divergence(first.recording, second.recording, tolerance, seconds=SECONDS)
    )
    return responses.json(found)
