"""Serve the pages: gather what a template shows, so that every page is whole without JavaScript.

What templates are given
------------------------
Every template:

- ``url("/examples")``: a path under the proxy's path; ``asset("playground.js")``: the URL of a bundled file (raises for
  an unknown one). The whole bundle is under ``url("/static/…")``.
- ``csp_nonce``: of this response: ``<style nonce>``, and a ``<meta name="csp-nonce" content>`` for CodeMirror. Scripts
  are ``<script type="module" src>``: none inline. An inline SVG has presentation attributes only.
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

from msgspec import Struct

from .. import model


class ProgramLine(Struct, frozen=True):
    """A line of the program as a page without JavaScript shows it."""

    number: int
    text: str
    value: str | None
    """What the line's value was in the step shown, else its last value."""
    phases: list[model.Phase]
    """The phases of the step that the line belongs to."""
    cell: int
    """The cell it stands in."""
    cell_ends: bool
    """Whether it is the last line of its cell: the cell's output belongs under it."""
    error: model.ProgramError | None
    findings: list[model.Finding]
