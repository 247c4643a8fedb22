"""Serve the pages. Templates receive all their data, so that every page is complete without JavaScript.

Template context
----------------
Every template:

- ``url("/examples")``: a path below ``root``; ``asset("playground.js")``: the URL of a bundled file (raises for an
  unknown name). The whole bundle is served below ``url("/static/…")``. ``imports("playground.js")``: the URLs of the files
  that a script imports from the start, for ``modulepreload``.
- ``|tensor``: a filter that writes a :class:`~tapedeck.model.TensorSummary` as the pictures do. ``|coded``: a filter
  that shows text in backticks as code. ``|changed``: the lines that a fix of a program removes and adds.
- ``csp_nonce``: the nonce of this response, for ``<style nonce>`` and for ``<meta name="csp-nonce" content>``, from
  which CodeMirror reads it. Scripts are bundled files, never inline. An inline SVG has presentation attributes only.
- ``page``: ``"playground"``, ``"examples"``, ``"findings"``, ``"guide/start"``, ``"docs"`` or ``"error"``;
  ``version``: the version of Tapedeck.
- ``theme``: ``"light"`` or ``"dark"`` if the address contains ``?theme=``, else ``None``: for ``data-theme`` on ``<html>``.
- ``mode``: the mode of the sandbox: ``"full"``, ``"nofiles"``, ``"unconfined"`` (every page shows a banner),
  ``"refused"`` (no programs are run) or ``"starting"``.
- ``limits`` (:class:`~tapedeck.model.Limits`), ``keep_days`` (float, 0 means forever): for the sentence below the Run button.

``playground.html``, for ``/`` and ``/r/{id}``:

- ``home``: True for ``/``, False for a saved run. ``title``: str, the title of the run or program. ``origin``: scheme and host
  of this server, for absolute URLs. ``chosen_example``: slug of the example that the address names, or ``None``. ``preview``:
  absolute URLs of the run for previews of links, ``page`` and ``oembed``, or ``None``.
- ``run``: :class:`~tapedeck.model.Run`, or ``None`` if nothing is recorded yet: the editor then shows ``program``.
- ``program``: str. ``lines``: list of :class:`~.playground.ProgramLine`, the lines of the program with their values.
- ``step``: :class:`~tapedeck.model.Step` at the playhead or ``None``; ``shown_pass``: :class:`~tapedeck.model.Pass`, the
  step's main pass (the run's first pass if there is no step) or ``None``; ``graph``: :class:`~tapedeck.model.Graph` or
  ``None``.
- ``svg``: Markup of the inline picture, or ``None``; ``no_graph``: the sentence that explains why there is no picture,
  or ``None``.
- ``detail``: :class:`~tapedeck.model.NodeDetail` of the selected node, or ``None``; ``node``: its id or ``None``.
- ``links``: dict of URLs, each present only where it applies: ``self``, ``previous``, ``next``, ``first``, ``last``
  (steps of this page), ``svg``, ``png``, ``pdf``, ``dot``, ``txt`` (the picture shown), ``json`` (the run),
  ``program``, ``notebook``, ``step_json``, ``events``.
- ``nodes``: list of (node id, title, URL of this page with the node selected), for a list without JavaScript.
- ``graphs``: list of (graph id, line number, text of the value, URL of its SVG) of displayed tensors that have a graph.
- ``unlisted``: number of lines of the program after those in ``lines``.
- ``stopped``: URL of the playhead position at which an error ended the program, or ``None`` if the page shows it.
- ``legend``: the result of :func:`drawing.style.legend`.
- ``examples``: list of :class:`~tapedeck.examples.Example`.
- ``state``: Markup with JSON that is safe inside ``<script type="application/json" id="state">``; keys::

      {"root": "", "api": "/api/v1", "home": true, "example": "intro" | null,
       "run": Run | null, "step": Step | null, "graph": Graph | null,
       "svg_inline": true,            // the SVG is already in the page
       "node": "n3" | null, "program": "…", "limits": Limits, "keep_days": 30.0, "legend": {…}, "mode": "full"}

``file.html``, a file of its own: as ``embed.html``, and ``policy``, ``style``, ``scripts`` (Markup) and ``data`` (base64) of
:mod:`..sharing.single_file`. Its ``url`` is empty if the address of the server is not known.

``embed.html``, for a frame in another page: as ``playground.html``, and ``panes`` (the names of the panes shown), ``full`` (URL
of the same view on a page of its own) and ``page_links`` (whether steps are links, without JavaScript).

``examples.html``: ``groups``: list of (title, examples); ``tags``: list of (tag, number of examples), the most frequent first;
``count``: number of examples. ``docs.html``: ``openapi`` (URL of ``openapi.json``), ``problems`` (list of (anchor, status,
title, sentence), the types of problem+json responses, ``/docs#anchor``).
``findings.html``: ``groups``: the rules of :mod:`~tapedeck.explain.registry` by group title. The filters ``|documented``
(text with code and links) and ``|highlighted`` (Python) show their documentation.
``guide/*.html``: ``chapters`` of :mod:`.guide`, the ``heading`` and ``summary`` of this one, the ones ``before`` and ``after``;
for ``guide/teach.html``, what :func:`.teach.teach` adds.
``lessons.html``: ``lessons``; by id of a lesson, the number of its ``tasks`` and the ``places`` of the lessons it needs.
``lesson.html``: ``lesson``, the :class:`~..lessons.article.LessonArticle` ``article``, the ``runs`` by name of recording,
``place`` of ``count`` lessons, the ones ``before`` and ``after``, ``titles`` by id, ``legend``, and ``state``: Markup with
JSON as above; keys::

      {"root": "", "api": "/api/v1", "lesson": "backward", "runs": {"fit": Run | null},
       "waiting": false,              // programs are still being recorded
       "legend": {…}, "mode": "full"}

``error.html``: ``status`` (int), ``title``, ``detail`` (a sentence).
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import jinja2
import msgspec
from fastapi import APIRouter, Depends, Query, Request
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from ... import __version__, assets, model
from ...drawing.style import legend
from ...errors import NotFound
from ...explain import fixes
from ...explain.documentation import LINK
from ...explain.registry import GROUPS
from ...runs.run import RecordedRun
from ...runs.titles import title_of
from ..api.problems import INTERNAL, INVALID_QUERY, METHOD_NOT_ALLOWED, PROBLEM_KINDS, ProblemKind
from ..links import API, preview_links, run_page, with_query
from ..protection.security import NONCE
from ..service import root_of, service_of
from .highlight import highlighted
from .playground import RunView, Selection, view_run, written

EMPTY: Final[dict[str, Any]] = {
    "run": None, "lines": [], "step": None, "shown_pass": None, "graph": None, "svg": None, "no_graph": None,
    "detail": None, "node": None, "links": {}, "nodes": [], "graphs": [], "stopped": None, "unlisted": 0,
}  # fmt: skip
"""Context of the playground if nothing is recorded."""

router = APIRouter(include_in_schema=False)


def selection_of(
    request: Request,
    step: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    node: str | None = None,
    graph: str | None = None,
    pass_: Annotated[int | None, Query(alias="pass", ge=0, le=2**31 - 1)] = None,
    direction: str = "TB",
    phase: str = "backward",
) -> Selection:
    """Return the selection in the query parameters of a page. An unknown direction or phase is ignored."""
    chosen_direction = direction if direction in ("TB", "BT", "LR") else "TB"
    chosen_phase: model.Phase = next((each for each in model.PHASES if each == phase), "backward")
    return Selection(step, node, graph, pass_, theme_of(request), chosen_direction, chosen_phase)


Selected = Annotated[Selection, Depends(selection_of)]


@router.get("/")
async def home(
    request: Request, selection: Selected, slug: Annotated[str | None, Query(alias="example", max_length=100)] = None
) -> Response:
    """Show the playground with the recording of an example: of the first one, unless the address names another."""
    service = service_of(request)
    example = service.first_example
    if slug is not None:
        found = next((each for each in service.examples if each.slug == slug), None)
        if found is None:
            raise NotFound('There is no example of this name. The page "Examples" lists all of them.')
        example = found
    recorded = await service.example_runs.find(example)
    return await _playground(request, recorded, example.program, selection, is_home=True, example=slug)


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
    return page(request, "error", kind.status, status=kind.status, title=kind.title, detail=detail)


async def _playground(
    request: Request,
    recorded: RecordedRun | None,
    program: str,
    selection: Selection,
    *,
    is_home: bool,
    example: str | None = None,
) -> Response:
    service, root = service_of(request), root_of(request)
    context = EMPTY
    if recorded is not None:
        path = with_query(f"{root}/", {"example": example}) if is_home else run_page(root, recorded.id)
        view = await view_run(service, recorded, selection, path, root)
        context = context_of(view)
    state = page_state(request, context, program, is_home=is_home, example=example)
    origin = origin_of(request)

    def render() -> Response:
        return page(
            request,
            "playground",
            home=is_home,
            chosen_example=example,
            title=title_of(program) if recorded is None else recorded.title,
            origin=origin,
            preview=None if recorded is None else preview_links(origin, root, recorded.id),
            program=program,
            legend=legend(),
            examples=service.examples,
            state=script_json(state),
            **context,
        )

    return render() if recorded is None else await service.read(recorded, render)


def context_of(view: RunView) -> dict[str, Any]:
    """Return the context of a template that shows a run: the fields of its view by name."""
    return {name: getattr(view, name) for name in view.__struct_fields__}


def page_state(
    request: Request, context: Mapping[str, Any], program: str, *, is_home: bool = False, example: str | None = None
) -> dict[str, Any]:
    """Return what the script of a page with a recording reads from it."""
    service, root = service_of(request), root_of(request)
    return shown_state(context, program) | {
        "root": root,
        "api": f"{root}{API}",
        "home": is_home,
        "example": example,
        "limits": service.limits,
        "keep_days": service.settings.keep_days,
        "mode": service.mode,
    }


def shown_state(context: Mapping[str, Any], program: str) -> dict[str, Any]:
    """Return the part of :func:`page_state` that is about the recording."""
    return {
        "run": context["run"],
        "step": context["step"],
        "graph": context["graph"],
        "svg_inline": context["svg"] is not None,
        "node": context["node"],
        "program": program,
        "legend": legend(),
    }


def origin_of(request: Request) -> str:
    """Return the scheme and the host that a request names, for absolute URLs."""
    return str(request.base_url).rstrip("/").removesuffix(root_of(request))


def rendered(name: str, **context: Any) -> str:
    """Return the text of a template."""
    return _environment().get_template(f"{name}.html").render(**context)


def page(request: Request, name: str, status_code: int = 200, **context: Any) -> Response:
    """Render a template for a request."""
    service, root = service_of(request), root_of(request)
    text = rendered(
        name,
        url=lambda path: f"{root}{path}",
        asset=_asset(root),
        imports=_imports(root),
        csp_nonce=request.scope[NONCE],
        page=name,
        version=__version__,
        theme=theme_of(request),
        mode=service.mode,
        limits=service.limits,
        keep_days=service.settings.keep_days,
        **context,
    )
    return HTMLResponse(text, status_code)


def theme_of(request: Request) -> str | None:
    """Return the theme that the address selects, or ``None``."""
    theme = request.query_params.get("theme")
    return theme if theme in ("light", "dark") else None


def script_json(value: Any) -> Markup:
    r"""Return JSON that is safe inside a ``<script>``: it can neither end the element nor open a comment.

    >>> print(script_json({"a": "</script><!--"}))
    {"a":"\u003c/script>\u003c!--"}
    """
    return Markup(msgspec.json.encode(value).decode().replace("<", "\\u003c"))


def compile_templates() -> None:
    """Compile all templates. Pages share them for as long as the process lives."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.templates_path()), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["tensor"] = written
    environment.filters["changed"] = changed
    environment.filters["coded"] = coded
    environment.filters["documented"] = documented
    environment.filters["highlighted"] = highlighted
    return environment


