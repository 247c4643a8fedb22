"""Render a pass, or a graph that no pass reached, in one of the picture formats."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, get_args

import typst
from msgspec import structs

from ..errors import DrawingError, InvalidInput, NotFound, TooLarge
from ..recording import PassNumbers, Recording, Tensors
from . import description, dot, placeholder, svg
from .engine import LayoutEngine
from .pen import EMBEDDED
from .plan import BOXES, plan
from .sheet import Sheet
from .style import Direction, Theme

Form = Literal["svg", "png", "pdf", "dot", "txt"]

MEDIA: Final[dict[Form, str]] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "dot": "text/vnd.graphviz; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
"""Picture formats with their media types."""

CONVERTING_SECONDS: Final = 20.0
"""Time limit for the conversion to PNG or PDF."""
DENSITY: Final = 144.0
"""Pixels per inch of a PNG: two for each pixel of the SVG."""
LARGEST_SIDE: Final = 8_000
"""Largest number of pixels on the longer side of a PNG. Larger pictures have a lower density."""

SHORT_TEXT: Final = 200
"""Largest number of nodes of a graph whose text is written on the event loop."""
LONGEST_TEXT: Final = 20_000
"""Largest number of nodes of a graph that is written as text."""
LAST_COVERED: Final = "\u2fff"
"""Last character for which only typst's embedded fonts are used."""

_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="picture")
_engines: dict[str, LayoutEngine] = {}


def shared_engine(path: str = "") -> LayoutEngine:
    """Return the process's layout engine for a ``dot`` (:attr:`Settings.dot`), with its cached layouts."""
    return _engines.setdefault(path, LayoutEngine(path))


async def render(
    recording: Recording,
    pass_index: int,
    form: str,
    *,
    theme: Theme = "light",
    direction: Direction = "TB",
    selected: str | None = None,
    standalone: bool = True,
    engine: LayoutEngine | None = None,
) -> bytes:
    """Return the picture of a pass; see :class:`Sheet` for the options.

    Raise :class:`NotFound` for a missing pass, :class:`InvalidInput` for an unknown format, theme or direction,
    :class:`TooLarge` for a graph that is too large to be written as text, and :class:`DrawingError` if the layout or a
    conversion fails.
    """
    numbers = recording.numbers(pass_index)
    sheet = Sheet(
        numbers.graph, numbers, recording.program, theme, direction, selected, standalone, _accumulated(recording, numbers)
    )
    return await _render(sheet, form, engine)


async def render_graph(
    recording: Recording,
    graph_index: int,
    form: str,
    *,
    theme: Theme = "light",
    direction: Direction = "TB",
    selected: str | None = None,
    standalone: bool = True,
    engine: LayoutEngine | None = None,
) -> bytes:
    """Return the picture of a structure without gradients, such as the graph of a displayed tensor. See :func:`render`."""
    graph = recording.graph(graph_index)
    return await _render(Sheet(graph, None, recording.program, theme, direction, selected, standalone), form, engine)


async def _render(sheet: Sheet, form: str, engine: LayoutEngine | None) -> bytes:
    make = FORMS.get(form)
    if make is None:
        raise InvalidInput(f"There is no picture format {form!r}: use one of {', '.join(FORMS)}.", where="form")
    for value, choices, name in ((sheet.theme, Theme, "theme"), (sheet.direction, Direction, "direction")):
        if value not in get_args(choices):
            raise InvalidInput(f"There is no {name} {value!r}: use one of {', '.join(get_args(choices))}.", where=name)
    return await make(sheet, engine or shared_engine())


def _accumulated(recording: Recording, numbers: PassNumbers) -> frozenset[str]:
    """Return the ids of the parameters that had a gradient before this pass. It is empty if the step was not recorded."""
    event = numbers.event
    if event.kind == "grad":
        return frozenset()
    try:
        step = recording.log.step(event.step)
    except NotFound:  # the program ended during this step
        return frozenset()
    tensors = Tensors(step.tensors)
    ids = {f"p{row.parameter}" for row in step.parameters if row.grad_before >= 0 and tensors.norm(row.grad_before) != 0}
    for index in step.passes:
        earlier = recording.log.pass_(index) if index < event.index else None
        if earlier is not None and earlier.kind != "grad" and earlier.graph >= 0:
            ids.update(node.parameter for node in recording.graph(earlier.graph).nodes if node.parameter is not None)
    return frozenset(ids)


