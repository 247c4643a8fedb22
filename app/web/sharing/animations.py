"""Play a recording as an animated SVG: the training, or the backward pass of one step."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from msgspec import Struct
from starlette.responses import Response

from ... import wire
from ...drawing import animation, numerals
from ...errors import NotFound, TooLarge
from ...recording import Tensors
from ...runs.run import RecordedRun
from ..api import reference
from ..links import API
from ..pictures import Look, draw
from ..service import Service, service_of
from .made_files import made_file
from .program_files import file_name

ANIMATION: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The animation, an SVG without scripts.",
            "content": {"image/svg+xml": {"schema": {"type": "string"}}},
        }
    }
    | reference.problems(304, 404, 413, 422, 503),
}
Step = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Step whose backward pass to play. Default: all steps.")]
Theme = Annotated[Literal["light", "dark"], Query(description="The colours.")]

LARGEST: Final = 16 * 1024 * 1024
"""Largest size of all pictures of an animation, in bytes."""

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["recording"])


@router.get("/animation.svg", **ANIMATION)
async def export_animation(request: Request, id: str, step: Step = None, theme: Theme = "light") -> Response:
    """Read the training as an animated picture, at most 40 steps of it, or the backward pass of one step, node by node."""
    service = service_of(request)
    recorded = await service.find(id)
    count = recorded.counts[2]
    if step is None and not count:
        raise NotFound("The run has no steps to animate: it needs a backward() call.")

    async def make() -> bytes:
        if step is not None:
            return await _of_step(service, recorded, step, theme)
        return await _of_training(service, recorded, count, theme)

    return await made_file(
        request,
        recorded,
        f"animation.svg {step} {theme}",
        "image/svg+xml",
        make,
        disposition=f'inline; filename="{file_name(recorded)}.svg"',
    )


async def _of_step(service: Service, recorded: RecordedRun, step: int, theme: str) -> bytes:
    shown = (await service.read(recorded, _instants, recorded, [step]))[0]
    drawn = await draw(service, recorded, "pass", shown.pass_, "svg", Look(theme))
    return (await asyncio.to_thread(animation.animate_pass, drawn.body.decode(), shown.order)).encode()


async def _of_training(service: Service, recorded: RecordedRun, count: int, theme: Literal["light", "dark"]) -> bytes:
    frames: list[tuple[str, str]] = []
    size = 0
    for shown in await service.read(recorded, _instants, recorded, animation.chosen(count)):
        drawn = await draw(service, recorded, "pass", shown.pass_, "svg", Look(theme))
        size += len(drawn.body)
        if frames and size > LARGEST:
            raise TooLarge(f"The animation has more than {LARGEST:,} bytes: play one step instead, with step=0.")
        frames.append((drawn.body.decode(), shown.caption))
    return (await asyncio.to_thread(animation.animate, frames, theme)).encode()


class _PlayedPass(Struct, frozen=True):
    pass_: int
    order: list[str]
    """Ids of the nodes in the order in which the engine ran them."""
    caption: str


def _instants(recorded: RecordedRun, steps: list[int]) -> list[_PlayedPass]:
    """Return the main passes of steps. Raises :class:`NotFound` if one has no pass with a graph."""
    log = recorded.recording.log
    found: list[_PlayedPass] = []
    for index in steps:
        event = log.step(index)
        if event.main < 0 or log.pass_(event.main).graph < 0:
            raise NotFound(f"Step {index} has no graph to draw.")
        order = [f"n{node}" for node in wire.int32(log.pass_(event.main).order, "order").tolist()]
        loss = Tensors(event.tensors).summary(event.loss_row)
        value = f" · loss {numerals.brief(loss)}" if loss is not None else ""
        found.append(_PlayedPass(event.main, order, f"step {index}{value}"))
    return found
