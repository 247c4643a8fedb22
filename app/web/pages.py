"""Serve the pages: gather what a template shows, so that every page is whole without JavaScript.

What templates are given
------------------------
Every template:

- ``url("/examples")``: a path under the proxy's path; ``asset("playground.js")``: the URL of a bundled file (raises for
  an unknown one). The whole bundle is under ``url("/static/…")``.
- ``|tensor``: a filter that writes a :class:`~tapedeck.model.TensorSummary` as the pictures do.
- ``csp_nonce``: of this response: ``<style nonce>``, and a ``<meta name="csp-nonce" content>`` for CodeMirror. Scripts
  are files of ours: none inline. An inline SVG has presentation attributes only.
- ``page``: ``"playground"``, ``"examples"``, ``"docs"`` or ``"error"``; ``version``: ours.
- ``theme``: ``"light"`` or ``"dark"`` when the address says ``?theme=``, else ``None``: for ``data-theme`` on ``<html>``.
- ``mode``: of the sandbox, ``"full"``, ``"nofiles"``, ``"unconfined"`` (then every page has a banner), ``"refused"``
  (no programs are run here) or ``"starting"``.
- ``limits`` (:class:`~tapedeck.model.Limits`), ``keep_days`` (float, 0 for ever): for the sentence beside Run.

``playground.html``, for ``/`` and ``/r/{id}`` (one page: ``home`` tells the first visit from a saved run):

- ``home``: bool. ``run``: :class:`~tapedeck.model.Run`, or ``None`` (nothing recorded yet: an empty editor; ``program``
  is then what to show in it).
- ``program``: str. ``lines``: list of :class:`ProgramLine`, the program line by line with its values.
- ``step``: :class:`~tapedeck.model.Step` at the playhead or ``None``; ``shown_pass``: :class:`~tapedeck.model.Pass`, the
  step's main pass (without a step: the run's first pass) or ``None``; ``graph``: :class:`~tapedeck.model.Graph` or ``None``.
- ``svg``: Markup of the picture for inline use, or ``None``; ``no_graph``: then the sentence that says why, else ``None``.
- ``detail``: :class:`~tapedeck.model.NodeDetail` of the selected node, or ``None``; ``node``: its id or ``None``.
- ``links``: dict of URLs, each present only where it makes sense: ``self``, ``previous``, ``next``, ``first``, ``last``
  (other steps of this page), ``svg``, ``png``, ``pdf``, ``dot``, ``txt`` (the picture shown), ``json`` (the run),
  ``step_json``, ``events``.
- ``nodes``: list of (node id, title, URL of this page with that node selected), for a list without JavaScript.
- ``graphs``: list of (graph id, line number, text of the value, URL of its SVG) of displayed tensors that have a graph.
- ``stopped``: URL of this page where an error ended the program, or ``None`` where it is told here.
- ``legend``: what :func:`drawing.style.legend` gives.
- ``examples``: list of :class:`~tapedeck.examples.Example`.
- ``state``: Markup, JSON safe inside ``<script type="application/json" id="state">``; keys::

      {"root": "", "api": "/api/v1", "home": true, "run": Run | null, "step": Step | null, "graph": Graph | null,
       "svg_inline": true,            // the SVG is already in the page
       "node": "n3" | null, "program": "…", "limits": Limits, "keep_days": 30.0, "legend": {…}, "mode": "full",
       "examples": [{"slug": "…", "title": "…", "summary": "…", "program": "…"}]}

``examples.html``: ``examples`` as above. ``docs.html``: ``openapi`` (URL of ``openapi.json``), ``problems`` (list of
(anchor, status, title, sentence): the types of problem+json answers, ``/docs#anchor``).
``error.html``: ``status`` (int), ``title``, ``detail`` (a sentence).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import jinja2
import msgspec
from fastapi import APIRouter, Query, Request
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from .. import __version__, assets, model
from ..drawing.style import legend
from ..examples import FIRST_VISIT
from ..runs.run import RecordedRun
from .problems import INTERNAL, METHOD, QUESTION, SORTS, Sort
from .security import NONCE
from .service import root_of, service_of
from .view import Place, view, written

EMPTY: Final[dict[str, Any]] = {
    "run": None, "lines": [], "step": None, "shown_pass": None, "graph": None, "svg": None, "no_graph": None,
    "detail": None, "node": None, "links": {}, "nodes": [], "graphs": [], "stopped": None,
}  # fmt: skip
"""What a playground shows with nothing recorded."""

router = APIRouter(include_in_schema=False)
Step = Annotated[int | None, Query(ge=0, le=2**31 - 1)]
PassIndex = Annotated[int | None, Query(alias="pass", ge=0, le=2**31 - 1)]


@router.get("/")
async def home(
    request: Request,
    step: Step = None,
    node: str | None = None,
    graph: str | None = None,
    pass_: PassIndex = None,
    direction: str = "TB",
    phase: str = "backward",
) -> Response:
    """The playground; a first visit finds a recording in it."""
    service = service_of(request)
    example = next(each for each in service.examples if each.slug == FIRST_VISIT)
    place = Place(step, node, graph, pass_, theme_of(request), _direction(direction), _phase(phase))
    return await _playground(request, await service.recorded(example), example.program, place, is_home=True)


@router.get("/r/{id}")
async def saved(
    request: Request,
    id: str,
    step: Step = None,
    node: str | None = None,
    graph: str | None = None,
    pass_: PassIndex = None,
    direction: str = "TB",
    phase: str = "backward",
) -> Response:
    """A saved run in the same page."""
    recorded = await service_of(request).runs.find(id)
    place = Place(step, node, graph, pass_, theme_of(request), _direction(direction), _phase(phase))
    return await _playground(request, recorded, recorded.new.program.text, place, is_home=False)


@router.get("/examples")
async def examples(request: Request) -> Response:
    """The gallery."""
    return page(request, "examples", examples=service_of(request).examples)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The reference of the API."""
    sorts = sorted({*SORTS.values(), METHOD, QUESTION, INTERNAL}, key=lambda sort: (sort.status, sort.anchor))
    told = [(sort.anchor, sort.status, sort.title, sort.sentence) for sort in sorts]
    return page(request, "docs", openapi=f"{root_of(request)}/openapi.json", problems=told)


