"""Play a recording as an animated picture or a video: the training, or the backward pass of one step."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from msgspec import Struct
from starlette.responses import Response

from ... import wire
from ...drawing import animation, apng, numerals, video
from ...errors import NotFound, TooLarge
from ...recording import Tensors
from ...runs.run import RecordedRun
from ..api import reference
from ..api.recordings import Direction, Layout, View
from ..links import API
from ..pictures import Look, RunReader, draw
from ..service import reader_of, service_of
from .made_files import file_answer, made_once
from .program_files import file_name

MEDIA: Final = {"svg": "image/svg+xml", "png": "image/apng", "mp4": "video/mp4"}
ANIMATION: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The animation. An SVG has no scripts; an MP4 needs ffmpeg on the server.",
            "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA.values()},
        }
    }
    | reference.problems(304, 404, 413, 422, 503),
}
Step = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Step whose backward pass to play. Default: all steps.")]
Theme = Annotated[Literal["light", "dark"], Query(description="The colours.")]

LARGEST: Final = 16 * 1024 * 1024
"""Largest total size of the pictures of an animation, in bytes."""

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["recording"])


@router.get("/animation.{form}", **ANIMATION)
async def export_animation(
    request: Request,
    id: str,
    form: Literal["svg", "png", "mp4"],
    step: Step = None,
    theme: Theme = "light",
    direction: Direction = "TB",
    view: View = None,
    layout: Layout = "auto",
) -> Response:
    """Read an animation of the training, with at most 40 steps, or of the backward pass of one step, node by node.

    The animation is an animated SVG, an animated PNG, or an MP4 video. With a large graph, it has fewer steps.
    """
    service = service_of(request)
    recorded = await service.find(id)
    look = Look(theme, direction, view=view, layout=layout, embedded=form != "svg").checked()
    name = f"animation.{form} {step} {look}"
    made = await made_once(
        request, recorded, name, service.making, lambda: _made(reader_of(request), recorded, form, step, look)
    )
    headers = {"Content-Disposition": f'inline; filename="{file_name(recorded)}.{form}"'}
    return file_answer(request, recorded, made, MEDIA[form], headers)


async def _made(reader: RunReader, recorded: RecordedRun, form: str, step: int | None, look: Look) -> bytes:
    theme: Any = look.theme
    if step is not None:
        shown = (await reader.read(recorded, _instants, recorded, [step]))[0]
        drawn = (await draw(reader, recorded, "pass", shown.pass_, "svg", look)).body.decode()
        if form == "svg":
            return (await asyncio.to_thread(animation.animate_pass, drawn, shown.order)).encode()
        frames = await asyncio.to_thread(animation.stills_of_pass, drawn, shown.order)
    else:
        frames = await _training(reader, recorded, look)
        if form == "svg":
            return (await asyncio.to_thread(animation.animate, frames, theme)).encode()
    stills = await asyncio.to_thread(animation.stills, frames, theme)
    pictures = [await reader.tools.converter.convert(still, "png", reader.tools.client) for still in stills]
    joined = await asyncio.to_thread(apng.join, pictures, animation.durations(len(pictures)))
    return joined if form == "png" else await video.mp4(joined)


async def _training(reader: RunReader, recorded: RecordedRun, look: Look) -> list[tuple[str, str]]:
    """Return the pictures of steps with their captions. Raises :class:`NotFound` if the run has no steps."""
    count = recorded.counts[2]
    if not count:
        raise NotFound("The run has no steps to animate: it needs a backward() call.")

    async def drawn(shown: _PlayedPass) -> tuple[str, str]:
        return (await draw(reader, recorded, "pass", shown.pass_, "svg", look)).body.decode(), shown.caption

    last = await drawn((await reader.read(recorded, _instants, recorded, [count - 1]))[0])
    steps = animation.chosen(count, animation.most(len(last[0])))[:-1]
    frames = [last]
    for at, shown in enumerate(await reader.read(recorded, _instants, recorded, steps)):
        frames.insert(at, await drawn(shown))
        if sum(len(svg) for svg, _ in frames) > LARGEST:
            raise TooLarge(f"The animation has more than {LARGEST:,} bytes: play one step instead, with step=0.")
    return frames


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
