"""Define the route that explains a number of a recording."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...why import Why, why
from .. import responses
from ..links import API
from ..protection.clients import sender_of
from ..service import service_of
from . import answers, reference

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["recording"])


@router.get("/why", **reference.returns(Why, "The terms that the number is made of.", 304, 404, 413, 503))
async def explain_number(
    request: Request,
    id: str,
    of: Annotated[
        str,
        Query(
            max_length=300,
            description="The number to explain. `m.grad` is the gradient of a parameter, by its name or id; `m`, `m.update`, "
            "`m.after`, `m.grad_used`, `m.grad_before` and `m.state.exp_avg` are its other numbers in a step. `n3` is the "
            "value of a node, `n3.grad` the gradient that arrived there, `e5` that of an edge. `loss` and other names of "
            "results are values of the pass. An index such as `[0,1]` names an element. By default, the element with the "
            "largest magnitude is explained. `m.is_leaf` asks why a tensor is a leaf or is not.",
        ),
    ],
    step: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Step of the number. Default: the last one.")] = None,
    pass_: Annotated[
        int | None,
        Query(alias="pass", ge=0, le=2**31 - 1, description="Pass of a node or edge. Default: the step's main pass."),
    ] = None,
) -> Response:
    """Explain a number: the terms it is made of, the largest first, each with the address of its own explanation.

    The explanation uses the recorded numbers only. For a larger tensor, of which only statistics were recorded, the answer has
    a `replay`: POST it to the run's `replays`, then ask again. If a number does not exist, such as a `.grad` that is `None`,
    the answer says why.
    """
    service = service_of(request)
    recorded = await service.find(id)
    async with service.explaining.entered(sender_of(request.scope)):
        return await answers.encoded_answer(
            request,
            recorded,
            lambda: msgspec.json.encode(why(recorded.recording.with_elements(), of, step, pass_)),
            responses.JSON,
            apart=True,
            lasting=False,
        )
