"""Make a picture of a pass, or of a graph that no pass reached, in any form: one table of functions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Literal, get_args

import typst
from msgspec import Struct

from ..errors import DrawingError, InvalidInput, NotFound, TooLarge
from ..model import Graph
from ..recording import PassNumbers, Recording, Tensors
from . import description, dot, placeholder, svg
from .engine import LayoutEngine
from .pen import BROWSER, EMBEDDED, Face
from .plan import BOXES, plan
from .style import Direction, Theme

Form = Literal["svg", "png", "pdf", "dot", "txt"]

MEDIA: Final[dict[Form, str]] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "dot": "text/vnd.graphviz; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
"""The forms of a picture, with their media types."""

CONVERTING_SECONDS: Final = 20.0
DENSITY: Final = 144.0
"""Pixels to the inch of a PNG: two for each of the SVG's."""
LARGEST_SIDE: Final = 8_000
"""Pixels of a PNG's longer side, at the most: larger pictures are drawn less dense."""

SHORT_TEXT: Final = 200
LONGEST_TEXT: Final = 20_000
"""Nodes up to which a graph is written out at once, and at all."""
LAST_COVERED: Final = "\u2fff"
"""Past it typst's own fixed-width font has no letters worth the name."""

_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="picture")
_engines: dict[str, LayoutEngine] = {}


class Scene(Struct, frozen=True):
    """All that a picture is made from."""

    graph: Graph
    numbers: PassNumbers | None
    program: str
    theme: Theme
    direction: Direction
    selected: str | None
    standalone: bool
    accumulated: frozenset[str]
    engine: LayoutEngine


def engine(path: str = "") -> LayoutEngine:
    """The engine for this ``Settings.dot``: one for the process, with its layouts."""
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
    """The picture of a pass.

    ``standalone`` is a file of its own (a ground, a caption); otherwise the SVG is for the inside of a page. Raises
    :class:`NotFound` for a pass, :class:`InvalidInput` for a form, theme or direction that there is not,
    :class:`TooLarge` for a text without end, and :class:`DrawingError` where the engine or a converter fails.
    """
    numbers = recording.numbers(pass_index)
    added = _accumulated(recording, numbers)
    return await _render(recording, numbers.graph, numbers, form, theme, direction, selected, standalone, added, engine)


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
    """The picture of a structure without any numbers: that of a displayed tensor that no pass reached. See :func:`render`."""
    graph = recording.graph(graph_index)
    return await _render(recording, graph, None, form, theme, direction, selected, standalone, frozenset(), engine)


async def _render(
    recording: Recording,
    graph: Graph,
    numbers: PassNumbers | None,
    form: str,
    theme: Theme,
    direction: Direction,
    selected: str | None,
    standalone: bool,
    accumulated: frozenset[str],
    using: LayoutEngine | None,
) -> bytes:
    make = FORMS.get(form)
    if make is None:
        raise InvalidInput(f"There is no picture as {form!r}: take {', '.join(FORMS)}.", where="form")
    for given, known, name in ((theme, Theme, "theme"), (direction, Direction, "direction")):
        if given not in get_args(known):
            raise InvalidInput(f"There is no {name} {given!r}: take {', '.join(get_args(known))}.", where=name)
    scene = Scene(
        graph, numbers, recording.program, theme, direction, selected, standalone, accumulated, using or engine_of_process()
    )
    return await make(scene)


def engine_of_process() -> LayoutEngine:
    """The engine where none is named."""
    return engine()


def _accumulated(recording: Recording, numbers: PassNumbers) -> frozenset[str]:
    """Parameters whose gradient was not empty when this pass added its own, as far as the step tells."""
    event = numbers.event
    if event.kind == "grad":
        return frozenset()
    try:
        step = recording.log.step(event.step)
    except NotFound:  # the program ended in the middle of it
        return frozenset()
    tensors = Tensors(step.tensors)
    found = {f"p{row.parameter}" for row in step.parameters if row.grad_before >= 0 and tensors.norm(row.grad_before) != 0}
    for index in step.passes:
        earlier = recording.log.pass_(index) if index < event.index else None
        if earlier is not None and earlier.kind != "grad" and earlier.graph >= 0:
            found.update(node.parameter for node in recording.graph(earlier.graph).nodes if node.parameter is not None)
    return frozenset(found)


