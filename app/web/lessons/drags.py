"""Define the route that runs a program of a lesson with the value to which a number was dragged."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from msgspec import Struct
from starlette.responses import Response

from ... import model
from ...errors import Busy
from ...lessons.cells import programs
from .. import responses
from ..api import reference
from ..example_runs import SharedProgram
from ..links import API, run_links
from ..protection.clients import client_of
from ..responses import run_of
from ..service import root_of, service_of

SECONDS: Final = 10.0
"""Seconds that a request waits for the run."""

router = APIRouter(prefix=f"{API}/lessons", tags=["lessons"])


class Pulled(Struct, frozen=True):
    """A run of a lesson's program in which a number was dragged to ``value``.

    ``value`` is the value of the task's range that is closest to the requested one. ``numbers`` are the numbers of the lesson's
    text in this run, by their ids. All readers share the run.
    """

    value: float
    run: model.Run
    numbers: dict[str, str]


@router.get("/{id}/drag/{name}", **reference.returns(Pulled, "The run, and the numbers.", 403, 404, 422, 429, 503))
async def pull(
    request: Request,
    id: str,
    name: str,
    value: Annotated[float, Query(ge=-1e9, le=1e9, allow_inf_nan=False, description="The value of the number.")],
) -> Response:
    """Run a program of a lesson with another value of a number that can be dragged, and read the lesson's numbers in this run.

    If somebody has asked for this value before, that run is returned. Otherwise, the program runs in turn with the other
    programs of the caller.
    """
    service, root = service_of(request), root_of(request)
    task, numbers = service.lessons.drag_task(id, name), service.lessons.numbers(id)
    pulled = numbers.pull(task, value)
    lesson = service.lessons.lesson(id)
    program = SharedProgram(f"lesson {id} {name} {pulled.value}", programs.joined(pulled.cells), lesson.seed, lasting=False)
    client = client_of(request, service.owners.identify(request), asked=program.name)
    recorded, texts = await asyncio.gather(
        service.example_runs.find(program, seconds=SECONDS, client=client), numbers.pulled(task, pulled, client)
    )
    if recorded is None:
        raise Busy("The program could not be run in time. Try again in a moment.")
    run = run_of(recorded, root, run_links(root, recorded.id))
    return responses.json(Pulled(pulled.value, run, {str(id): text for id, text in texts.items()}))
