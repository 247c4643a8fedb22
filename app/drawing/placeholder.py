"""Draw a placeholder for a graph that is too large to draw: its size, and the formats to use instead."""

from __future__ import annotations

from . import labels
from .pen import escape, pen
from .sheet import Sheet


def draw_placeholder(sheet: Sheet) -> str:
    """Return the SVG that shows a graph's size instead of the graph."""
    graph, face = sheet.graph, sheet.face
    writer = pen(sheet.theme, face)
    title = labels.graph_size(graph)
    rows = (
        writer.title(title, 430, 20, 34),
        writer.small("This graph is too large to draw.", 20, 60, 430, "ink-2"),
        writer.small("Use the text description (.txt) or DOT (.dot); the API returns its numbers.", 20, 78, 430, "ink-2"),
    )
    ground = f'<rect {writer.fill("bg")} width="470" height="100"/>' if sheet.standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="470" height="100" viewBox="0 0 470 100" role="group" '
        f'aria-label="{title}: too large to draw" data-graph="{escape(graph.id)}" font-family="{face.sans}" '
        f'font-size="{writer.size:g}">{ground}{"".join(rows)}</svg>'
    )
