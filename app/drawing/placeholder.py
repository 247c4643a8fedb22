"""Draw what stands in for a graph that is too large to be laid out whole: its counts, and what to take instead."""

from __future__ import annotations

from ..model import Graph
from .pen import BROWSER, Face, escape, pen
from .style import Theme


def draw_placeholder(graph: Graph, *, theme: Theme = "light", face: Face = BROWSER, standalone: bool = True) -> str:
    """The picture of a graph's size."""
    with_pen = pen(theme, face)
    title = f"{len(graph.nodes):_} nodes, {len(graph.edges):_} edges".replace("_", " ")
    rows = (
        with_pen.title(title, 430, 20, 34),
        with_pen.small("This graph is too large to be drawn whole.", 20, 60, 430, "ink-2"),
        with_pen.small("Take it in labels (.txt) or as DOT (.dot); the API has its numbers.", 20, 78, 430, "ink-2"),
    )
    ground = f'<rect {with_pen.fill("bg")} width="470" height="100"/>' if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="470" height="100" viewBox="0 0 470 100" role="group" '
        f'aria-label="{title}: too large to be drawn whole" data-graph="{escape(graph.id)}" font-family="{face.sans}" '
        f'font-size="{with_pen.size:g}">{ground}{"".join(rows)}</svg>'
    )
