"""Gather the parts of a run that the playground shows: a step, its picture, and the program line by line."""

from __future__ import annotations

import logging
from typing import Any, Final

from markupsafe import Markup
from msgspec import Struct, structs

from ... import model
from ...drawing.plan import BOXES
from ...errors import DrawingError, NotFound
from ...recording import Recording, lists, title
from ...runs.run import RecordedRun
from ..links import picture_url, run_links, step_url, with_query
from ..pictures import Look, RunReader, draw, why_no_picture
from ..request_parts import index_of
from ..responses import run_of
from .heads import OfferedGraph, choices, summary
from .listing import LISTED_LINES, ProgramLine, listing
from .playhead import Playhead, last_index

LINKED_NODES: Final = 40
"""Largest number of nodes in the list of a page without JavaScript."""
FEW: Final = 12
"""Largest number of nodes in a graph whose first leaf is selected by default, as in ``first`` of ``core/session.js``."""
SOME: Final = 40
"""The same for a graph with one leaf only."""
FORMS: Final = ("svg", "png", "pdf", "dot", "txt")
log = logging.getLogger(__name__)


class Selection(Struct, frozen=True):
    """The step, phase, node, graph and pass that an address selects, and how to show them.

    If none of ``step``, ``phase``, ``graph`` and ``pass_`` is set, the run is shown at its ``opens_at``.
    """

    step: int | None = None
    node: str | None = None
    graph: str | None = None
    pass_: int | None = None
    theme: str | None = None
    direction: str = "TB"
    phase: model.Phase | None = None
    density: str = "full"


class RunView(Struct, frozen=True):
    """The view of a run in the playground. :mod:`.templates` documents the fields."""

    run: model.Run
    lines: list[ProgramLine]
    step: model.Step | None
    shown_pass: model.Pass | None
    graph: model.Graph | None
    svg: Markup | None
    no_graph: str | None
    detail: model.NodeDetail | None
    node: str | None
    links: dict[str, str]
    nodes: list[tuple[str, str, str]]
    graphs: list[tuple[str, int, str, str]]
    stopped: str | None
    """URL of the playhead position at which an error ended the program, if it is not the selected one."""
    unlisted: int = 0
    """Number of lines of the program after the listed ones."""
    phase: model.Phase = "backward"
    """The phase at the playhead."""
    choices: list[OfferedGraph] = []
    """The graphs to choose from."""
    found: tuple[str, str] = ("", "")
    """The counts of the findings: of the pitfalls, and of the others."""


async def view_run(reader: RunReader, recorded: RecordedRun, selection: Selection, page: str, root: str) -> RunView:
    """Gather the view of a run. ``page`` is the page's own path.

    Raises :class:`NotFound` for a step, pass, graph or node that the run does not have.
    """
    shown = await reader.read(recorded, _select, recorded, selection, root)
    svg: Markup | None = None
    no_graph = None if shown.picture else why_no_picture(recorded)
    if shown.picture:
        try:
            look = Look("inline", selection.direction, shown.node, density=selection.density)
            svg = Markup((await draw(reader, recorded, *shown.picture, "svg", look)).body.decode())
        except DrawingError as error:
            log.error("run %s could not be drawn: %s", recorded.id, error)
            no_graph = str(error)
    return await reader.read(recorded, _view, shown, selection, svg, no_graph, page, root)


def _view(shown: _Selected, selection: Selection, svg: Markup | None, no_graph: str | None, page: str, root: str) -> RunView:
    selection = structs.replace(selection, phase=shown.phase)
    playhead = Playhead(shown.run, shown.step, shown.phase)
    step = None if shown.step is None else shown.step.index
    return RunView(
        run=shown.run,
        lines=listing(playhead, shown.shown_pass),
        unlisted=max(0, shown.run.program.rstrip("\n").count("\n") + 1 - LISTED_LINES),
        step=shown.step,
        shown_pass=shown.shown_pass,
        graph=shown.graph,
        svg=svg,
        no_graph=no_graph,
        detail=shown.detail,
        node=shown.node,
        links=_links(shown, selection, page, root),
        nodes=[
            (node.id, title(node), _page_url(page, shown.run, selection, step=step, node=node.id))
            for node in (shown.graph.nodes[:LINKED_NODES] if shown.graph is not None else [])
        ],
        graphs=[
            (line.graph, line.line, line.text, picture_url(root, shown.run.id, "graph", _graph_index(line.graph), "svg"))
            for line in shown.run.lines
            if line.graph is not None and line.file is None
        ],
        stopped=None if shown.run.error is None or playhead.at_end else _end_url(page, shown.run, selection),
        phase=shown.phase,
        choices=choices(shown.run, step=shown.step),
        found=summary(shown.run.findings),
    )


class _Selected(Struct, frozen=True):
    """The parts of a recording that are selected. ``picture`` is ``pass`` or ``graph``, and the index of what to draw."""

    run: model.Run
    step: model.Step | None
    shown_pass: model.Pass | None
    graph: model.Graph | None
    picture: tuple[str, int] | None
    detail: model.NodeDetail | None
    node: str | None
    phase: model.Phase


