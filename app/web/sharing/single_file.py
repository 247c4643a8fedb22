"""Write a run into one HTML file that needs neither a server nor a network.

The file has the panes of the page, drawn by the same scripts, and the data that they would request from a server. The
file's content policy allows these scripts and the file's style, and nothing else: no request, no further script. The data is
compressed and in base64, so nothing that a program wrote is markup there. Everywhere else, the templates escape such text.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import re
from functools import partial
from typing import Any, Final

import msgspec
from markupsafe import Markup

from ... import __version__, model
from ...drawing.plan import BOXES
from ...drawing.style import legend
from ...runs.run import RecordedRun
from ..links import finding_url, run_page
from ..pages.bundle import text_of
from ..pages.pages import context_of, shown_state
from ..pages.playground import RunView, Selection, view_run
from ..pages.templates import rendered
from ..pictures import Look, RunReader, draw
from .file_data import Contents, archive, contents, map_numbers
from .map_views import MOST_VIEWS, MapViews, address_of, graph_of, views_of_map

PANES: Final = ("graph", "code", "deck", "inspector", "findings", "curve")
WHOLES_BYTES: Final = 3 * 1024 * 1024
"""Size in bytes of the pictures of :func:`_wholes` after which no more are added."""
SCRIPTS: Final = ("first-paint.js", "file.js")
STYLE: Final = "file.css"


async def write_file(reader: RunReader, recorded: RecordedRun, *, theme: str | None = None, server: str = "") -> bytes:
    """Return a run as an HTML file. ``server`` is the address of the server that keeps the run, for links; empty without one.

    Raises :class:`NotFound` if the recording was deleted in the meantime, and :class:`DrawingError` if a picture fails.
    """
    view = await view_run(reader, recorded, Selection(theme=theme), "", server)
    shown = None if view.shown_pass is None else view.shown_pass.index
    found = await asyncio.to_thread(contents, recorded, shown)
    pictures = {name: await _picture(reader, recorded, name) for name in dict.fromkeys(found.drawn.values())}
    wholes = await _wholes(reader, recorded, pictures)
    views: dict[str, MapViews] = {}
    for name, svg in pictures.items():
        left = MOST_VIEWS - sum(len(each.pictures) for each in views.values())
        views[name] = await views_of_map(svg, partial(_picture, reader, recorded, name), left)
        pictures[name] = views[name].linked(svg)
    return await asyncio.to_thread(_written, recorded, view, found, pictures, wholes, views, theme, server)


async def _wholes(reader: RunReader, recorded: RecordedRun, pictures: dict[str, str]) -> dict[str, str]:
    """Return pictures with a card for each node, of graphs that are drawn as maps but are small enough for cards."""
    found: dict[str, str] = {}
    sizes = await reader.read(recorded, recorded.recording.log.graph_sizes)
    for name, svg in pictures.items():
        if (graph := graph_of(svg)) is None or sizes[graph][0] > BOXES or sum(map(len, found.values())) > WHOLES_BYTES:
            continue
        whole = await _picture(reader, recorded, name, layout="nodes")
        if address_of(whole) is None:
            found[name] = whole
    return found


async def _picture(reader: RunReader, recorded: RecordedRun, name: str, view: str | None = None, layout: str = "auto") -> str:
    """Return the picture of ``passes/0`` or ``graphs/g1``, as the page has it, or a view of its map."""
    kind, _, index = name.partition("/")
    what = "pass" if kind == "passes" else "graph"
    look = Look("inline", view=view, layout=layout)
    return (await draw(reader, recorded, what, int(index.removeprefix("g")), "svg", look)).body.decode()


def _written(
    recorded: RecordedRun,
    view: RunView,
    found: Contents,
    pictures: dict[str, str],
    wholes: dict[str, str],
    views: dict[str, MapViews],
    theme: str | None,
    server: str,
) -> bytes:
    run = _as_filed(view.run, found, server)
    owner = "" if view.shown_pass is None else found.drawn.get(f"passes/{view.shown_pass.index}", "")
    if view.svg is not None and owner in views:
        view = msgspec.structs.replace(view, svg=Markup(views[owner].linked(view.svg)))
    context = context_of(view) | {"run": run, "links": {}}
    maps = {
        graph: {address: map_numbers(recorded.recording, graph, address, passes) for address in views[drawn].pictures}
        for graph, passes in found.passes.items()
        if views[drawn := found.drawn[f"passes/{passes[0][0]}"]].pictures
    }
    data = archive(
        {
            "given": msgspec.json.encode(
                shown_state(context, run.program)
                | {
                    "root": "",
                    "api": "",
                    "home": False,
                    "example": None,
                    "limits": recorded.limits,
                    "keep_days": 0,
                    "mode": "full",
                }
            ),
            "steps": found.steps,
            "unfinished": found.unfinished,
            "series": found.series,
            "graphs": found.graphs,
            "passes": found.passes,
            "details": found.details,
            "pictures": pictures,
            "wholes": wholes,
            "views": {name: each.pictures for name, each in views.items() if each.pictures},
            "drawn": found.drawn,
            "maps": maps,
        }
    )
    style, scripts = bundle_text(STYLE), [bundle_text(name) for name in SCRIPTS]
    return rendered(
        "file",
        policy=file_policy(style, scripts),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        data=base64.b64encode(data).decode(),
        theme=theme,
        panes=PANES,
        title=recorded.title,
        full=f"{server}{run_page('', recorded.id)}" if server else "",
        left_out=recorded.counts[2] - found.count,
        closed=any(each.closed for each in views.values()),
        version=__version__,
        url=lambda path: f"{server}{path}" if server else "",
        legend=legend(),
        **context,
    ).encode()


def _as_filed(run: model.Run, found: Contents, server: str) -> model.Run:
    """Return a run as its file has it: with the steps that fit, and with links only if there is a server."""
    findings = [msgspec.structs.replace(each, help=finding_url(server, each.code) if server else "") for each in run.findings]
    whole = found.count == run.steps
    return msgspec.structs.replace(run, steps=found.count, unfinished=run.unfinished and whole, findings=findings, links={})


def bundle_text(name: str) -> str:
    """Return a file of the bundle as text that is safe inside its element: the text cannot end the element."""
    text = text_of(name)
    assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE), f"{name} would end its element"
    return text.strip()


def file_policy(style: str, scripts: list[str]) -> str:
    """Return the content policy of a file: its own style and scripts, by their hashes, and no request at all."""
    allowed = " ".join(_hash(script) for script in scripts)
    parts = ("default-src 'none'", f"script-src {allowed}", f"style-src {_hash(style)}", "img-src data:")
    return "; ".join((*parts, "base-uri 'none'", "form-action 'none'"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def answer_policy(body: bytes) -> str:
    """Return the content policy of a file that a server sends: the file's own, plus a sandbox without the server's origin."""
    own: Any = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]*)"', body)
    return f"{html.unescape(own[1].decode())}; frame-ancestors 'none'; sandbox allow-scripts allow-popups"
