"""Render the templates, which receive all their data, so that every page is complete without JavaScript.

Template context
----------------
Every template:

- ``url("/examples")``: a path below ``root``; ``asset("playground.js")``: the URL of a bundled file (raises for an
  unknown name). The whole bundle is served below ``url("/static/…")``. ``imports("playground.js")``: the URLs of the files
  that a script imports from the start, for ``modulepreload``.
- ``|tensor``: a filter that writes a :class:`~tapedeck.model.TensorSummary` as the pictures do. ``|coded``: a filter
  that shows text in backticks as code. ``|changed``: the lines that a fix of a program removes and adds. ``|duration``:
  milliseconds as text. ``|counted("step")``: a number with its noun.
- ``csp_nonce``: the nonce of this response, for ``<style nonce>`` and for ``<meta name="csp-nonce" content>``, from
  which CodeMirror reads it. Scripts are bundled files, never inline. An inline SVG has presentation attributes only.
- ``page``: the name of the template without its ending, such as ``"playground"`` or ``"guide/start"``; ``version``: the
  version of Tapedeck.
- ``theme``: ``"light"`` or ``"dark"`` if the address contains ``?theme=``, else ``None``: for ``data-theme`` on ``<html>``.
- ``mode``: the mode of the sandbox: ``"full"``, ``"nofiles"``, ``"unconfined"`` (every page shows a banner),
  ``"refused"`` (no programs are run) or ``"starting"``.
- ``video`` (bool): whether the server writes MP4.
- ``limits`` (:class:`~tapedeck.model.Limits`), ``keep_days`` (float, 0 means forever): for the sentence below the Run button.

``playground.html``, for ``/`` and ``/r/{id}``:

- ``home``: True for ``/``, False for a saved run. ``title``: str, the title of the run or program; ``tab``: a short one for the
  tab. ``origin``: scheme and host of this server, for absolute URLs. ``chosen_example``: slug of the example that the address
  names, or ``None``; ``recording``: id of the recording of the example, or ``None``. ``preview``: absolute URLs of the run for
  previews of links, ``page`` and ``oembed``, or ``None``.
- ``run``: :class:`~tapedeck.model.Run`, or ``None`` if nothing is recorded yet: the editor then shows ``program``.
- ``program``: str. ``lines``: list of :class:`~.listing.ProgramLine`, the lines of the program with their values.
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
- ``unlisted``: number of lines of the program after those in ``lines``. ``phase``: the phase at the playhead.
- ``choices`` and ``found``: the graphs to choose from, and the counts of the findings, of :mod:`.heads`.
- ``stopped``: URL of the playhead position at which an error ended the program, or ``None`` if the page shows it.
- ``legend``: the result of :func:`drawing.style.legend`.
- ``examples``: list of :class:`~tapedeck.examples.Example`.
- ``state``: Markup with JSON that is safe inside ``<script type="application/json" id="state">``; keys::

      {"root": "", "api": "/api/v1", "home": true, "example": "intro" | null,
       "recording": "f3…" | null,     // id of the recording of the example, which may not be made yet
       "run": Run | null, "step": Step | null, "phase": "backward", "graph": Graph | null,
       "svg_inline": true,            // the SVG is already in the page
       "node": "n3" | null, "program": "…", "limits": Limits, "keep_days": 30.0, "legend": {…}, "mode": "full",
       "framed": true}                // other pages may show a run in a frame

``file.html``, a file of its own: as ``embed.html``, and ``policy``, ``style``, ``scripts`` (Markup) and ``data`` (base64) of
:mod:`..sharing.single_file`; ``left_out``, the number of steps that did not fit; ``closed``, whether some groups of a map
cannot be opened. Its ``url`` is empty if the address of the server is not known.

``embed.html``, for a frame in another page: as ``playground.html``, and ``panes`` (the names of the panes shown) and ``full``
(URL of the same view on a page of its own).

``examples.html``: ``groups``: list of (title, examples); ``tags``: list of (tag, number of examples), the most frequent first;
``count``: number of examples. ``docs.html``: ``openapi`` (URL of ``openapi.json``), ``problems`` (list of (anchor, status,
title, sentence), the types of problem+json responses, ``/docs#anchor``).
``findings.html``: ``groups``: the rules of :mod:`~tapedeck.explain.registry` by group title. The filters ``|documented``
(text with code and links) and ``|highlighted`` (Python) show their documentation.
``guide/*.html``: ``chapters`` of :mod:`.guide`; ``heading`` and ``summary`` of the shown chapter; the chapters ``before`` and
``after`` it; for ``guide/teach.html``, also the variables that :func:`.teach.teach` adds.
``lessons.html``: ``lessons``; by the id of a lesson, ``tasks`` (number of its tasks) and ``places`` (numbers of the lessons to
read before it).
``lesson.html``: ``lesson``; ``article``, its :class:`~..lessons.article.LessonArticle`; ``runs`` by name of recording;
``origin``; ``place``, the number of the lesson; ``count``, the number of all lessons; the lessons ``before`` and ``after`` it;
``titles`` of lessons by id; ``svg``: Markup of the inline picture of the first view, or ``None``; ``legend``; and ``state``:
Markup with JSON as above; keys::

      {"root": "", "api": "/api/v1", "lesson": "backward", "runs": {"fit": Run | null},
       "waiting": false,              // programs are still being recorded
       "legend": {…}, "mode": "full"}

``error.html``: ``status`` (int), ``title``, ``detail`` (a sentence).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
import msgspec
from fastapi import Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from ... import __version__, assets
from ...drawing import video
from ...drawing.numerals import count_of
from ..protection.security import NONCE
from ..service import root_of, service_of
from .bundle import file_of, imports_of
from .filters import changed, coded, documented
from .heads import duration
from .highlight import highlighted
from .listing import written


def rendered(name: str, **context: Any) -> str:
    """Return the text of a template."""
    return _environment().get_template(f"{name}.html").render(**context)


def page(request: Request, name: str, status_code: int = 200, **context: Any) -> Response:
    """Render a template for a request."""
    service, root = service_of(request), root_of(request)
    text = rendered(
        name,
        url=lambda path: f"{root}{path}",
        asset=lambda name: f"{root}/static/{file_of(name)}",
        imports=lambda name: [f"{root}/static/{file}" for file in imports_of(name)],
        csp_nonce=request.scope[NONCE],
        page=name,
        version=__version__,
        theme=theme_of(request),
        mode=service.mode,
        limits=service.limits,
        keep_days=service.settings.keep_days,
        video=video.program() is not None,
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
    environment.filters["duration"] = duration
    environment.filters["counted"] = count_of
    return environment
