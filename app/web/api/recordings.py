"""Define the routes that read a recording: steps, graphs, passes, nodes, pictures, and columns of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, ParamSpec

import msgspec
from fastapi import APIRouter, Path, Query, Request
from msgspec import Raw, Struct
from starlette.responses import Response

from ... import model
from ...drawing.picture import MEDIA
from ...errors import NotFound
from ...map.models import read_models
from ...map.query import LONGEST_QUERY
from ...map.read import LONGEST_VIEW, read_map, read_numbers
from ...map.search import MOST_HITS, search
from ...recording import Recording, lists
from ...recording.series import DEFAULT_KEYS, PARAMETER_TENSORS, STATISTICS
from ...runs.run import RecordedRun
from .. import responses
from ..columns import packed_steps, pass_columns, series
from ..links import API
from ..pictures import Look, draw
from ..request_parts import index_of
from ..service import reader_of, service_of
from . import answers, reference

STEPS_BYTES: Final = 8 * 1024 * 1024
"""Size in bytes at which a response of steps ends. The remaining steps are left for the next response."""
MSGPACK: Final = "application/msgpack"

P = ParamSpec("P")

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["recording"])
Index = Annotated[int, Path(ge=0, le=2**31 - 1)]
Start = Annotated[int, Query(ge=0, le=2**31 - 1)]


class StepPage(Struct, frozen=True):
    """A page of steps in order. Pass ``next`` as ``start`` to get the next page."""

    steps: list[model.Step]
    next: int | None


@router.get("/steps", **reference.returns_packed(StepPage, packed_steps.PackedSteps, "Steps in order."))
async def read_steps(request: Request, id: str, start: Start = 0, count: Annotated[int, Query(ge=1, le=1000)] = 20) -> Response:
    """Read steps in order, with all their numbers: passes, parameters, line values and the update."""
    recorded = await service_of(request).find(id)
    return await _json_or_packed(request, recorded, _steps, packed_steps.packed, recorded.recording, start, count)


def _steps(recording: Recording, start: int, count: int) -> Raw:
    available = recording.log.counts()[2]
    steps: list[Raw] = []
    size, index = 0, start
    while index < min(available, start + count) and (size < STEPS_BYTES or not steps):
        step = msgspec.json.encode(recording.step(index))
        steps.append(Raw(step))
        size += len(step)
        index += 1
    return Raw(msgspec.json.encode({"steps": steps, "next": index if index < available else None}))


@router.get("/steps/{index}", **reference.returns(model.Step, "The step.", 304, 404))
async def read_step(request: Request, id: str, index: Index) -> Response:
    """Read one step. For a program that was stopped, the index after the last step reads what was recorded after that step."""
    recorded = await service_of(request).find(id)
    return await answers.answer(request, recorded, recorded.step, index)


View = Annotated[
    str | None,
    Query(
        max_length=LONGEST_VIEW,
        description="Ids of the groups that a map shows open, separated by commas; empty if none is open. "
        "Unknown ids are ignored and listed in the answer.",
    ),
]
Reveal = Annotated[str | None, Query(max_length=40, description="Id of an operation that a map must show.")]


@router.get("/graphs/{graph}", **reference.returns(model.Graph, "The structure of the graph.", 304, 404))
async def read_graph(request: Request, id: str, graph: str) -> Response:
    """Read the structure of a graph, without numbers: its nodes and edges, or the first of them if the graph is large."""
    recorded = await service_of(request).find(id)
    return await answers.answer(request, recorded, lists.graph, recorded.recording, index_of(graph, "g", "graph"))


@router.get("/graphs/{graph}/map", **reference.returns(model.GraphMap, "The map of the graph.", 304, 404))
async def read_graph_map(
    request: Request,
    id: str,
    graph: str,
    view: View = None,
    reveal: Reveal = None,
    pass_: Annotated[
        int | None, Query(alias="pass", ge=0, le=2**31 - 1, description="Pass over this graph whose gradients are summed.")
    ] = None,
) -> Response:
    """Read a graph of any size as a map: groups of operations, and the edges between them. A view opens a few of the groups.

    Without `view`, a view with about 18 boxes is chosen. It opens the groups around the first gradient that is not finite.
    """
    recorded = await service_of(request).find(id)
    index = index_of(graph, "g", "graph")
    return await answers.answer(request, recorded, read_map, recorded.recording, index, pass_, view, reveal)


@router.get("/graphs/{graph}/map/numbers", **reference.returns(model.MapNumbers, "The numbers, by columns.", 304, 404))
async def read_map_numbers(
    request: Request,
    id: str,
    graph: str,
    view: Annotated[str, Query(max_length=LONGEST_VIEW, description="The address of the map, as in its `view`.")] = "",
    start: Annotated[int, Query(ge=0, le=2**31 - 1, description="Index of the first pass.")] = 0,
    count: Annotated[int, Query(ge=1, le=100, description="Largest number of passes over this graph.")] = 1,
) -> Response:
    """Read the numbers of a map in several passes. Its boxes and edges are the same in all of them."""
    recorded = await service_of(request).find(id)
    index = index_of(graph, "g", "graph")
    return await answers.answer(request, recorded, read_numbers, recorded.recording, index, view, start, count)


@router.get("/graphs/{graph}/search", **reference.returns(model.GraphSearch, "The nodes that were found.", 304, 404))
async def search_graph(
    request: Request,
    id: str,
    graph: str,
    q: Annotated[
        str,
        Query(
            max_length=LONGEST_QUERY,
            description="Terms, separated by spaces. A node is found if it meets all of them. A text is searched for in names, "
            "operations and modules, and if none contains it, in the lines of the program. `line 12`, `n57` and `p3` name a "
            "line, a node and a parameter. Conditions: `grad > 1e3` (or `>=`, `<`, `<=`, `=`), `nan`, `inf`, `zero` and "
            "`unused`. Put a text with spaces in quotation marks.",
        ),
    ],
    limit: Annotated[int, Query(ge=1, le=MOST_HITS, description="Number of hits to return. All are counted.")] = 100,
    pass_: Annotated[
        int | None, Query(alias="pass", ge=0, le=2**31 - 1, description="Pass over this graph that conditions refer to.")
    ] = None,
    step: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Step whose pass over this graph is used.")] = None,
) -> Response:
    """Search a whole graph by names, operations, modules, lines and parameters, and by conditions on gradients."""
    recorded = await service_of(request).find(id)
    index = index_of(graph, "g", "graph")
    return await answers.answer(request, recorded, search, recorded.recording, index, q, limit, pass_, step)


@router.get("/models", **reference.returns(model.ModelRows, "The modules in order.", 304, 404))
async def read_model_rows(
    request: Request,
    id: str,
    step: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Step to read. Default: the last one.")] = None,
    pass_: Annotated[int | None, Query(alias="pass", ge=0, le=2**31 - 1, description="Pass to read instead.")] = None,
    opened: Annotated[
        list[Annotated[str, Query(max_length=1000)]] | None,
        Query(
            alias="open",
            max_length=500,
            description="Path of a module to open: its submodules and parameters are read. Repeat it to open several modules. "
            "The outermost ones are always open, and an empty text opens no other. Default: all modules are open.",
        ),
    ] = None,
) -> Response:
    """Read the modules of a model in order, with the norms of their gradients, parameters and updates."""
    recorded = await service_of(request).find(id)
    return await answers.answer(request, recorded, read_models, recorded.recording, step, pass_, opened)


@router.get("/passes/{index}", **reference.returns(model.Pass, "The pass.", 304, 404))
async def read_pass(request: Request, id: str, index: Index) -> Response:
    """Read one pass. The numbers of a large graph are left out: read `nodes` and `edges`, or request `frames`."""
    recorded = await service_of(request).find(id)
    return await answers.answer(request, recorded, recorded.recording.pass_, index)


@router.get("/passes/{index}/nodes/{node}", **reference.returns(model.NodeDetail, "The node in the pass.", 304, 404))
async def read_node(request: Request, id: str, index: Index, node: str) -> Response:
    """Read everything about one node in one pass: value, gradients, saved tensors, and the gradients on its edges."""
    recorded = await service_of(request).find(id)
    return await answers.answer(request, recorded, lists.node, recorded.recording, index, node)


Theme = Annotated[str, Query(description="`light`, `dark`, `auto`, or `inline` (for a picture inside a page).")]
Direction = Annotated[str, Query(description="Position of the root: `TB` at the top, `BT` at the bottom, `LR` at the left.")]
Layout = Annotated[
    str,
    Query(
        description="`nodes` draws a card for each node, if the graph has at most 150. `groups` draws a map: `graph` with "
        "boxes side by side, `rows` with one in each row. `auto` chooses what is easiest to read. A layout that takes too "
        "long is replaced by rows. The attribute `data-layout` of a map says which was used."
    ),
]
Density = Annotated[
    str,
    Query(
        description="Size of the cards: `full`, or `compact`, low and wide with the numbers in one row. A map, a wide graph "
        "and a picture with `LR` always have full ones."
    ),
]
Selected = Annotated[str | None, Query(description="Id of a node to mark.")]


@router.get("/passes/{index}/graph.{form}", **reference.PICTURE)
async def draw_pass(
    request: Request,
    id: str,
    index: Index,
    form: str,
    theme: Theme = "light",
    direction: Direction = "TB",
    node: Selected = None,
    view: View = None,
    reveal: Reveal = None,
    layout: Layout = "auto",
    density: Density = "full",
) -> Response:
    """Draw a pass as `svg`, `png`, `pdf` or `dot`, or describe it as text (`txt`).

    A graph of more than 150 boxes is drawn as a map, and so is a smaller one that would be too wide or too high to be read.
    With `view`, `reveal`, or a `layout` of maps, every graph is drawn as a map.
    """
    return await _drawn(request, id, "pass", index, form, Look(theme, direction, node, view, reveal, layout, density))


@router.get("/graphs/{graph}/graph.{form}", **reference.PICTURE)
async def draw_graph(
    request: Request,
    id: str,
    graph: str,
    form: str,
    theme: Theme = "light",
    direction: Direction = "TB",
    node: Selected = None,
    view: View = None,
    reveal: Reveal = None,
    layout: Layout = "auto",
    density: Density = "full",
) -> Response:
    """Draw the structure of a graph, without numbers. Use it for a displayed tensor that no pass reached."""
    look = Look(theme, direction, node, view, reveal, layout, density)
    return await _drawn(request, id, "graph", index_of(graph, "g", "graph"), form, look)


async def _drawn(request: Request, id: str, what: str, index: int, form: str, look: Look) -> Response:
    service = service_of(request)
    media_type = next((media for name, media in MEDIA.items() if name == form), None)
    if media_type is None:
        raise NotFound(f"There is no picture format .{form[:20]}: use {', '.join(f'.{name}' for name in MEDIA)}.")
    recorded = await service.find(id)
    drawn = await draw(reader_of(request), recorded, what, index, form, look.checked())
    final = recorded.ended and drawn.final
    if final and what == "pass":
        final = not await service.read(recorded, lambda: recorded.recording.summarized)
    return responses.cacheable(request, drawn.body, media_type, final=final, renewed=recorded.renewed)


@router.get("/frames", **reference.returns_packed(pass_columns.Frames, pass_columns.PackedFrames))
async def read_frames(
    request: Request,
    id: str,
    graph: Annotated[str, Query(description="Id of the graph that the passes share.")] = "g0",
    start: Start = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
    fields: Annotated[
        str | None,
        Query(description=f"Names of fields, separated by commas. Available fields: {', '.join(pass_columns.FIELDS)}."),
    ] = None,
    column_start: Annotated[
        int, Query(ge=0, le=2**31 - 1, description="First column of each field: the index of a node, an output or an edge.")
    ] = 0,
    column_count: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Number of columns. Default: all.")] = None,
) -> Response:
    """Read numbers of many passes as columns. Choose a range of columns to follow a part of a large graph."""
    recorded = await service_of(request).find(id)
    span = pass_columns.Span(column_start, column_count)
    parts = (recorded.recording, index_of(graph, "g", "graph"), start, count, pass_columns.chosen(fields), span)
    return await _json_or_packed(request, recorded, pass_columns.frames, pass_columns.packed, *parts)


@router.get("/series", **reference.returns_packed(series.Series, series.PackedSeries))
async def read_series(
    request: Request,
    id: str,
    key: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(
            max_length=500,
            description="What to read: `loss`, `loss:NAME`, `iteration`, `lr` or `optimizer.OPTION`. For a parameter: `p0`, "
            f"`p0.grad`, `p0.state.exp_avg` ({', '.join(PARAMETER_TENSORS)}, state.NAME), followed by `.norm` or another of "
            f"{', '.join(STATISTICS)}, or by the index of an element such as `[3]`. `*` matches every parameter, name, "
            f"state or option. Repeat `key` to read more. Default: {', '.join(DEFAULT_KEYS)}.",
        ),
    ] = None,
    start: Start = 0,
    count: Annotated[int | None, Query(ge=1, description="Number of steps. Default: all steps.")] = None,
    points: Annotated[
        int | None,
        Query(
            ge=2,
            le=series.MOST_POINTS,
            description="Reduce each key to about this many steps, and keep the extremes. By default, the response has about "
            f"{series.DEFAULT_POINTS:,} steps, and at most {series.DEFAULT_CELLS:,} numbers. {series.MOST_POINTS} returns "
            "every step.",
        ),
    ] = None,
) -> Response:
    """Read numbers over the steps: losses, parameters, gradients, and the optimizer's state and options."""
    recorded = await service_of(request).find(id)
    parts = (recorded.recording, key or (), start, count, points)
    return await _json_or_packed(request, recorded, series.series, series.packed, *parts)


async def _json_or_packed(
    request: Request,
    recorded: RecordedRun,
    plain: Callable[P, Any],
    packed: Callable[P, Any],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Response:
    """Return the result of ``packed`` as msgpack if the caller accepts it, else the result of ``plain`` as JSON."""
    as_msgpack = MSGPACK in request.headers.get("accept", "")

    def encoded() -> bytes:
        if as_msgpack:
            return msgspec.msgpack.encode(packed(*args, **kwargs))
        return msgspec.json.encode(plain(*args, **kwargs))

    return await answers.encoded_answer(request, recorded, encoded, MSGPACK if as_msgpack else responses.JSON, vary="Accept")
