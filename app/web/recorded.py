"""Give out what a run recorded: steps, graphs, passes, nodes, pictures, and the numbers by columns."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from msgspec import Raw, Struct
from starlette.responses import Response

from .. import model
from ..drawing.picture import MEDIA
from ..errors import NotFound
from ..recording import Recording
from ..recording.series import OF_PARAMETER, STATISTICS, USUAL
from . import answers, frames, reference, series, spans
from .api import index_of
from .pictures import Look, draw
from .service import service_of

STEPS_BYTES: Final = 8 * 1024 * 1024
"""Steps are added to an answer until it is this large; the rest is left for the next one."""
MSGPACK: Final = "application/msgpack"

router = APIRouter(prefix="/api/v1/runs/{id}", tags=["recording"])
Index = Annotated[int, Path(ge=0, le=2**31 - 1)]
Start = Annotated[int, Query(ge=0, le=2**31 - 1)]


class StepPage(Struct, frozen=True):
    """Some steps in order; ``next`` is where to start to get the rest."""

    steps: list[model.Step]
    next: int | None


@router.get("/steps", **reference.columns(StepPage, spans.PackedSteps, "Steps in order."))
async def read_steps(request: Request, id: str, start: Start = 0, count: Annotated[int, Query(ge=1, le=1000)] = 20) -> Response:
    """Read steps in order, with all their numbers: passes, parameters, values of lines, the update."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    if MSGPACK in request.headers.get("accept", ""):
        packed = await answers.read(service.archive, recorded, _packed_steps, recorded.recording, start, count)
        return answers.kept(request, packed, MSGPACK, final=recorded.ended, vary=True)
    told = await answers.read(service.archive, recorded, _steps, recorded.recording, start, count)
    return answers.kept(request, told, answers.JSON, final=recorded.ended, vary=True)


def _packed_steps(recording: Recording, start: int, count: int) -> bytes:
    return msgspec.msgpack.encode(spans.packed(recording, start, count))


def _steps(recording: Recording, start: int, count: int) -> bytes:
    there = recording.log.counts()[2]
    steps: list[Raw] = []
    size, at = 0, start
    while at < min(there, start + count) and (size < STEPS_BYTES or not steps):
        step = msgspec.json.encode(recording.step(at))
        steps.append(Raw(step))
        size += len(step)
        at += 1
    return msgspec.json.encode({"steps": steps, "next": at if at < there else None})


@router.get("/steps/{index}", **reference.answers(model.Step, "The step.", 304, 404))
async def read_step(request: Request, id: str, index: Index) -> Response:
    """Read one step."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    return answers.of_take(request, recorded, await answers.read(service.archive, recorded, recorded.recording.step, index))


@router.get("/graphs/{graph}", **reference.answers(model.Graph, "The structure.", 304, 404))
async def read_graph(request: Request, id: str, graph: str) -> Response:
    """Read the structure of a graph: nodes and edges, no numbers."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    index = index_of(graph, "g", "graph")
    return answers.of_take(request, recorded, await answers.read(service.archive, recorded, recorded.recording.graph, index))


@router.get("/passes/{index}", **reference.answers(model.Pass, "The pass.", 304, 404))
async def read_pass(request: Request, id: str, index: Index) -> Response:
    """Read one pass with its numbers (left out for large graphs: ask for frames)."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    return answers.of_take(request, recorded, await answers.read(service.archive, recorded, recorded.recording.pass_, index))


@router.get("/passes/{index}/nodes/{node}", **reference.answers(model.NodeDetail, "All about the node.", 304, 404))
async def read_node(request: Request, id: str, index: Index, node: str) -> Response:
    """Read all about one node in one pass: value, gradients, saved tensors, what came in and what went out."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    return answers.of_take(
        request, recorded, await answers.read(service.archive, recorded, recorded.recording.node, index, node)
    )


Theme = Annotated[str, Query(description="light, dark, auto, or inline (for the inside of a page)")]
Direction = Annotated[str, Query(description="where the root stands: TB on top, BT at the bottom, LR at the left")]
Selected = Annotated[str | None, Query(description="id of a node to mark")]


