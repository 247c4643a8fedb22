"""Serve the playground, the findings and the reference, and define what the template of a run receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from msgspec import structs
from starlette.responses import Response

from ... import model
from ...drawing.style import legend
from ...errors import NotFound
from ...examples import Example
from ...explain.registry import GROUPS
from ...runs.run import RecordedRun
from ...runs.titles import tab_title, title_of
from ..api.problems import INTERNAL, INVALID_QUERY, METHOD_NOT_ALLOWED, PROBLEM_KINDS, ProblemKind
from ..links import API, preview_links, run_page, with_query
from ..service import reader_of, root_of, service_of
from .playground import RunView, Selection, view_run
from .templates import page, script_json, theme_of

EMPTY: Final[dict[str, Any]] = {
    "run": None, "lines": [], "step": None, "shown_pass": None, "graph": None, "svg": None, "no_graph": None,
    "detail": None, "node": None, "links": {}, "nodes": [], "graphs": [], "stopped": None, "unlisted": 0, "phase": "backward",
    "choices": [], "found": ("", ""),
}  # fmt: skip
"""Context of the playground if nothing is recorded."""

AGAIN_SECONDS: Final = 4
"""Seconds after which the error page of a busy server loads itself again."""

router = APIRouter(include_in_schema=False)


def selection_of(
    request: Request,
    step: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    node: str | None = None,
    graph: str | None = None,
    pass_: Annotated[int | None, Query(alias="pass", ge=0, le=2**31 - 1)] = None,
    direction: str = "TB",
    phase: str | None = None,
    present: str | None = None,
) -> Selection:
    """Return the selection in the query parameters of a page. An unknown direction or phase is ignored.

    While a run is presented, its cards are compact, because their text is large.
    """
    chosen_direction = direction if direction in ("TB", "BT", "LR") else "TB"
    chosen_phase = next((each for each in model.PHASES if each == phase), None)
    density = "compact" if present == "1" else "full"
    return Selection(step, node, graph, pass_, theme_of(request), chosen_direction, chosen_phase, density)


Selected = Annotated[Selection, Depends(selection_of)]


@router.get("/")
async def home(
    request: Request, selection: Selected, slug: Annotated[str | None, Query(alias="example", max_length=100)] = None
) -> Response:
    """Show the playground with the recording of the example that the address names, by default of the first example."""
    service = service_of(request)
    example = service.first_example
    if slug is None:  # the first visit begins with the gradient, not with the finding of the example
        selection = structs.replace(selection, step=selection.step or 0)
    else:
        found = next((each for each in service.examples if each.slug == slug), None)
        if found is None:
            raise NotFound('There is no example of this name. The page "Examples" lists all of them.')
        example = found
    recorded = await service.example_runs.find(example)
    recording = service.example_runs.id_of(example)
    return await _playground(request, recorded, example.program, selection, is_home=True, example=slug, recording=recording)


@router.get("/r/{id}")
async def saved(request: Request, id: str, selection: Selected) -> Response:
    """Show a saved run in the playground."""
    recorded = await service_of(request).find(id)
    return await _playground(request, recorded, recorded.new.program.text, selection, is_home=False)


@router.get("/findings")
async def findings(request: Request) -> Response:
    """Show the documentation of every finding."""
    return page(request, "findings", groups=GROUPS)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Show the reference of the API."""
    kinds = sorted({*PROBLEM_KINDS.values(), METHOD_NOT_ALLOWED, INVALID_QUERY, INTERNAL}, key=_by_status)
    entries = [(kind.anchor, kind.status, kind.title, kind.sentence) for kind in kinds]
    return page(request, "docs", openapi=f"{root_of(request)}/openapi.json", problems=entries)


def _by_status(kind: ProblemKind) -> tuple[int, str]:
    return kind.status, kind.anchor


async def failure(request: Request, kind: ProblemKind, detail: str) -> Response:
    """Return the page that describes an error."""
    return failure_page(request, "error", kind, detail)


def failure_page(request: Request, name: str, kind: ProblemKind, detail: str) -> Response:
    """Render the template of a page that describes an error. If the server is busy, the page loads itself again."""
    again = AGAIN_SECONDS if kind.status == 503 else None
    return page(request, name, kind.status, status=kind.status, title=kind.title, detail=detail, again=again)


async def _playground(
    request: Request,
    recorded: RecordedRun | None,
    program: str,
    selection: Selection,
    *,
    is_home: bool,
    example: str | None = None,
    recording: str | None = None,
) -> Response:
    service, root = service_of(request), root_of(request)
    context = EMPTY
    if recorded is not None:
        path = with_query(f"{root}/", {"example": example}) if is_home else run_page(root, recorded.id)
        view = await view_run(reader_of(request), recorded, selection, path, root)
        context = context_of(view)
    state = page_state(request, context, program, is_home=is_home, example=example, recording=recording)
    origin = origin_of(request)
    title = title_of(program) if recorded is None else recorded.title

    def render() -> Response:
        return page(
            request,
            "playground",
            home=is_home,
            chosen_example=example,
            title=title,
            tab=_tab(service.examples, example) or tab_title(title),
            origin=origin,
            preview=None if recorded is None else preview_links(origin, root, recorded.id),
            program=program,
            recording=recording,
            legend=legend(),
            examples=service.examples,
            state=script_json(state),
            **context,
        )

    return render() if recorded is None else await service.read(recorded, render)


def _tab(examples: Sequence[Example], slug: str | None) -> str | None:
    """Return the code of the finding that an example is for, if its title is a sentence about the finding; else ``None``."""
    return next((each.finding for each in examples if each.slug == slug == f"pitfall-{each.finding}"), None)


def context_of(view: RunView) -> dict[str, Any]:
    """Return the context of a template that shows a run: the fields of its view by name."""
    return {name: getattr(view, name) for name in view.__struct_fields__}


def page_state(
    request: Request,
    context: Mapping[str, Any],
    program: str,
    *,
    is_home: bool = False,
    example: str | None = None,
    recording: str | None = None,
) -> dict[str, Any]:
    """Return the data that a page with a recording contains for its script."""
    service, root = service_of(request), root_of(request)
    return shown_state(context, program) | {
        "root": root,
        "api": f"{root}{API}",
        "home": is_home,
        "example": example,
        "recording": recording,
        "limits": service.limits,
        "keep_days": service.settings.keep_days,
        "mode": service.mode,
        "framed": service.settings.embed_in.strip(" ,") != "",
    }


def shown_state(context: Mapping[str, Any], program: str) -> dict[str, Any]:
    """Return the part of :func:`page_state` that is about the recording."""
    return {
        "run": context["run"],
        "step": context["step"],
        "phase": context["phase"],
        "graph": context["graph"],
        "svg_inline": context["svg"] is not None,
        "node": context["node"],
        "program": program,
        "legend": legend(),
    }


def origin_of(request: Request) -> str:
    """Return the scheme and the host that a request names, for absolute URLs."""
    return str(request.base_url).rstrip("/").removesuffix(root_of(request))
