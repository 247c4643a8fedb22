"""Draw the map of a graph as rows and lanes: one box in each row, edges between neighbours straight, all others in lanes.

The rows need no layout program, so every graph has a picture. Opening a group moves no box sideways. A leaf is below the box
that uses it, so that the picture is as narrow as a phone.
"""

from __future__ import annotations

from typing import Final

from ..model import GraphMap, MapBox, MapEdge
from .lanes import Bus, buses
from .map_parts import HEADER, HIGH, LANE, LANE_THICK, TAG, MapParts, height, norm_of
from .sheet import Sheet
from .style import width

WIDE: Final = 300.0
"""Smallest width of the boxes outside of all frames, in pixels. Groups that are nested deeply make them wider."""
NARROWEST: Final = 220.0
GAP: Final = 12.0
INDENT: Final = 14.0
FOOT: Final = 8.0
"""Room below the last row of an open group."""
LEAF_INDENT: Final = 24.0
LEAF_GAP: Final = 5.0
"""Distances of a leaf from the left edge and from the lower edge of its box."""
SPINE: Final = 40.0
"""Distance of the edges between neighbours from the right edge of the boxes. The leaves are to the left of these edges."""


def draw_rows(sheet: Sheet, shown: GraphMap, note: str = "") -> str:
    """Return the SVG of a map. ``note`` says why it is drawn as rows."""
    return _RowsWriter(sheet, shown).write(note)


class _RowsWriter:
    def __init__(self, sheet: Sheet, shown: GraphMap) -> None:
        self.map = shown
        self.parts = MapParts(sheet, shown)
        self.row = self.parts.row
        deepest = max((len(self.parts.around(box)) for box in shown.boxes), default=0)
        self.right = max(WIDE, NARROWEST + deepest * INDENT)
        self.top: list[float] = []
        self.frame_rects: list[str] = []
        self.high = self._place()

    def write(self, note: str) -> str:
        shown = self.map
        straight = [edge for edge in shown.edges if self.row[edge.target] == self.row[edge.source] + 1]
        others = [edge for edge in shown.edges if self.row[edge.target] != self.row[edge.source] + 1]
        by_rows = {(self.row[edge.source], self.row[edge.target]): edge for edge in others}
        weights = {rows: width(norm_of(edge.norm)) for rows, edge in by_rows.items()}
        laid = buses(list(by_rows), weights)
        lanes = 1 + max((bus.lane for bus in laid), default=-1)
        tagged = any(bus.lane < 0 for bus in laid)
        wide = self.right + lanes * LANE + (8 if lanes else 0) + (TAG if tagged else 0)
        leaf_lines, leaves = self._leaves()
        lines = "".join(map(self._straight, straight)) + "".join(self._bus(bus, by_rows) for bus in laid if bus.lane >= 0)
        boxes = "".join(map(self._box, shown.boxes))
        tags = "".join(self._tag(bus) for bus in laid if bus.lane < 0)
        edges = f'<g class="edges" fill="none">{leaf_lines}{lines}</g>'
        scene = f'{"".join(self.frame_rects)}{edges}<g class="boxes">{boxes}{leaves}{tags}</g>'
        return self.parts.picture(scene, wide, self.high, "rows", note)

    # ------------------------------------------------------------------ rows and frames

    def _place(self) -> float:
        """Place the rows from the top, and draw the frames around them. Return the height of all rows."""
        y = 0.0
        open_: list[tuple[str, float]] = []
        for box in [*self.map.boxes, None]:
            around = self.parts.around(box) if box is not None else []
            kept = 0
            while kept < min(len(open_), len(around)) and open_[kept][0] == around[kept]:
                kept += 1
            while len(open_) > kept:
                id_, top = open_.pop()
                y += FOOT - GAP
                self.frame_rects.append(self._frame(id_, top, y, len(open_)))
                y += GAP
            for id_ in around[kept:]:
                open_.append((id_, y))
                y += HEADER
            if box is not None:
                self.top.append(y)
                y += self._height(box) + GAP
        self.frame_rects.reverse()  # outer frames are drawn first, below the inner ones
        return y - GAP

    def _frame(self, id_: str, top: float, bottom: float, depth: int) -> str:
        return self.parts.frame(id_, depth * INDENT, top, self.right - depth * INDENT, bottom - top)

    def _box(self, box: MapBox) -> str:
        left = len(self.parts.around(box)) * INDENT
        return self.parts.box(box, left, self.top[self.row[box.id]], self._edge_of_box(box) - left)

    def _edge_of_box(self, box: MapBox) -> float:
        """Return the x of a box's right edge. A box in a frame ends a little before the frame."""
        return self.right - (4.0 if box.frame is not None else 0.0)

    # ------------------------------------------------------------------ leaves and edges

    def _height(self, box: MapBox) -> float:
        """Return the height of a box with the leaf below it."""
        sight = self.parts.sights.get(box.id)
        return height(box) + (LEAF_GAP + sight.size[1] if sight is not None else 0.0)

    def _leaves(self) -> tuple[str, str]:
        """Return the lines to the leaves, and the leaves."""
        lines, leaves = [], []
        for id_, sight in self.parts.sights.items():
            box = self.map.boxes[self.row[id_]]
            left, bottom = len(self.parts.around(box)) * INDENT, self.top[self.row[id_]] + height(box)
            x, middle = left + LEAF_INDENT, bottom + LEAF_GAP + sight.size[1] / 2
            lines.append(self.parts.leaf_line(f"M{left + 12:g} {bottom:g}V{middle:g}H{x:g}"))
            leaves.append(self.parts.leaf(sight, x, bottom + LEAF_GAP))
        return "".join(lines), "".join(leaves)

    def _straight(self, edge: MapEdge) -> str:
        source, target = self.row[edge.source], self.row[edge.target]
        box = self.map.boxes[source]
        top, bottom = self.top[source] + height(box), self.top[target]
        x = self.right - SPINE
        count = self.parts.pen.small(f"{edge.count:,}", x + 7, (top + bottom) / 2 + 4, 60) if edge.count > 1 else ""
        return self.parts.edge(edge, f"M{x:g} {top:g}V{bottom:g}", count)

    def _bus(self, bus: Bus, edges: dict[tuple[int, int], MapEdge]) -> str:
        lane = self.right + 8 + bus.lane * LANE
        end = self.top[bus.target] + 9
        parts = []
        for source in bus.sources:
            edge = edges[source, bus.target]
            start = self.top[source] + HIGH - 9
            turn = 4 if end > start else -4
            first, last = (self._edge_of_box(self.map.boxes[row]) for row in (source, bus.target))
            path = (
                f"M{first:g} {start:g}H{lane - 4:g}Q{lane:g} {start:g} {lane:g} {start + turn:g}"
                f"V{end - turn:g}Q{lane:g} {end:g} {lane - 4:g} {end:g}H{last:g}"
            )
            parts.append(self.parts.edge(edge, path, "", LANE_THICK))
        return "".join(parts)

    def _tag(self, bus: Bus) -> str:
        """Write the name of the target beside each source of edges without a lane."""
        name = f"→ {self.map.boxes[bus.target].name}"
        return "".join(self.parts.pen.small(name, self.right + 8, self.top[source] + 18, TAG + 100) for source in bus.sources)
