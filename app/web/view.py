"""Gather what a page shows of a run: a step at the playhead, its picture, the program line by line."""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup
from msgspec import Struct, structs

from .. import model
from ..drawing.numerals import brief, typeset, typeset_literals
from ..errors import DrawingError, NotFound
from ..recording import title
from ..runs.run import RecordedRun
from . import answers
from .api import index_of, links, why_no_picture
from .pictures import Look, draw
from .playhead import Playhead
from .service import Service

FEW: Final = 12
"""Nodes of a graph up to which a leaf is looked at first, as in the page's own ``first``."""
NONE: Final = "·"
FORMS: Final = ("svg", "png", "pdf", "dot", "txt")
log = logging.getLogger(__name__)


class ProgramLine(Struct, frozen=True):
    """A line of the program as a page without JavaScript shows it."""

    number: int
    text: str
    value: str | None
    """What the line's value was at the playhead; a middle dot where it had not run yet."""
    told: str | None
    """All of it, or what there is to say of it."""
    tone: str
    """Empty, ``before`` for a value of an earlier step, or ``off``."""
    phases: list[model.Phase]
    """The phases of the step that the line belongs to."""
    cell: int
    """The cell it stands in."""
    cell_ends: bool
    """Whether it is the last line of its cell: the cell's output belongs under it."""
    cell_over: bool
    """Whether its cell had run to its end at the playhead."""
    active: bool
    """Whether it belongs to the phase at the playhead."""
    error: model.ProgramError | None
    findings: list[model.Finding]


class Place(Struct, frozen=True):
    """The place in a run that an address names."""

    step: int | None = None
    node: str | None = None
    graph: str | None = None
    pass_: int | None = None
    theme: str | None = None
    direction: str = "TB"
    phase: model.Phase = "backward"


class View(Struct, frozen=True):
    """What a page shows of a run: the fields that :mod:`pages` tells templates of, and a few for the script."""

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
    """Where an error ended the program, if it is not here."""


async def view(service: Service, recorded: RecordedRun, place: Place, page: str, root: str) -> View:
    """Gather it. ``page`` is the page's own path. Raises :class:`NotFound` for a step, pass, graph or node of no run."""
    own = links(root, recorded.id)
    seen = await answers.read(service.archive, recorded, _seen, recorded, place, own)
    drawn: Markup | None = None
    why = None if seen.what else why_no_picture(recorded)
    if seen.what:
        try:
            look = Look("inline", place.direction, seen.node)
            drawn = Markup((await draw(service, recorded, *seen.what, "svg", look)).decode())
        except DrawingError as error:
            log.error("run %s could not be drawn: %s", recorded.id, error)
            why = str(error)
    playhead = Playhead(seen.run, seen.step if seen.run.steps else None, place.phase)
    return View(
        run=seen.run,
        lines=listing(playhead),
        step=seen.step,
        shown_pass=seen.shown_pass,
        graph=seen.graph,
        svg=drawn,
        no_graph=why,
        detail=seen.detail,
        node=seen.node,
        links=_links(seen, place, page, own),
        nodes=[
            (node.id, title(node), _address(page, place, step=_index(seen.step), node=node.id)) for node in _shown(seen.graph)
        ],
        graphs=[
            (line.graph, line.line, line.text, f"{own['self']}/graphs/{line.graph}/graph.svg")
            for line in seen.run.lines
            if line.graph is not None and line.file is None
        ],
        stopped=None if seen.run.error is None or playhead.at_end else _end(page, place, seen.run.steps - 1),
    )


class _Seen(Struct, frozen=True):
    """What was read of a recording; ``what`` is drawn of it."""

    run: model.Run
    step: model.Step | None
    shown_pass: model.Pass | None
    graph: model.Graph | None
    what: tuple[str, int] | None
    detail: model.NodeDetail | None
    node: str | None


def _seen(recorded: RecordedRun, place: Place, own: dict[str, str]) -> _Seen:
    recording = recorded.recording
    graphs, passes, steps = recorded.counts
    run = recorded.run(own)
    step: model.Step | None = None
    shown: model.Pass | None = None
    if place.graph is not None:
        at = index_of(place.graph, "g", "graph")
        graph = recording.graph(at)
        return _Seen(run, None, None, graph, ("graph", at), None, _there(graph, place.node))
    if place.step is not None or steps:
        step = recording.step(place.step or 0)
        own_passes = {each.index: each for each in step.passes}
        shown = own_passes.get(step.main) or next(iter(step.passes), None)
        if place.pass_ is not None:
            if place.pass_ not in own_passes:
                raise NotFound(
                    f"Step {step.index} has no pass {place.pass_}: its passes are {', '.join(map(str, own_passes))}."
                )
            shown = own_passes[place.pass_]
    elif passes:
        shown = recording.pass_(place.pass_ or 0)
    if shown is not None and shown.graph:
        graph = recording.graph(index_of(shown.graph, "g", "graph"))
        node = _there(graph, place.node)
        detail = recording.node(shown.index, node) if node is not None else None
        return _Seen(run, step, shown, graph, ("pass", shown.index), detail, node)
    if step is None and graphs:  # displayed tensors that nothing was called on
        graph = recording.graph(graphs - 1)
        return _Seen(run, None, None, graph, ("graph", graphs - 1), None, _there(graph, place.node))
    return _Seen(run, step, shown, None, None, None, None)