@router.get("/passes/{index}/graph.{form}", **reference.PICTURE)
async def draw_pass(
    request: Request,
    id: str,
    index: Index,
    form: str,
    theme: Theme = "light",
    direction: Direction = "TB",
    node: Selected = None,
) -> Response:
    """Draw a pass, as `svg`, `png`, `pdf` or `dot`; `txt` is the account in words."""
    return await _drawn(request, id, "pass", index, form, Look(theme, direction, node))


@router.get("/graphs/{graph}/graph.{form}", **reference.PICTURE)
async def draw_graph(
    request: Request, id: str, graph: str, form: str, theme: Theme = "light", direction: Direction = "TB", node: Selected = None
) -> Response:
    """Draw a structure without numbers: that of a displayed tensor which no pass reached."""
    return await _drawn(request, id, "graph", index_of(graph, "g", "graph"), form, Look(theme, direction, node))


async def _drawn(request: Request, id: str, what: str, index: int, form: str, look: Look) -> Response:
    service = service_of(request)
    media_type = next((media for known, media in MEDIA.items() if known == form), None)
    if media_type is None:
        raise NotFound(f"There is no picture as .{form[:20]}: take one of {', '.join(f'.{known}' for known in MEDIA)}.")
    recorded = await service.runs.find(id)
    drawn = await draw(service, recorded, what, index, form, look.checked())
    return answers.kept(request, drawn, media_type, final=recorded.ended)


@router.get("/frames", **reference.columns(frames.Frames, frames.PackedFrames))
async def read_frames(
    request: Request,
    id: str,
    graph: Annotated[str, Query(description="id of the graph that the passes share")] = "g0",
    start: Start = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
    fields: Annotated[str | None, Query(description=f"separated by commas; known: {', '.join(frames.FIELDS)}")] = None,
) -> Response:
    """Read the numbers of many passes by columns."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    asked = (recorded.recording, index_of(graph, "g", "graph"), start, count, frames.chosen(fields))
    if MSGPACK in request.headers.get("accept", ""):
        packed = await answers.read(service.archive, recorded, frames.packed, *asked)
        return answers.kept(request, msgspec.msgpack.encode(packed), MSGPACK, final=recorded.ended, vary=True)
    told = await answers.read(service.archive, recorded, frames.frames, *asked)
    return answers.kept(request, msgspec.json.encode(told), answers.JSON, final=recorded.ended, vary=True)


@router.get("/series", **reference.columns(series.Series, series.PackedSeries))
async def read_series(
    request: Request,
    id: str,
    key: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(
            max_length=500,
            description="`loss`, `loss:NAME`, `iteration`, `lr`, `optimizer.OPTION`; of a parameter `p0`, `p0.grad`, "
            f"`p0.state.exp_avg` ({', '.join(OF_PARAMETER)}, state.NAME), each with `.norm` or another of "
            f"{', '.join(STATISTICS)}, or an element as `[3]`; `*` stands for all. Repeat it for more. "
            f"Without it: {', '.join(USUAL)}",
        ),
    ] = None,
    start: Start = 0,
    count: Annotated[int | None, Query(ge=1, description="steps; all, without it")] = None,
    points: Annotated[
        int | None, Query(ge=2, le=100_000, description="down-sample to about so many steps for each key, keeping extremes")
    ] = None,
) -> Response:
    """Read how numbers went over the steps: losses, parameters, gradients, the optimizer's state and options."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    asked = (recorded.recording, key or (), start, count, points)
    if MSGPACK in request.headers.get("accept", ""):
        packed = await answers.read(service.archive, recorded, series.packed, *asked)
        return answers.kept(request, msgspec.msgpack.encode(packed), MSGPACK, final=recorded.ended, vary=True)
    told = await answers.read(service.archive, recorded, series.series, *asked)
    return answers.kept(request, msgspec.json.encode(told), answers.JSON, final=recorded.ended, vary=True)
