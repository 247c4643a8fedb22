"""Draw the map of a graph with a layout by Graphviz: boxes of open groups are nested in frames."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..model import GraphMap, MapEdge
from .graph_layout import GraphLayout, PlacedBox
from .lanes import Bus, buses
from .map_parts import HIGH, LANE, LANE_THICK, TAG, MapParts, height, leaf_sights, norm_of
from .plan import Box, Enclosure, LayoutPlan, Link
from .sheet import Sheet
from .style import width

WIDE: Final = 230
"""Width of a box."""
MOST_LINKS: Final = 220
"""Number of edges above which the layout program would take too long. The longest edges then run in lanes beside the boxes."""
SPANS: Final = (8, 4)
"""Limits on the span of an edge, in boxes, for maps with more than :data:`MOST_LINKS` edges.

Graphviz routes only the edges within the first limit that leaves at most :data:`MOST_LINKS` edges, or else the last limit.
"""
NEIGHBOURS: Final = 8
"""Weight of an edge between neighbours in the forward order, which keeps it straight."""
OTHERS: Final = 2
TOWER: Final = 3.0
"""Height of a picture, as a multiple of its width, above which the map is drawn as rows unless the layout is ``graph``."""
WIDEST: Final = 756.0
"""Width of a picture, in pixels, above which the map is drawn as rows too. A pane of 605 pixels shows it at less than 80 %."""
TURN: Final = 4
"""Radius of the corners of an edge in a lane."""


def plan_map(shown: GraphMap) -> LayoutPlan:
    """Return the plan of a map. Edges that it leaves out run in lanes."""
    row = {box.id: index for index, box in enumerate(shown.boxes)}
    sights = leaf_sights(shown)
    boxes: list[Box] = []
    below: list[Link] = []
    for index, box in enumerate(shown.boxes):
        boxes.append(Box(f"b{index}", index, -1, "card", WIDE, int(height(box))))
        if box.id in sights:
            number = len(shown.edges) + len(below)
            boxes.append(Box(f"l{index}", index, number, "stub", *sights[box.id].size))
            below.append(Link(number, f"b{index}", f"l{index}", 0, 1))
    spans = [row[edge.target] - row[edge.source] for edge in shown.edges]
    most = max(spans, default=0)
    for limit in SPANS if len(spans) > MOST_LINKS else ():
        most = limit
        if sum(span <= limit for span in spans) <= MOST_LINKS:
            break
    links = [
        Link(index, f"b{row[edge.source]}", f"b{row[edge.target]}", 0, NEIGHBOURS if span == 1 else OTHERS)
        for index, (edge, span) in enumerate(zip(shown.edges, spans, strict=True))
        if span <= most
    ]
    return LayoutPlan("TB", boxes, links + below, _enclosures(shown, boxes), nested=True)


def _enclosures(shown: GraphMap, boxes: list[Box]) -> list[Enclosure]:
    """Return the frames of the open groups, the outer ones first."""
    parent = {frame.id: frame.parent for frame in shown.frames}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, box in enumerate(boxes):
        around: list[str] = []
        frame = shown.boxes[box.node].frame
        while frame is not None:
            around.append(frame)
            frame = parent[frame]
        for each in reversed(around):
            first.setdefault(each, index)
            last[each] = index
    keys = {frame.id: f"f{index}" for index, frame in enumerate(shown.frames)}
    return [Enclosure(keys[id_], start, last[id_]) for id_, start in first.items()]


def is_hard_to_read(laid: GraphLayout) -> bool:
    """Return whether a layout is so narrow and high, or so wide, that rows are easier to read."""
    return laid.height > TOWER * laid.width or laid.width > WIDEST


class PlacedMap(Struct, frozen=True):
    """A map that has been laid out, with the sheet that it is drawn on."""

    sheet: Sheet
    map: GraphMap
    plan: LayoutPlan
    """The plan of the map, which leaves out the edges that run in lanes."""
    layout: GraphLayout
    """Positions of what the plan contains."""


def draw_graph(placed: PlacedMap) -> str:
    """Return the SVG of a map that has been laid out."""
    return _GraphWriter(placed).write()


class _GraphWriter:
    def __init__(self, placed: PlacedMap) -> None:
        self.map = shown = placed.map
        self.plan = placed.plan
        self.laid = laid = placed.layout
        self.parts = MapParts(placed.sheet, shown)
        self.placed: dict[str, PlacedBox] = {shown.boxes[each.box.node].id: each for each in laid.boxes if each.box.edge < 0}

    def write(self) -> str:
        laid, parts = self.laid, self.parts
        frames = {f"f{index}": frame.id for index, frame in enumerate(self.map.frames)}
        rects = "".join(parts.frame(frames[each.key], each.x, each.y, each.width, each.height) for each in laid.frames)
        count = len(self.map.edges)
        lines = [parts.leaf_line(route.path) for route in laid.routes if route.link.edge >= count]
        lines += [
            self._routed(self.map.edges[route.link.edge], route.path, route.middle)
            for route in laid.routes
            if route.link.edge < count
        ]
        routed = {link.edge for link in self.plan.links}
        beside, wide = self._lanes([edge for index, edge in enumerate(self.map.edges) if index not in routed])
        boxes = "".join(parts.box(box, self.placed[box.id].x, self.placed[box.id].y, WIDE) for box in self.map.boxes)
        leaves = "".join(
            parts.leaf(parts.sights[self.map.boxes[each.box.node].id], each.x, each.y)
            for each in laid.boxes
            if each.box.edge >= 0
        )
        edges = f'<g class="edges" fill="none">{"".join(lines)}{beside[0]}</g>'
        return parts.picture(f'{rects}{edges}<g class="boxes">{boxes}{leaves}{beside[1]}</g>', wide, laid.height, "graph")

    def _routed(self, edge: MapEdge, path: str, middle: tuple[float, float]) -> str:
        count = self.parts.pen.small(f"{edge.count:,}", middle[0] + 7, middle[1] + 4, 60) if edge.count > 1 else ""
        return self.parts.edge(edge, path, count)

    def _lanes(self, edges: list[MapEdge]) -> tuple[tuple[str, str], float]:
        """Return the SVG of edges in lanes and of names for edges without a lane, and the width of the whole picture."""
        laid = self.laid
        if not edges:
            return ("", ""), laid.width
        by_height = sorted(self.placed, key=lambda id_: (self.placed[id_].y, self.placed[id_].x))
        rank = {id_: index for index, id_ in enumerate(by_height)}
        by_ranks = {(rank[edge.source], rank[edge.target]): edge for edge in edges}
        found = buses(list(by_ranks), {ranks: width(norm_of(edge.norm)) for ranks, edge in by_ranks.items()})
        lines = "".join(self._bus(bus, by_ranks) for bus in found if bus.lane >= 0)
        right = laid.width + 8 + (1 + max(bus.lane for bus in found)) * LANE
        without = [(by_height[source], by_height[bus.target]) for bus in found if bus.lane < 0 for source in bus.sources]
        tags = self._tags(without, right)
        return (lines, tags), right + (TAG if without else 0)

    def _bus(self, bus: Bus, edges: dict[tuple[int, int], MapEdge]) -> str:
        lane = self.laid.width + 8 + bus.lane * LANE
        parts = []
        for source in bus.sources:
            edge = edges[source, bus.target]
            start_x, start = self._port(edge.source, HIGH - 9)
            end_x, end = self._port(edge.target, 9)
            turn = min(TURN, abs(end - start) / 2) * (1 if end > start else -1)
            path = (
                f"M{start_x:g} {start:g}H{lane - TURN:g}Q{lane:g} {start:g} {lane:g} {start + turn:g}"
                f"V{end - turn:g}Q{lane:g} {end:g} {lane - TURN:g} {end:g}H{end_x:g}"
            )
            parts.append(self.parts.edge(edge, path, "", LANE_THICK))
        return "".join(parts)

    def _port(self, id_: str, below: float) -> tuple[float, float]:
        """Return the point at the right edge of a box, some pixels below its upper corner."""
        placed = self.placed[id_]
        return placed.x + WIDE, placed.y + below

    def _tags(self, ends: list[tuple[str, str]], right: float) -> str:
        """Write the name of the target beside the source of each edge without a lane."""
        targets: dict[str, list[str]] = {}
        for source, target in ends:
            targets.setdefault(source, []).append(self.parts.name(target))
        return "".join(
            self.parts.pen.small(f"→ {', '.join(names)}", right, self.placed[source].y + 18, TAG)
            for source, names in targets.items()
        )