def _there(graph: model.Graph, node: str | None) -> str | None:
    """The node that an address names, else the leaf that a person looks for first, or the root of a graph of many nodes."""
    if node is None:
        leaf = next((each.id for each in graph.nodes if each.kind == "leaf"), None)
        return leaf if len(graph.nodes) <= FEW else next(iter(graph.roots), leaf)
    if all(each.id != node for each in graph.nodes):
        raise NotFound(f"Graph {graph.id} has no node {node[:40]!r}: its nodes are n0 to n{len(graph.nodes) - 1}.")
    return node


def listing(playhead: Playhead) -> list[ProgramLine]:
    """The program line by line, with what each line's value was at the playhead."""
    run, step = playhead.run, playhead.step
    last = {line.line: line for line in run.lines if line.file is None}
    over = playhead.over()
    cells = run.cells or [model.Cell(0, 1, 1 << 31, None)]
    lines: list[ProgramLine] = []
    at = 0
    for number, text in enumerate(run.program.rstrip("\n").split("\n"), 1):
        while at + 1 < len(cells) and number >= cells[at + 1].start_line:
            at += 1
        phases: list[model.Phase] = [
            phase for phase in model.PHASES if step is not None and number in step.lines.get(phase, ())
        ]
        value, told, tone = _shown_at(playhead, number, last.get(number))
        error = run.error if run.error is not None and run.error.file is None and run.error.line == number else None
        lines.append(
            ProgramLine(
                number=number,
                text=text,
                value=value,
                told=told,
                tone=tone,
                phases=phases,
                cell=at,
                cell_ends=number == cells[at].end_line,
                cell_over=not over or over[at],
                active=phases[:1] == [playhead.phase],
                error=error if playhead.at_end else None,
                findings=[finding for finding in run.findings if finding.file is None and finding.line == number],
            )
        )
    return lines


def _shown_at(playhead: Playhead, line: int, last: model.Line | None) -> tuple[str | None, str | None, str]:
    """The value of a line at the playhead, all there is to say of it, and its tone."""
    value, ran = playhead.value(line, last)
    if value is None:
        return None, None, ""
    if not ran:
        return NONE, "not run yet", "off"
    text = written(value.tensor, value.text)
    if isinstance(value, model.EarlierValue) and not playhead.stays(line, value, last):
        return text, f"of step {value.step}: {value.text}", "before"
    return text, value.text, ""


def written(tensor: model.TensorSummary | None, otherwise: str = "") -> str:
    """A tensor as pictures write it, in at most 40 characters; else a plain value's text."""
    return typeset_literals(otherwise) if tensor is None else typeset(brief(tensor, 40))


def _links(seen: _Seen, place: Place, page: str, own: dict[str, str]) -> dict[str, str]:
    found = {
        "self": _address(page, place, step=_index(seen.step), node=place.node),
        "json": own["self"],
        "events": own["events"],
    }
    if seen.step is not None:
        at, last = seen.step.index, seen.run.steps - 1
        found["step_json"] = f"{own['steps']}/{at}"
        for name, step, there in (
            ("previous", at - 1, at > 0),
            ("next", at + 1, at < last),
            ("first", 0, at > 0),
            ("last", last, at < last),
        ):
            if there:
                found[name] = _address(page, place, step=step, node=place.node)
    if seen.what is not None:
        what, index = seen.what
        base = f"{own['self']}/{'passes' if what == 'pass' else 'graphs/g'}{'/' if what == 'pass' else ''}{index}"
        options: dict[str, Any] = {"theme": place.theme} if place.theme else {}
        if place.direction != "TB":
            options["direction"] = place.direction
        query = f"?{urlencode(options)}" if options else ""
        found |= {form: f"{base}/graph.{form}{query}" for form in FORMS}
    return found


def _address(page: str, place: Place, *, step: int | None, node: str | None) -> str:
    asked: dict[str, Any] = {"step": step or None, "node": node, "graph": place.graph, "theme": place.theme}
    if place.direction != "TB":
        asked["direction"] = place.direction
    if place.phase != "backward":
        asked["phase"] = place.phase
    told = {name: value for name, value in asked.items() if value is not None}
    return f"{page}?{urlencode(told)}" if told else page


def _end(page: str, place: Place, step: int) -> str:
    """Where the recording ends."""
    return _address(page, structs.replace(place, phase="update", graph=None, pass_=None), step=step, node=None)


def _index(step: model.Step | None) -> int | None:
    return None if step is None else step.index


def _shown(graph: model.Graph | None) -> list[model.Node]:
    return [] if graph is None else graph.nodes