async def _svg(scene: Scene, face: Face = BROWSER) -> str:
    planned = None
    if len(scene.graph.nodes) <= BOXES:
        planned = plan(scene.graph, scene.direction, numbers=scene.numbers is not None)
    if planned is None or not planned.fits:
        return placeholder.draw_placeholder(scene.graph, theme=scene.theme, face=face, standalone=scene.standalone)
    layout = await scene.engine.layout(planned)
    return svg.draw(
        layout,
        scene.graph,
        scene.numbers,
        theme=scene.theme,
        direction=scene.direction,
        selected=scene.selected,
        standalone=scene.standalone,
        program=scene.program,
        face=face,
        accumulated=scene.accumulated,
    )


async def _as_svg(scene: Scene) -> bytes:
    return (await _svg(scene)).encode()


async def _as_txt(scene: Scene) -> bytes:
    return (await _written(scene, lambda: description.describe(scene.graph, scene.numbers, program=scene.program))).encode()


async def _as_dot(scene: Scene) -> bytes:
    theme: Literal["light", "dark"] = "dark" if scene.theme == "dark" else "light"
    export = partial(dot.export, program=scene.program, theme=theme, direction=scene.direction)
    return (await _written(scene, lambda: export(scene.graph, scene.numbers))).encode()


async def _written(scene: Scene, write: Callable[[], str]) -> str:
    """A text, written beside the event loop where it is long; raises :class:`TooLarge` where it would have no end."""
    nodes = len(scene.graph.nodes)
    if nodes > LONGEST_TEXT:
        raise TooLarge(f"A graph of {nodes} nodes is too large to be written out: the API has its numbers.")
    return write() if nodes <= SHORT_TEXT else await asyncio.get_running_loop().run_in_executor(_threads, write)


async def _as_png(scene: Scene) -> bytes:
    return await _converted(scene, "png")


async def _as_pdf(scene: Scene) -> bytes:
    return await _converted(scene, "pdf")


async def _converted(scene: Scene, form: Literal["png", "pdf"]) -> bytes:
    drawn = await _svg(scene, EMBEDDED)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONVERTING_SECONDS):
            return await loop.run_in_executor(_threads, convert, drawn, form)
    except TimeoutError as error:
        raise DrawingError(f"Turning the picture into {form.upper()} took too long: take it as .svg.") from error


def convert(drawn: str, form: Literal["png", "pdf"]) -> bytes:
    """One of our SVGs as PNG or PDF, with the fonts that typst carries within itself; raises :class:`DrawingError`."""
    width, height = size(drawn)
    page = (
        f"#set page(width: {width:g}pt, height: {height:g}pt, margin: 0pt, fill: none)\n"
        f'#image(bytes(sys.inputs.svg), format: "svg", width: {width:g}pt, alt: "Backward graph")'
    )
    # Scripts that the font within typst lacks are left to the machine's own fonts, where it has any.
    beyond = any(character > LAST_COVERED for character in drawn)
    density = min(DENSITY, 72.0 * LARGEST_SIDE / max(width, height))
    try:
        made: Any = typst.compile(
            page.encode(), sys_inputs={"svg": drawn}, format=form, ppi=density, ignore_system_fonts=not beyond, timestamp=0
        )
    except typst.TypstError as error:
        raise DrawingError(f"The picture could not be turned into {form.upper()}: {error}") from error
    return bytes(made)


def size(drawn: str) -> tuple[float, float]:
    """Width and height of one of our pictures, in pixels.

    >>> size('<svg width="10" height="20.5" viewBox="0 0 10 20.5">')
    (10.0, 20.5)
    """
    found = re.search(r'width="([\d.e+]+)" height="([\d.e+]+)"', drawn)
    assert found, "every picture of ours begins with its size"
    return float(found[1]), float(found[2])


FORMS: Final[dict[str, Callable[[Scene], Awaitable[bytes]]]] = {
    "svg": _as_svg,
    "png": _as_png,
    "pdf": _as_pdf,
    "dot": _as_dot,
    "txt": _as_txt,
}
