"""Render a pass, or a graph that no pass reached, in one of the picture formats."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypedDict, Unpack, get_args

from msgspec import Struct, structs

from ..errors import Busy, DrawingError, InvalidInput, NotFound, TooLarge
from ..map.read import read_map
from ..model import Graph, GraphMap
from ..recording import PassNumbers, Recording, Tensors
from . import description, dot, program, svg
from . import thumbnail as small
from .conversion import Converter, Target, ThreadConverter
from .engine import LayoutEngine
from .layout_files import LayoutFiles
from .map_graph import PlacedMap, draw_graph, is_hard_to_read, plan_map
from .map_rows import draw_rows
from .pen import EMBEDDED, Face
from .plan import BOXES, WIDEST, LayoutPlan, plan
from .readable import is_readable, may_be_readable
from .sheet import PlacedSheet, Sheet
from .style import Density, Direction, PictureLayout, Theme

Form = Literal["svg", "png", "pdf", "dot", "txt"]

MEDIA: Final[dict[Form, str]] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "dot": "text/vnd.graphviz; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
"""Picture formats with their media types."""

SHORT_TEXT: Final = 200
"""Largest number of nodes of a graph whose text is written on the event loop."""
LONGEST_TEXT: Final = 20_000
"""Largest number of nodes of a graph that is described as text. The DOT of larger graphs is written in a separate thread."""

_DRAWN: Final = ("svg", "png", "pdf")
_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="picture")
_slow_thread: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-dot")
_engines: dict[tuple[str, Path | None], LayoutEngine] = {}


def shared_engine(path: str = "", folder: Path | None = None) -> LayoutEngine:
    """Return this process's layout engine for the layout program at ``path``, with its cached layouts.

    ``path`` is :attr:`Settings.dot`. With a data ``folder``, layouts are kept in it. Other processes may use the same folder.
    """
    engine = _engines.get((path, folder))
    if engine is None:
        files = None if folder is None else LayoutFiles(folder / "layouts", program.version(path))
        engine = _engines[path, folder] = LayoutEngine(path, files=files)
    return engine


class SheetLook(TypedDict, total=False):
    """The fields of :class:`Sheet` that a caller chooses."""

    theme: Theme
    direction: Direction
    selected: str | None
    standalone: bool
    layout: PictureLayout
    density: Density
    face: Face


class Tools(Struct, frozen=True):
    """The layout engine and the converter of a picture, and the client that requests it. Clients share processes in turn."""

    engine: LayoutEngine
    converter: Converter
    client: str = ""


class Drawn(Struct, frozen=True):
    """A picture. ``final`` is false for a map drawn as rows because its layout failed: a later request may get its layout."""

    body: bytes
    final: bool = True


class _Svg(Struct, frozen=True):
    text: str
    final: bool = True


def sheet_of_pass(
    recording: Recording,
    pass_index: int,
    form: str,
    *,
    view: str | None = None,
    reveal: str | None = None,
    **look: Unpack[SheetLook],
) -> Sheet:
    """Return the sheet of a pass; :class:`Sheet` explains the look. For a large graph, reading the recording takes long.

    A graph is drawn as a map if it is too large or hard to read, or if a ``view``, a node to ``reveal`` (see :func:`read_map`)
    or a layout of maps is given. With the layout ``nodes``, only a graph that is too large is drawn as a map. Raises
    :class:`NotFound` for a missing pass, and :class:`InvalidInput` for an unknown format, theme, direction or node.
    """
    _check(form, look)
    event = recording.log.pass_(pass_index)
    if event.graph >= 0 and form in _DRAWN and _is_map(recording, event.graph, view, reveal, look):
        return _map_sheet(recording, event.graph, pass_index, view, reveal, look)
    numbers = recording.numbers(pass_index)
    accumulated = _accumulated(recording, numbers)
    make_map = partial(read_map, recording, event.graph, pass_index, view, reveal)
    return Sheet(numbers.graph, numbers, recording.program, accumulated=accumulated, make_map=make_map, **look)


def sheet_of_graph(
    recording: Recording,
    graph_index: int,
    form: str,
    *,
    view: str | None = None,
    reveal: str | None = None,
    **look: Unpack[SheetLook],
) -> Sheet:
    """Return the sheet of a structure without gradients, for example of the graph of a displayed tensor.

    The options and errors are those of :func:`sheet_of_pass`.
    """
    _check(form, look)
    recording.log.graph(graph_index)  # raises NotFound
    if form in _DRAWN and _is_map(recording, graph_index, view, reveal, look):
        return _map_sheet(recording, graph_index, None, view, reveal, look)
    make_map = partial(read_map, recording, graph_index, None, view, reveal)
    values = recording.displayed_values(graph_index)
    return Sheet(recording.graph(graph_index), None, recording.program, make_map=make_map, values=values, **look)


def _is_map(recording: Recording, graph: int, view: str | None, reveal: str | None, look: SheetLook) -> bool:
    """Return whether a graph is drawn as a map, whatever the size of its picture."""
    layout = look.get("layout", "auto")
    if recording.log.graph_sizes()[graph][0] > BOXES:
        return True
    return layout in ("groups", "graph", "rows") or (layout == "auto" and (view is not None or reveal is not None))


def _map_sheet(
    recording: Recording, graph: int, pass_index: int | None, view: str | None, reveal: str | None, look: SheetLook
) -> Sheet:
    made = read_map(recording, graph, pass_index, view, reveal)
    return Sheet(Graph(f"g{graph}", [], [], []), None, recording.program, make_map=lambda: made, **look)


async def draw(sheet: Sheet, form: str, tools: Tools) -> Drawn:
    """Draw a picture.

    Raises :class:`TooLarge` for a graph that is too large to be written as text, :class:`DrawingError` if the layout or a
    conversion fails, and :class:`Busy` if too many pictures of this client wait.
    """
    return await FORMS[form](sheet, tools)


async def thumbnail(sheet: Sheet, tools: Tools) -> Drawn:
    """Draw a graph small, for a list of runs: in the direction that shows it larger, or as a map if it has many nodes.

    Raises the errors of :func:`draw`, except :class:`TooLarge`.
    """
    if 0 < len(sheet.graph.nodes) <= small.NODES:
        upright, sideways = [
            await tools.engine.layout(small.plan(sheet.graph, direction), tools.client) for direction in small.DIRECTIONS
        ]
        return Drawn(small.draw(sheet, small.larger(upright, sideways)).encode())
    assert sheet.make_map is not None
    shown = await asyncio.get_running_loop().run_in_executor(_threads, sheet.make_map)
    if not shown.boxes:
        return Drawn(draw_rows(sheet, shown).encode())
    return Drawn(small.draw(sheet, await tools.engine.layout(plan_map(shown), tools.client), shown).encode())


async def render(
    recording: Recording,
    pass_index: int,
    form: str,
    *,
    engine: LayoutEngine | None = None,
    view: str | None = None,
    reveal: str | None = None,
    **look: Unpack[SheetLook],
) -> bytes:
    """Return the picture of a pass, converted in this process. The recording must be the caller's own.

    Raises the errors of :func:`sheet_of_pass` and :func:`draw`.
    """
    sheet = sheet_of_pass(recording, pass_index, form, view=view, reveal=reveal, **look)
    return (await draw(sheet, form, _own_tools(engine))).body


async def render_graph(
    recording: Recording,
    graph_index: int,
    form: str,
    *,
    engine: LayoutEngine | None = None,
    view: str | None = None,
    reveal: str | None = None,
    **look: Unpack[SheetLook],
) -> bytes:
    """Return the picture of a structure, converted in this process. The recording must be the caller's own.

    Raises the errors of :func:`sheet_of_graph` and :func:`draw`.
    """
    sheet = sheet_of_graph(recording, graph_index, form, view=view, reveal=reveal, **look)
    return (await draw(sheet, form, _own_tools(engine))).body


def _own_tools(engine: LayoutEngine | None) -> Tools:
    return Tools(engine or shared_engine(), ThreadConverter())


def _check(form: str, look: SheetLook) -> None:
    if form not in FORMS:
        raise InvalidInput(f"There is no picture format {form!r}: use one of {', '.join(FORMS)}.", where="form")
    for name, choices in (
        ("theme", get_args(Theme)),
        ("direction", get_args(Direction)),
        ("layout", get_args(PictureLayout)),
        ("density", get_args(Density)),
    ):
        value = look.get(name, choices[0])
        if value not in choices:
            raise InvalidInput(f"There is no {name} {value!r}: use one of {', '.join(choices)}.", where=name)


def _accumulated(recording: Recording, numbers: PassNumbers) -> frozenset[str]:
    """Return the ids of parameters that had a gradient before this pass; none for ``autograd.grad`` or an unrecorded step."""
    event = numbers.event
    if event.kind == "grad":
        return frozenset()
    try:
        step = recording.log.step(event.step)
    except NotFound:  # the program ended during this step
        return frozenset()
    tensors = Tensors(step.tensors)
    ids = {f"p{row.parameter}" for row in step.parameters if row.grad_before >= 0 and tensors.norm(row.grad_before) != 0}
    earlier = [recording.log.pass_(index) for index in step.passes if index < event.index]
    for graph in sorted({each.graph for each in earlier if each.kind != "grad" and each.graph >= 0}):
        ids.update(node.parameter for node in recording.graph(graph).nodes if node.parameter is not None)
    return frozenset(ids)


async def _svg(sheet: Sheet, tools: Tools) -> _Svg:
    if 0 < len(sheet.graph.nodes) <= BOXES and (whole := await _whole(sheet, tools)) is not None:
        return _Svg(svg.draw(whole))
    assert sheet.make_map is not None
    return await _map_svg(sheet, await asyncio.get_running_loop().run_in_executor(_threads, sheet.make_map), tools)


async def _whole(sheet: Sheet, tools: Tools) -> PlacedSheet | None:
    """Lay out a card for each node. Return ``None`` if there are too many, or a map is easier to read and may be drawn instead.

    A map is always drawn from top to bottom, so a graph in another direction gets cards unless there are too many.
    """
    planned = _plan(sheet)
    chosen = sheet.layout == "nodes" or sheet.direction != "TB"
    if not planned.fits or not (chosen or may_be_readable(planned)):
        return None
    laid = await tools.engine.layout(planned, tools.client)
    if sheet.density == "compact" and laid.width > WIDEST:
        sheet = structs.replace(sheet, density="full")
        laid = await tools.engine.layout(_plan(sheet), tools.client)
    return PlacedSheet(sheet, laid) if chosen or is_readable(laid) else None


def _plan(sheet: Sheet) -> LayoutPlan:
    numbers = sheet.numbers is not None
    return plan(sheet.graph, sheet.direction, numbers=numbers, density=sheet.density, values=sheet.values)


async def _map_svg(sheet: Sheet, shown: GraphMap, tools: Tools) -> _Svg:
    """Draw a map with the layout of its sheet, or as rows if that layout fails. Every map thus has a picture."""
    if sheet.layout == "rows" or not shown.boxes:
        return _Svg(draw_rows(sheet, shown))
    planned = plan_map(shown)
    try:
        laid = await tools.engine.layout(planned, tools.client)
    except (DrawingError, Busy):
        return _Svg(draw_rows(sheet, shown, "in rows, because the layout took too long or failed"), final=False)
    if sheet.layout != "graph" and is_hard_to_read(laid):
        return _Svg(draw_rows(sheet, shown))
    return _Svg(draw_graph(PlacedMap(sheet, shown, planned, laid)))


async def _as_svg(sheet: Sheet, tools: Tools) -> Drawn:
    drawn = await _svg(sheet, tools)
    return Drawn(drawn.text.encode(), drawn.final)


async def _as_txt(sheet: Sheet, _tools: Tools) -> Drawn:
    nodes = len(sheet.graph.nodes)
    if nodes > LONGEST_TEXT:
        raise TooLarge(f"A graph of {nodes:,} nodes is too large to be described as text: request .dot instead.")
    return await _as_text(sheet, description.describe)


async def _as_dot(sheet: Sheet, _tools: Tools) -> Drawn:
    return await _as_text(sheet, dot.export)


async def _as_text(sheet: Sheet, write: Callable[[Sheet], str]) -> Drawn:
    """Write a text, in a thread if the graph is large."""
    nodes = len(sheet.graph.nodes)
    if nodes <= SHORT_TEXT:
        return Drawn(write(sheet).encode())
    thread = _threads if nodes <= LONGEST_TEXT else _slow_thread
    return Drawn(await asyncio.get_running_loop().run_in_executor(thread, lambda: write(sheet).encode()))


async def _as_png(sheet: Sheet, tools: Tools) -> Drawn:
    return await _converted(sheet, tools, "png")


async def _as_pdf(sheet: Sheet, tools: Tools) -> Drawn:
    return await _converted(sheet, tools, "pdf")


async def _converted(sheet: Sheet, tools: Tools, form: Target) -> Drawn:
    drawn = await _svg(structs.replace(sheet, face=EMBEDDED), tools)
    return Drawn(await tools.converter.convert(drawn.text, form, tools.client), drawn.final)


FORMS: Final[dict[str, Callable[[Sheet, Tools], Awaitable[Drawn]]]] = {
    "svg": _as_svg,
    "png": _as_png,
    "pdf": _as_pdf,
    "dot": _as_dot,
    "txt": _as_txt,
}