async def failure(request: Request, sort: Sort, detail: str) -> Response:
    """The page that tells what went wrong."""
    return page(request, "error", sort.status, status=sort.status, title=sort.title, detail=detail)


async def _playground(request: Request, recorded: RecordedRun | None, program: str, place: Place, *, is_home: bool) -> Response:
    service, root = service_of(request), root_of(request)
    shown = EMPTY
    if recorded is not None:
        path = f"{root}/" if is_home else f"{root}/r/{recorded.id}"
        gathered = await view(service, recorded, place, path, root)
        shown = {name: getattr(gathered, name) for name in gathered.__struct_fields__}
    state = {
        "root": root,
        "api": f"{root}/api/v1",
        "home": is_home,
        "run": shown["run"],
        "step": shown["step"],
        "graph": shown["graph"],
        "svg_inline": shown["svg"] is not None,
        "node": shown["node"],
        "program": program,
        "limits": service.limits,
        "keep_days": service.settings.keep_days,
        "legend": legend(),
        "mode": service.mode,
        "examples": service.examples,
    }
    return page(
        request,
        "playground",
        home=is_home,
        program=program,
        legend=legend(),
        examples=service.examples,
        state=script_json(state),
        **shown,
    )


def page(request: Request, name: str, status_code: int = 200, **context: Any) -> Response:
    """Render a template for a request."""
    service, root = service_of(request), root_of(request)
    text = (
        _environment()
        .get_template(f"{name}.html")
        .render(
            url=lambda path: f"{root}{path}",
            asset=_asset(root),
            csp_nonce=request.scope[NONCE],
            page=name,
            version=__version__,
            theme=theme_of(request),
            mode=service.mode,
            limits=service.limits,
            keep_days=service.settings.keep_days,
            **context,
        )
    )
    return HTMLResponse(text, status_code)


def theme_of(request: Request) -> str | None:
    """The theme that the address names, if it is one."""
    theme = request.query_params.get("theme")
    return theme if theme in ("light", "dark") else None


def script_json(value: Any) -> Markup:
    r"""JSON that can stand in a ``<script>``: nothing in it ends the element or opens a comment.

    >>> print(script_json({"a": "</script><!--"}))
    {"a":"\u003c/script>\u003c!--"}
    """
    return Markup(msgspec.json.encode(value).decode().replace("<", "\\u003c"))


def _direction(text: str) -> str:
    return text if text in ("TB", "BT", "LR") else "TB"


def _phase(text: str) -> model.Phase:
    return next((phase for phase in model.PHASES if phase == text), "backward")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.templates_path()), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["tensor"] = written
    environment.filters["coded"] = coded
    return environment


def coded(text: str) -> Markup:
    """A sentence with what stands in backticks as code.

    >>> coded("`a < b` is it, a lone ` is not")
    Markup('<code>a &lt; b</code> is it, a lone ` is not')
    """
    told = re.split(r"`([^`\n]+)`", text)
    parts = (Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(told))
    return Markup("").join(parts)


def _asset(root: str) -> Callable[[str], str]:
    folder = assets.static_path()
    manifest = _manifest(folder, (folder / "manifest.json").stat().st_mtime_ns)
    return lambda name: f"{root}/static/{manifest[name]}"


@cache
def _manifest(folder: Path, _changed: int) -> dict[str, str]:
    manifest: dict[str, str] = json.loads((folder / "manifest.json").read_text())
    return manifest
