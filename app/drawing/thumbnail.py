"""Draw a graph as small as a stamp: boxes with their titles and edges as wide as their gradients, without numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from ..model import Graph, GraphMap
from . import labels, measure
from .graph_layout import GraphLayout, PlacedBox
from .map_parts import norm_of
from .pen import BROWSER, Pen, escape, pen
from .plan import LayoutPlan
from .plan import plan as whole
from .sheet import Sheet
from .style import Direction, Theme, level, width

MARGIN: Final = 8
FONT: Final = 24.0
"""Font size of the titles. A picture of three cards in a row is then legible at a third of its size."""
LARGEST: Final = 0.6
"""Size of a unit in pixels if there is room. The titles of a small graph then are no larger than the text around it."""
SIZE: Final = (320, 150)
"""Width and height in pixels at which a thumbnail is usually shown."""
NODES: Final = 36
"""Largest number of nodes of a graph that is drawn whole."""
DIRECTIONS: Final[tuple[Direction, ...]] = ("TB", "LR")
MUCH: Final = 1.4
NARROW: Final = 130
"""Largest width of a card of a picture from left to right."""


def plan(graph: Graph, direction: Direction) -> LayoutPlan:
    """Plan the picture of a graph: low cards, with room between them for the edges to show their width."""
    planned = whole(graph, direction, numbers=False)
    links = [structs.replace(link, label=1) for link in planned.links]
    most = NARROW if direction == "LR" else planned.boxes[0].width
    boxes = [structs.replace(box, width=min(box.width, most)) for box in planned.boxes]
    return structs.replace(planned, boxes=boxes, links=links)


def larger(upright: GraphLayout, sideways: GraphLayout) -> GraphLayout:
    """Return the layout from left to right if it is drawn much larger than the upright one, else the upright one."""
    return sideways if _scale(sideways) > MUCH * _scale(upright) else upright


def _scale(layout: GraphLayout) -> float:
    return min(SIZE[0] / layout.width, SIZE[1] / layout.height)


def note(text: str, theme: Theme) -> str:
    """Return the SVG of a sentence that is shown if there is no graph."""
    mine = pen(theme, BROWSER)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE[0]}" height="{SIZE[1]}" viewBox="0 0 {SIZE[0]} {SIZE[1]}" '
        f'font-family="{mine.face.sans}" font-size="13"><text fill="{mine.tokens["ink-3"]}" x="160" y="79" '
        f'text-anchor="middle">{escape(text)}</text></svg>'
    )


def draw(sheet: Sheet, layout: GraphLayout, shown: GraphMap | None = None) -> str:
    """Return the SVG of a graph, or of the map ``shown`` of a large one, given its layout. The SVG has no background."""
    mine = pen(sheet.theme, BROWSER)
    edges = "".join(_edges(mine, sheet, layout, shown))
    boxes = "".join(_box(mine, sheet, each, shown) for each in layout.boxes)
    wide, high = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    size = f'width="{LARGEST * wide:g}" height="{LARGEST * high:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {wide:g} {high:g}" '
        f'font-family="{mine.face.sans}" font-size="{FONT:g}" font-weight="600"><g transform="translate({MARGIN} {MARGIN})">'
        f'<g fill="none">{edges}</g>{boxes}</g></svg>'
    )


def _edges(mine: Pen, sheet: Sheet, layout: GraphLayout, shown: GraphMap | None) -> Iterator[str]:
    for route in layout.routes:
        norm, carries = _gradient(sheet, route.link.edge, shown)
        colour = mine.level(level(norm)) if norm is not None else mine.tokens["ink-3" if carries else "line-2"]
        dashes = "" if carries else ' stroke-dasharray="6 5"'
        yield f'<path d="{route.path}" stroke="{colour}" stroke-width="{1.5 * width(norm):g}"{dashes}/>'


def _gradient(sheet: Sheet, edge: int, shown: GraphMap | None) -> tuple[float | None, bool]:
    """Return the norm of the gradient on an edge, ``None`` if there is none, and whether the edge can have a gradient."""
    if shown is not None:
        if edge >= len(shown.edges):  # the line to a leaf
            return None, True
        return norm_of(shown.edges[edge].norm), shown.edges[edge].gradient
    if not sheet.graph.edges[edge].gradient:
        return None, False
    summary = None if sheet.numbers is None else sheet.numbers.edge(edge)
    return (None if summary is None or summary.norm is None else float(summary.norm)), True


def _box(mine: Pen, sheet: Sheet, placed: PlacedBox, shown: GraphMap | None) -> str:
    box = placed.box
    if shown is not None:
        leaf, title = box.edge >= 0, "" if box.edge >= 0 else shown.boxes[box.node].name
        root = False
    else:
        node = sheet.graph.nodes[box.node]
        leaf, title = node.kind == "leaf", labels.ProgramText(sheet.program).title(node)
        root = node.id in sheet.graph.roots
    fill, stroke = ("param-tint", "param-fill") if leaf else ("surface", "ink") if root else ("surface", "ink-3")
    if box.role == "constant":
        fill, stroke = "bg", "line-2"
    text = ""
    if box.height >= FONT + 4 and title:
        fitted = measure.fit(title, box.width - 16, FONT, bold=True)
        ink = mine.tokens["param" if leaf else "ink-2" if box.role == "constant" else "ink"]
        text = (
            f'<text fill="{ink}" x="{box.width / 2:g}" y="{box.height / 2 + FONT * 0.35:g}" '
            f'text-anchor="middle">{escape(fitted)}</text>'
        )
    return (
        f'<g transform="translate({placed.x:g} {placed.y:g})"><rect width="{box.width}" height="{box.height}" rx="8" '
        f'fill="{mine.tokens[fill]}" stroke="{mine.tokens[stroke]}" stroke-width="{3 if root else 2}"/>{text}</g>'
    )