def _select(recorded: RecordedRun, selection: Selection, root: str) -> _Selected:
    recording = recorded.recording
    graphs, passes, steps = recorded.counts
    run = run_of(recorded, root, run_links(root, recorded.id))
    opens = _opens(run, selection)
    if opens is not None:
        selection = structs.replace(selection, node=selection.node or opens.node)
    at, phase = (opens.step, opens.phase) if opens else (selection.step or 0, selection.phase or "backward")
    step: model.Step | None = None
    shown: model.Pass | None = None
    if selection.graph is not None:
        index = _graph_index(selection.graph)
        graph, node = _graph_and_node(recording, index, selection.node)
        return _Selected(run, None, None, graph, ("graph", index), None, node, phase)
    if selection.step is not None or steps or run.unfinished:
        step = recorded.step(at)
        own_passes = {each.index: each for each in step.passes}
        shown = own_passes.get(step.main) or next(iter(step.passes), None)
        if selection.pass_ is not None:
            if selection.pass_ not in own_passes:
                raise NotFound(
                    f"Step {step.index} has no pass {selection.pass_}: its passes are {', '.join(map(str, own_passes))}."
                )
            shown = own_passes[selection.pass_]
    elif passes:
        shown = recording.pass_(selection.pass_ or 0)
    if shown is not None and shown.graph:
        graph, node = _graph_and_node(recording, _graph_index(shown.graph), selection.node)
        detail = lists.node(recording, shown.index, node) if node is not None else None
        return _Selected(run, step, shown, graph, ("pass", shown.index), detail, node, phase)
    if step is None and graphs:  # graphs of displayed tensors on which backward() was not called
        graph, node = _graph_and_node(recording, graphs - 1, selection.node)
        return _Selected(run, None, None, graph, ("graph", graphs - 1), None, node, phase)
    return _Selected(run, step, shown, None, None, None, None, phase)


def _opens(run: model.Run, selection: Selection) -> model.Instant | None:
    """Return the instant at which the run opens, or ``None`` if the selection names another one."""
    named = (selection.step, selection.phase, selection.graph, selection.pass_)
    return run.opens_at if named == (None, None, None, None) else None


def _graph_index(id: str) -> int:
    return index_of(id, "g", "graph")


def _graph_and_node(recording: Recording, index: int, node: str | None) -> tuple[model.Graph, str | None]:
    """Return a graph and its selected node. For a graph whose nodes are not drawn, return only what the inspector shows."""
    sizes = recording.log.graph_sizes()
    if index < len(sizes) and sizes[index][0] > BOXES:
        graph = lists.excerpt(recording, index, node)
        return graph, node or next(iter(graph.roots), None)
    graph = recording.graph(index)
    return graph, _selected_node(graph, node)


def _selected_node(graph: model.Graph, node: str | None) -> str | None:
    """Return the node that an address names, or the default: the first leaf of a small graph, the root of a large one.

    A graph with a single leaf is small up to :data:`SOME` nodes, others up to :data:`FEW`.
    """
    if node is None:
        leaves = [each.id for each in graph.nodes if each.kind == "leaf"]
        small = len(graph.nodes) <= (SOME if len(leaves) == 1 else FEW)
        return leaves[0] if leaves and small else next(iter(graph.roots), None)
    if all(each.id != node for each in graph.nodes):
        raise NotFound(f"Graph {graph.id} has no node {node[:40]!r}: its nodes are n0 to n{len(graph.nodes) - 1}.")
    return node


def _links(shown: _Selected, selection: Selection, page: str, root: str) -> dict[str, str]:
    run, step = run_links(root, shown.run.id), shown.step
    links = {
        "self": _page_url(page, shown.run, selection, step=None if step is None else step.index, node=selection.node),
        "json": run["self"],
        "program": run["program"],
        "notebook": run["notebook"],
        "events": run["events"],
    }
    if step is not None:
        index, last = step.index, last_index(shown.run)
        links["step_json"] = step_url(root, shown.run.id, index)
        for name, target, exists in (
            ("previous", index - 1, index > 0),
            ("next", index + 1, index < last),
            ("first", 0, index > 0),
            ("last", last, index < last),
        ):
            if exists:
                links[name] = _page_url(page, shown.run, selection, step=target, node=selection.node)
    if shown.picture is not None:
        options = {"theme": selection.theme or None, "direction": selection.direction if selection.direction != "TB" else None}
        links |= {form: picture_url(root, shown.run.id, *shown.picture, form, options) for form in FORMS}
    return links


def _page_url(page: str, run: model.Run, selection: Selection, *, step: int | None, node: str | None) -> str:
    opens = run.opens_at
    first = opens is None or (opens.step, opens.phase) == (0, "backward")  # then an address without a step means the first one
    parameters: dict[str, Any] = {
        "step": step or (None if first else step),
        "node": node,
        "graph": selection.graph,
        "theme": selection.theme,
        "direction": selection.direction if selection.direction != "TB" else None,
        "phase": selection.phase if selection.phase != "backward" else None,
    }
    return with_query(page, parameters)


def _end_url(page: str, run: model.Run, selection: Selection) -> str:
    """Return the URL of the last phase of the last step, at which the recording ends."""
    end = structs.replace(selection, phase="update", graph=None, pass_=None)
    return _page_url(page, run, end, step=last_index(run), node=None)