async def _svg(sheet: Sheet, engine: LayoutEngine) -> str:
    planned = None
    if len(sheet.graph.nodes) <= BOXES:
        planned = plan(sheet.graph, sheet.direction, numbers=sheet.numbers is not None)
    if planned is None or not planned.fits:
        return placeholder.draw_placeholder(sheet)
    return svg.draw(sheet, await engine.layout(planned))


async def _as_svg(sheet: Sheet, engine: LayoutEngine) -> bytes:
    return (await _svg(sheet, engine)).encode()


async def _as_txt(sheet: Sheet, _engine: LayoutEngine) -> bytes:
    return await _as_text(sheet, description.describe)


async def _as_dot(sheet: Sheet, _engine: LayoutEngine) -> bytes:
    return await _as_text(sheet, dot.export)


async def _as_text(sheet: Sheet, write: Callable[[Sheet], str]) -> bytes:
    """Write a text, in a thread if the graph is large. Raise :class:`TooLarge` above :data:`LONGEST_TEXT` nodes."""
    nodes = len(sheet.graph.nodes)
    if nodes > LONGEST_TEXT:
        raise TooLarge(f"A graph of {nodes:,} nodes is too large to be written as text: read its numbers from the API.")
    if nodes <= SHORT_TEXT:
        return write(sheet).encode()
    return (await asyncio.get_running_loop().run_in_executor(_threads, write, sheet)).encode()


async def _as_png(sheet: Sheet, engine: LayoutEngine) -> bytes:
    return await _converted(sheet, engine, "png")


async def _as_pdf(sheet: Sheet, engine: LayoutEngine) -> bytes:
    return await _converted(sheet, engine, "pdf")


async def _converted(sheet: Sheet, engine: LayoutEngine, form: Literal["png", "pdf"]) -> bytes:
    drawn = await _svg(structs.replace(sheet, face=EMBEDDED), engine)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONVERTING_SECONDS):
            return await loop.run_in_executor(_threads, convert, drawn, form)
    except TimeoutError as error:
        raise DrawingError(f"The conversion of the picture to {form.upper()} took too long: use .svg instead.") from error


def convert(drawn: str, form: Literal["png", "pdf"]) -> bytes:
    """Convert one of our SVGs to PNG or PDF, with typst's embedded fonts. Raise :class:`DrawingError` if that fails."""
    width, height = size(drawn)
    page = (
        f"#set page(width: {width:g}pt, height: {height:g}pt, margin: 0pt, fill: none)\n"
        f'#image(bytes(sys.inputs.svg), format: "svg", width: {width:g}pt, alt: "Backward graph")'
    )
    # Typst's embedded font lacks some scripts, for which the machine's fonts are used if there are any.
    uncovered = any(character > LAST_COVERED for character in drawn)
    density = min(DENSITY, 72.0 * LARGEST_SIDE / max(width, height))
    try:
        made: Any = typst.compile(
            page.encode(), sys_inputs={"svg": drawn}, format=form, ppi=density, ignore_system_fonts=not uncovered, timestamp=0
        )
    except typst.TypstError as error:
        raise DrawingError(f"The picture could not be converted to {form.upper()}: {error}") from error
    return bytes(made)


def size(drawn: str) -> tuple[float, float]:
    """Return the width and height of one of our SVGs, in pixels.

    >>> size('<svg width="10" height="20.5" viewBox="0 0 10 20.5">')
    (10.0, 20.5)
    """
    found = re.search(r'width="([\d.e+]+)" height="([\d.e+]+)"', drawn)
    assert found, "each of our SVGs begins with its size"
    return float(found[1]), float(found[2])


FORMS: Final[dict[str, Callable[[Sheet, LayoutEngine], Awaitable[bytes]]]] = {
    "svg": _as_svg,
    "png": _as_png,
    "pdf": _as_pdf,
    "dot": _as_dot,
    "txt": _as_txt,
}
