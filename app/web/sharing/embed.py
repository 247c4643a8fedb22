"""Serve runs to other pages: in a frame, and as an oEmbed answer.

The pages that :attr:`Settings.embed_in` lists may show a frame; no page may show any other page of this server. A frame needs
neither a cookie nor the browser's storage, and changes nothing on the server.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from ...drawing.style import legend
from ...errors import InvalidInput, NotAllowed, NotFound
from ...recording import default_graph
from ...runs.run import RecordedRun
from ...settings import SettingsError
from ..api.problems import ProblemKind
from ..links import embed_page, picture_url, preview_links, run_page, with_query
from ..pages import pages
from ..pages.pages import Selected, context_of, origin_of, page_state
from ..pages.playground import view_run
from ..pages.snippets import frame_title
from ..pages.templates import page, script_json
from ..pictures import Look, RunReader, draw
from ..protection.security import NONCE, page_policy
from ..responses import json
from ..service import Service, being_recorded, reader_of, root_of, service_of

PANES: Final = ("graph", "code", "deck", "inspector", "findings", "curve")
"""The panes that a frame can show."""
SHOWN: Final = ("graph", "deck")
"""The panes that a frame shows by default."""
CURVES: Final = ("value", "grad", "update")
"""The curves of a parameter, of which a frame shows one."""
WIDTH, HEIGHT = 720, 520
"""Default size of a frame, in pixels. It fits into a column of text."""
VIEW: Final = ("step", "phase", "ran", "node", "graph", "pass", "direction", "view", "layout", "theme", "log", "parameter")
"""Query parameters that select what a run's page shows. A frame accepts these and the parameters of :func:`show`."""

NO_RUN: Final = "This is not the address of a run on this server: it looks like /r/ and the id of the run."

router = APIRouter(include_in_schema=False)


@router.get("/embed/{id}")
async def show(
    request: Request,
    id: str,
    selection: Selected,
    panes: Annotated[str | None, Query(max_length=100)] = None,
    curve: Annotated[str | None, Query(max_length=20)] = None,
    autoplay: Annotated[str | None, Query(max_length=5)] = None,
) -> Response:
    """Show a run, or the recording of an example, in a frame of another page.

    ``panes`` are names from :data:`PANES`, separated by commas. The script reads ``curve`` and ``autoplay`` from the address.
    """
    service, root = service_of(request), root_of(request)
    shown = _chosen(panes)
    if curve is not None and curve not in CURVES:
        raise InvalidInput(f"There is no curve {curve[:20]!r}: use {', '.join(CURVES)}.", where="query.curve")
    recorded = await _recorded(service, id)
    query = {name: value for name, value in request.query_params.items() if name in ("panes", "curve", "parameter", "autoplay")}
    view = await view_run(reader_of(request), recorded, selection, with_query(embed_page(root, id), query), root)
    context = context_of(view)
    kept = {name: value for name, value in request.query_params.items() if name in VIEW}
    origin = origin_of(request)

    def render() -> Response:
        return page(
            request,
            "embed",
            panes=shown,
            home=False,
            chosen_example=None,
            title=recorded.title,
            origin=origin,
            preview=preview_links(origin, root, recorded.id),
            full=with_query(run_page(root, recorded.id), kept),
            legend=legend(),
            state=script_json(page_state(request, context, recorded.new.program.text)),
            **context,
        )

    response = await service.read(recorded, render)
    return _shown_in_pages(request, response)


async def failure(request: Request, kind: ProblemKind, detail: str) -> Response:
    """Return the page that describes an error. If the request was for a frame, other pages may show this page in it."""
    if not request.url.path.startswith(f"{root_of(request)}/embed/"):
        return await pages.failure(request, kind, detail)
    return _shown_in_pages(request, pages.failure_page(request, "embed_failure", kind, detail))


def _shown_in_pages(request: Request, response: Response) -> Response:
    """Allow the pages that :attr:`Settings.embed_in` lists to show a response in a frame."""
    ancestors = frame_ancestors(service_of(request).settings.embed_in)
    response.headers["Content-Security-Policy"] = page_policy(request.scope[NONCE], ancestors)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"  # pages with this header may only show frames with it too
    response.headers["X-Robots-Tag"] = "noindex"
    return response


async def _recorded(service: Service, id: str) -> RecordedRun:
    """Return a run, or the recording of the example with this name. Examples never expire."""
    example = next((each for each in service.examples if each.slug == id), None)
    if example is None:
        return await service.find(id)
    if (recorded := await service.example_runs.find(example)) is not None:
        return recorded
    if service.mode == "refused":
        raise NotFound("This server runs no programs, and has no recording of this example.")
    raise being_recorded()


