"""Define the routes that read the long lists of a run in pages: lines, parameters, graphs, nodes and edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from msgspec import Raw, Struct
from starlette.responses import Response

from ... import model
from ...recording import Recording, lists
from ..links import API, with_query
from ..request_parts import index_of
from ..service import root_of, service_of
from . import answers, reference

PAGE_BYTES: Final = 1024 * 1024
"""Size in bytes at which a page ends. The remaining items are left for the next page."""

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["lists"])
Index = Annotated[int, Path(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="Index of the first item.")]
Limit = Annotated[int, Query(ge=1, le=2_000, description="Largest number of items. A page of large items has fewer.")]


class LinePage(Struct, frozen=True):
    """Last values of lines, sorted by line. ``total`` is the number of all lines, ``next`` the address of the next page."""

    lines: list[model.Line]
    total: int
    next: str | None


class ParameterPage(Struct, frozen=True):
    """Parameters of a run. ``total`` is the number of all parameters, ``next`` the address of the next page."""

    parameters: list[model.Parameter]
    total: int
    next: str | None


class GraphPage(Struct, frozen=True):
    """Sizes of graphs. ``total`` is the number of all graphs, ``next`` the address of the next page."""

    graphs: list[model.GraphSize]
    total: int
    next: str | None


class NodePage(Struct, frozen=True):
    """Nodes of a graph. ``total`` is the number of all nodes, ``next`` the address of the next page."""

    nodes: list[model.Node]
    total: int
    next: str | None


class EdgePage(Struct, frozen=True):
    """Edges of a graph. ``total`` is the number of all edges, ``next`` the address of the next page."""

    edges: list[model.Edge]
    total: int
    next: str | None


class NodeNumbersPage(Struct, frozen=True):
    """Numbers of nodes in a pass, by id. ``total`` is the number of all nodes, ``next`` the address of the next page."""

    nodes: dict[str, model.NodeNumbers]
    total: int
    next: str | None


class EdgeNumbersPage(Struct, frozen=True):
    """Gradients on edges in a pass, by id. ``total`` is the number of all edges, ``next`` the address of the next page."""

    edges: dict[str, model.TensorSummary | None]
    total: int
    next: str | None


class ParameterStepPage(Struct, frozen=True):
    """Parameters in a step. ``total`` is the number of all its parameters, ``next`` the address of the next page."""

    parameters: list[model.ParameterStep]
    total: int
    next: str | None


class Items(Struct, frozen=True):
    """The requested items of a list, and the number of all items. If ``keyed``, each item is a pair of a key and a value."""

    items: Iterable[Any]
    total: int
    keyed: bool = False


@router.get("/lines", **reference.returns(LinePage, "Lines with their last values.", 304, 404))
async def read_lines(request: Request, id: str, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read the last values of lines."""

    def read(recording: Recording) -> Items:
        return Items(recording.some_lines(offset, offset + limit), lists.line_count(recording))

    return await _page(request, id, "lines", read, offset, limit)


@router.get("/parameters", **reference.returns(ParameterPage, "Parameters.", 304, 404))
async def read_parameters(request: Request, id: str, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read the parameters of a run."""

    def read(recording: Recording) -> Items:
        parameters = recording.parameters()
        return Items(parameters[offset : offset + limit], len(parameters))

    return await _page(request, id, "parameters", read, offset, limit)


@router.get("/graphs", **reference.returns(GraphPage, "Sizes of graphs.", 304, 404))
async def read_graphs(request: Request, id: str, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read the sizes of the graphs of a run."""

    def read(recording: Recording) -> Items:
        return Items(lists.graph_sizes(recording, offset, offset + limit), recording.log.counts()[0])

    return await _page(request, id, "graphs", read, offset, limit)


@router.get("/graphs/{graph}/nodes", **reference.returns(NodePage, "Nodes of the graph.", 304, 404))
async def read_nodes(request: Request, id: str, graph: str, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read nodes of a graph, without numbers."""
    index = index_of(graph, "g", "graph")

    def read(recording: Recording) -> Items:
        return Items(lists.nodes(recording, index, offset, offset + limit), recording.log.graph_sizes()[index][0])

    return await _page(request, id, "nodes", read, offset, limit)


@router.get("/graphs/{graph}/edges", **reference.returns(EdgePage, "Edges of the graph.", 304, 404))
async def read_edges(request: Request, id: str, graph: str, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read edges of a graph, without numbers."""
    index = index_of(graph, "g", "graph")

    def read(recording: Recording) -> Items:
        return Items(lists.edges(recording, index, offset, offset + limit), recording.log.graph_sizes()[index][1])

    return await _page(request, id, "edges", read, offset, limit)


@router.get("/passes/{index}/nodes", **reference.returns(NodeNumbersPage, "Numbers of nodes.", 304, 404))
async def read_node_numbers(request: Request, id: str, index: Index, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read the numbers of nodes in a pass."""

    def read(recording: Recording) -> Items:
        total = lists.pass_counts(recording, index)[0]
        return Items(lists.node_numbers(recording, index, offset, offset + limit), total, keyed=True)

    return await _page(request, id, "nodes", read, offset, limit)


@router.get("/passes/{index}/edges", **reference.returns(EdgeNumbersPage, "Gradients on edges.", 304, 404))
async def read_edge_numbers(request: Request, id: str, index: Index, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read the gradients on edges in a pass."""

    def read(recording: Recording) -> Items:
        total = lists.pass_counts(recording, index)[1]
        return Items(lists.edge_numbers(recording, index, offset, offset + limit), total, keyed=True)

    return await _page(request, id, "edges", read, offset, limit)


@router.get("/steps/{index}/parameters", **reference.returns(ParameterStepPage, "Parameters in the step.", 304, 404))
async def read_step_parameters(request: Request, id: str, index: Index, offset: Offset = 0, limit: Limit = 1000) -> Response:
    """Read the parameters in a step."""

    def read(recording: Recording) -> Items:
        total = len(recording.log.step(index).parameters)
        return Items(recording.step_parameters(index, offset, offset + limit), total)

    return await _page(request, id, "parameters", read, offset, limit)


async def _page(request: Request, id: str, name: str, read: Callable[[Recording], Items], offset: int, limit: int) -> Response:
    recorded = await service_of(request).find(id)
    address = f"{root_of(request)}{request.url.path.removeprefix(root_of(request))}"

    def make() -> dict[str, Any]:
        found = read(recorded.recording)
        page = _encoded(found)
        end = offset + len(page)
        following = with_query(address, {"offset": end, "limit": limit}) if page and end < found.total else None
        return {name: dict(page) if found.keyed else [item for _, item in page], "total": found.total, "next": following}

    return await answers.answer(request, recorded, make)


def _encoded(found: Items) -> Sequence[tuple[str, Raw]]:
    """Return the first items that fit into a page, but at least one, with their keys. Items of a list have empty keys."""
    page: list[tuple[str, Raw]] = []
    size = 0
    for each in found.items:
        key, item = each if found.keyed else ("", each)
        encoded = msgspec.json.encode(item)
        size += len(encoded)
        if page and size > PAGE_BYTES:
            break
        page.append((key, Raw(encoded)))
    return page