def changed(fix: model.Fix, program: str) -> list[tuple[str, str]]:
    """Return the lines that a fix removes and adds, each after its sign, without their common indentation."""
    lines = fixes.changed_lines(program, fix)
    texts = textwrap.dedent("\n".join(text for _, text in lines)).split("\n")
    return [(sign, text) for (sign, _), text in zip(lines, texts, strict=False)]  # without lines, the text is empty


def coded(text: str) -> Markup:
    """Return a sentence in which text in backticks is marked up as code.

    >>> coded("`a < b` is code, a lone ` is not")
    Markup('<code>a &lt; b</code> is code, a lone ` is not')
    """
    split = re.split(r"`([^`\n]+)`", text)
    parts = (Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(split))
    return Markup("").join(parts)


def documented(text: str) -> Markup:
    """Return a sentence of a rule's documentation with its code and its links to other rules.

    >>> documented("`x`: see [leaf-rebound](#leaf-rebound).")
    Markup('<code>x</code>: see <a href="#leaf-rebound"><code>leaf-rebound</code></a>.')
    """
    parts: list[Markup] = []
    end = 0
    for link in LINK.finditer(text):
        parts += [
            coded(text[end : link.start()]),
            Markup('<a href="{}"><code>{}</code></a>').format(link["address"], link["text"]),
        ]
        end = link.end()
    return Markup("").join([*parts, coded(text[end:])])


def _asset(root: str) -> Callable[[str], str]:
    manifest = bundled("manifest.json")
    return lambda name: f"{root}/static/{manifest[name]}"


def _imports(root: str) -> Callable[[str], list[str]]:
    imports = bundled("imports.json")
    return lambda name: [f"{root}/static/{file}" for file in imports[name]]


def bundled(name: str) -> Any:
    """Return the content of a JSON file of the bundle."""
    path = assets.static_path() / name
    return _content(path, path.stat().st_mtime_ns)


@cache
def _content(path: Path, _changed: int) -> Any:
    return json.loads(path.read_text())