def _chosen(panes: str | None) -> tuple[str, ...]:
    """Return the panes that a parameter names. Raises :class:`InvalidInput` for an unknown one."""
    if panes is None:
        return SHOWN
    names = [name.strip() for name in panes.split(",") if name.strip()]
    unknown = next((name for name in names if name not in PANES), None)
    if unknown is not None or not names:
        raise InvalidInput(f"There is no pane {unknown or panes!r}: use {', '.join(PANES)}.", where="query.panes")
    return tuple(names)


def frame_ancestors(setting: str) -> str:
    """Return the pages that may show a frame, as a content policy writes them.

    >>> frame_ancestors("*"), frame_ancestors(""), frame_ancestors("https://a.example, https://*.b.example:8443")
    ('*', "'none'", "'self' https://a.example https://*.b.example:8443")

    Unless no page may, Tapedeck's own pages may too, for the preview of a frame.

    Raises :class:`SettingsError` for text that is not an origin.
    """
    origins = [part.strip() for part in setting.split(",") if part.strip()]
    for origin in origins:
        if origin != "*" and not re.fullmatch(
            r"https?://(\*\.)?[A-Za-z0-9.-]+(:(\d{1,5}|\*))?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?", origin
        ):
            raise SettingsError(f"TAPEDECK_EMBED_IN={origin!r} is not an origin such as https://course.example.")
    if not origins:
        return "'none'"
    return " ".join(origins if "*" in origins else ["'self'", *origins])


class OEmbed(Struct, frozen=True):
    """An answer of the oEmbed format 1.0 (https://oembed.com). Sizes are in pixels."""

    type: Literal["rich"]
    version: Literal["1.0"]
    title: str
    provider_name: str
    provider_url: str
    html: str
    width: int
    height: int
    cache_age: int
    """Seconds for which the answer may be used."""
    thumbnail_url: str | UnsetType = UNSET
    thumbnail_width: int | UnsetType = UNSET
    thumbnail_height: int | UnsetType = UNSET


@router.get("/oembed")
async def oembed(
    request: Request,
    url: Annotated[str, Query(max_length=2_000)],
    format: Annotated[str, Query(max_length=20)] = "json",
    maxwidth: Annotated[int | None, Query(ge=1, le=100_000)] = None,
    maxheight: Annotated[int | None, Query(ge=1, le=100_000)] = None,
) -> Response:
    """Describe the frame of a run, given the address of the run's page or of a frame."""
    service, root = service_of(request), root_of(request)
    if format != "json":
        return json({"detail": "oEmbed answers of this server are JSON: use format=json."}, 501)
    if not service.settings.embed_in.strip():
        raise NotAllowed("This server does not let other pages show its runs: its setting TAPEDECK_EMBED_IN is empty.")
    try:
        given = urlsplit(url)
    except ValueError as error:
        raise NotFound(NO_RUN) from error
    found = re.fullmatch(rf"{re.escape(root)}/(?:r|embed)/([\w-]{{1,64}})", given.path)
    if found is None or given.hostname != request.url.hostname:
        raise NotFound(NO_RUN)
    recorded = await _recorded(service, found[1])
    origin = origin_of(request)
    known = {*VIEW, "panes", "curve", "autoplay"}
    query = {name: value for name, value in parse_qsl(given.query) if name in known}
    width, height = min(WIDTH, maxwidth or WIDTH), min(HEIGHT, maxheight or HEIGHT)
    source = origin + with_query(embed_page(root, found[1]), query)
    frame = Markup(
        '<iframe src="{}" title="{}" width="{}" height="{}" loading="lazy" style="border:0;width:100%"></iframe>'
    ).format(source, frame_title(recorded.title), width, height)
    answer = OEmbed(
        "rich",
        "1.0",
        recorded.title,
        "Tapedeck",
        f"{origin}{root}/",
        str(frame),
        width,
        height,
        3600,
        **await _thumbnail(reader_of(request), recorded, query.get("step", ""), origin, root),
    )
    return json(answer)


async def _thumbnail(reader: RunReader, recorded: RecordedRun, step: str, origin: str, root: str) -> dict[str, Any]:
    """Return the fields about the picture of a step, else of the run; none if it has no graph."""
    recording = recorded.recording
    known = step.isascii() and step.isdigit() and int(step) < recording.log.counts()[2]
    shown = (default_graph(recording, int(step)) if known else None) or default_graph(recording)
    if shown is None:
        return {}
    drawn = await draw(reader, recorded, shown.kind, shown.index, "png", Look())
    return {
        "thumbnail_url": origin + picture_url(root, recorded.id, shown.kind, shown.index, "png"),
        "thumbnail_width": int.from_bytes(drawn.body[16:20]),  # the chunk IHDR of a PNG
        "thumbnail_height": int.from_bytes(drawn.body[20:24]),
    }
