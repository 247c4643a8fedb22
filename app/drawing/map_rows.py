"""Draw the map of a graph as rows and lanes: one box in each row, edges between neighbours straight, all others in lanes.

The rows need no layout program, so every graph has a picture. Opening a group moves no box sideways.
"""

from __future__ import annotations

import math
from typing import Final

from ..model import GraphMap, MapBox, MapEdge, MapNorm, MapSeries
from . import footer, numerals
from .lanes import Bus, buses
from .pen import Pen, escape, pen
from .sheet import Sheet
from .style import level, scale_position, width

MARGIN: Final = 16
WIDE: Final = 300.0
"""Width of the boxes outside of all frames, in pixels."""
NARROWEST: Final = 190.0
HIGH: Final = 28.0
BARS_HIGH: Final = 44.0
"""Height of the bars in the box of a loop."""
GAP: Final = 12.0
INDENT: Final = 14.0
HEADER: Final = 22.0
"""Height of the name of an open group."""
FOOT: Final = 8.0
"""Room below the last row of an open group."""
LANE: Final = 9.0
LANE_THICK: Final = 4.0
"""Largest width of an edge in a lane."""
WIDEST_BAR: Final = 22.0
NUMBERS: Final = 66.0
"""Room for the norm at the right of a box."""
TAG: Final = 110.0
"""Room for the names of the targets of edges that have no lane."""
MOST_BARS: Final = 200


def draw_map(sheet: Sheet, shown: GraphMap) -> str:
    """Return the SVG of a map."""
    return _RowsWriter(sheet, shown).write()


class _RowsWriter:
    def __init__(self, sheet: Sheet, shown: GraphMap) -> None:
        self.sheet = sheet
        self.map = shown
        self.pen: Pen = pen(sheet.theme, sheet.face)
        self.row = {box.id: index for index, box in enumerate(shown.boxes)}
        self.frames = {frame.id: frame for frame in shown.frames}
        self.deepest = max((len(self._frames(box)) for box in shown.boxes), default=0)
        self.right = max(WIDE, NARROWEST + self.deepest * INDENT)
        self.top: list[float] = []
        self.frame_rects: list[str] = []
        self.high = self._place()

    def write(self) -> str:
        shown, pen = self.map, self.pen
        straight = [edge for edge in shown.edges if self.row[edge.target] == self.row[edge.source] + 1]
        others = [edge for edge in shown.edges if self.row[edge.target] != self.row[edge.source] + 1]
        by_rows = {(self.row[edge.source], self.row[edge.target]): edge for edge in others}
        weights = {rows: width(_number(edge.norm)) for rows, edge in by_rows.items()}
        laid = buses(list(by_rows), weights)
        lanes = 1 + max((bus.lane for bus in laid), default=-1)
        tagged = any(bus.lane < 0 for bus in laid)
        wide = 2 * MARGIN + self.right + lanes * LANE + (8 if lanes else 0) + (TAG if tagged else 0)
        high = self.high + 2 * MARGIN
        ground = ""
        if self.sheet.standalone:
            foot = footer.draw_footer(pen, self._caption(), shown.pass_ is not None)
            wide, top, high = max(wide, foot.width), high, high + foot.height
            ground = f'<rect {pen.fill("bg")} width="{wide:g}" height="{high:g}"/>{foot.at(wide, top)}'
        lines = "".join(map(self._straight, straight)) + "".join(self._bus(bus, by_rows) for bus in laid if bus.lane >= 0)
        boxes = "".join(map(self._box, shown.boxes))
        tags = "".join(self._tag(bus) for bus in laid if bus.lane < 0)
        name = f"Map of a backward graph of {shown.nodes:,} nodes"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="graph map" width="{wide:g}" height="{high:g}" '
            f'viewBox="0 0 {wide:g} {high:g}" role="group" aria-label="{name}" data-graph="{escape(shown.graph)}" '
            f'data-view="{escape(shown.view)}" font-family="{pen.face.sans}" font-size="{pen.size:g}">{ground}'
            f'<g class="scene" transform="translate({MARGIN} {MARGIN})">{"".join(self.frame_rects)}'
            f'<g class="edges" fill="none">{lines}</g><g class="boxes">{boxes}{tags}</g></g></svg>'
        )

    # ------------------------------------------------------------------ rows and frames

    def _frames(self, box: MapBox) -> list[str]:
        """Return the ids of the open groups around a box, the outermost first."""
        around: list[str] = []
        frame = box.frame
        while frame is not None:
            around.append(frame)
            frame = self.frames[frame].parent
        return around[::-1]

    def _place(self) -> float:
        """Place the rows from the top, and draw the frames around them. Return the height of all rows."""
        y = 0.0
        open_: list[tuple[str, float]] = []
        for box in [*self.map.boxes, None]:
            around = self._frames(box) if box is not None else []
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
                y += _height(box) + GAP
        self.frame_rects.reverse()  # outer frames are drawn first, below the inner ones
        return y - GAP

    def _frame(self, id_: str, top: float, bottom: float, depth: int) -> str:
        x, wide = depth * INDENT, self.right - depth * INDENT
        title = self.pen.small(self.frames[id_].name, x + 9, top + 15, wide - 30, "ink-2")
        around = f'data-frame="{escape(parent)}" ' if (parent := self.frames[id_].parent) is not None else ""
        return (
            f'<g class="frame" role="button" tabindex="0" aria-expanded="true" data-group="{escape(id_)}" {around}'
            f'data-view="{escape(self.frames[id_].view)}">'
            f"<title>{escape(self.frames[id_].name)}: close</title>"
            f'<rect {self.pen.paint("sunken", "line")} x="{x:g}" y="{top:g}" width="{wide:g}" height="{bottom - top:g}" '
            f'rx="8"/>{title}</g>'
        )

    def _left(self, box: MapBox) -> float:
        return len(self._frames(box)) * INDENT

    def _edge_of_box(self, box: MapBox) -> float:
        """Return the x of a box's right edge. A box in a frame ends a little before the frame."""
        return self.right - (4.0 if box.frame is not None else 0.0)

    # ------------------------------------------------------------------ boxes

    def _box(self, box: MapBox) -> str:
        pen = self.pen
        x, y = self._left(box), self.top[self.row[box.id]]
        wide, high = self._edge_of_box(box) - x, _height(box)
        folded = box.turns is not None
        size = f'width="{wide:g}" height="{high:g}" rx="6"'
        behind = f'<rect {pen.paint("surface", "line-2")} x="3" y="3" {size}/>' if folded else ""
        selected = box.node is not None and box.node == self.sheet.selected
        outline = pen.paint("surface", "ink") + ' stroke-width="2"' if selected else pen.paint("surface", "line-2")
        turns = f"× {box.turns:,}" if folded else ""
        counts = ", ".join(filter(None, (turns, f"{box.nodes:,} nodes" if box.nodes > 1 else "")))
        room = wide - NUMBERS - 16 - (pen.wide(counts) + 8 if counts else 0)
        norm = self._norm(box.arrives, wide) if self.map.pass_ is not None else ""
        names = f"box {box.kind}" + (" selected" if selected else "")
        attributes = [f'class="{names}"', f'data-group="{escape(box.id)}"']
        if box.node is not None:
            attributes.append(f'data-node="{box.node}"')
        if box.line is not None:
            attributes.append(f'data-line="{box.line}"')
        if box.frame is not None:
            attributes.append(f'data-frame="{escape(box.frame)}"')
        if box.ran is not None:
            attributes.append(f'data-first="{box.ran[0]}" data-last="{box.ran[1]}"')
        role = ' role="img"'
        if box.view is not None:
            role = f' role="button" tabindex="0" aria-expanded="false" data-view="{escape(box.view)}"'
        return (
            f'<g {" ".join(attributes)}{role} transform="translate({x:g} {y:g})"><title>{escape(_described(box))}</title>'
            f"{behind}<rect {outline} {size}/>"
            f"{pen.title(box.name, room, 10, 18)}{pen.right(counts, wide - NUMBERS - 6, 18)}{norm}{self._bars(box, wide)}</g>"
        )

    def _norm(self, norm: MapNorm, wide: float) -> str:
        value = _number(norm)
        if value is None:
            return self.pen.right("–", wide - 10, 18)
        bad = not math.isfinite(value)
        text = ("" if norm.exact else "≈ ") + numerals.typeset(numerals.number(norm.value, 3))
        share = scale_position(value) or 0.0
        long = (NUMBERS - 10) * share
        bar = f'<rect {self.pen.fill("grad-fill")} x="{wide - NUMBERS:g}" y="20" width="{long:.1f}" height="4"/>'
        return (
            f'<text {self.pen.fill("bad" if bad else "grad", "mono ")} x="{wide - 10:g}" y="15" text-anchor="end" '
            f'font-family="{self.pen.face.mono}" data-field="grad">{escape(text)}</text>{"" if bad else bar}'
        )

    def _bars(self, box: MapBox, wide: float) -> str:
        """Return a bar for each turn of a loop, the last turn first as in the whole picture, and a text that explains them."""
        if not box.series:
            return ""
        series = box.series[0]
        shown = _fewer(series.norms)[::-1]
        step = min((wide - 20) / len(shown), WIDEST_BAR)
        bottom = HIGH + BARS_HIGH - 16
        path = []
        for index, norm in enumerate(shown):
            share = 0.0 if norm is None else scale_position(float(norm)) or 0.0
            tall = 1.0 + share * (BARS_HIGH - 20)
            path.append(f"M{10 + index * step:.1f} {bottom:g}v-{tall:.1f}h{max(step * 0.8, 0.5):.2f}v{tall:.1f}z")
        bars = f'<path {self.pen.fill("grad-fill")} d="{"".join(path)}"/>'
        return bars + self.pen.small(_explained(series), 10, HIGH + BARS_HIGH - 4, wide - 20, "ink-2")

    # ------------------------------------------------------------------ edges

    def _straight(self, edge: MapEdge) -> str:
        source, target = self.row[edge.source], self.row[edge.target]
        box = self.map.boxes[source]
        top, bottom = self.top[source] + _height(box), self.top[target]
        x = self.right / 2 + 20
        count = self.pen.small(f"{edge.count:,}", x + 7, (top + bottom) / 2 + 4, 60) if edge.count > 1 else ""
        return self._edge(edge, f"M{x:g} {top:g}V{bottom:g}", count)

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
            parts.append(self._edge(edge, path, "", LANE_THICK))
        return "".join(parts)

    def _edge(self, edge: MapEdge, path: str, more: str, thickest: float = math.inf) -> str:
        norm = _number(edge.norm)
        if edge.gradient and self.map.pass_ is not None:
            name = level(norm)
            look = f'class="shaft {name}" stroke="{self.pen.level(name)}" stroke-width="{min(width(norm), thickest):g}"'
        else:
            token = "ink-3" if edge.gradient else "line-2"
            look = f'class="s-{token}" stroke="{self.pen.tokens[token]}"'
        ends = f'data-source="{escape(edge.source)}" data-target="{escape(edge.target)}"'
        title = f"{self._name(edge.source)} → {self._name(edge.target)}: {_described_edge(edge)}"
        return f'<g class="link" role="img" {ends}><title>{escape(title)}</title><path d="{path}" {look}/>{more}</g>'

    def _tag(self, bus: Bus) -> str:
        """Name the target of edges without a lane at each of their sources."""
        name = f"→ {self.map.boxes[bus.target].name}"
        return "".join(self.pen.small(name, self.right + 8, self.top[source] + 18, TAG + 100) for source in bus.sources)

    def _name(self, id_: str) -> str:
        return self.map.boxes[self.row[id_]].name

    def _caption(self) -> str:
        if self.map.pass_ is None:
            return "No backward pass reached this graph"
        return f"Map of {self.map.nodes:,} nodes, pass {self.map.pass_}"


def _height(box: MapBox) -> float:
    return HIGH + (BARS_HIGH if box.series else 0)


def _number(norm: MapNorm) -> float | None:
    return None if norm.value is None else float(norm.value)


def _fewer(norms: list[float | str | None]) -> list[float | str | None]:
    """Return at most :data:`MOST_BARS` norms, each the largest of some neighbours."""
    if len(norms) <= MOST_BARS:
        return norms
    size = math.ceil(len(norms) / MOST_BARS)
    chunks = [norms[start : start + size] for start in range(0, len(norms), size)]
    return [max(chunk, key=lambda norm: -1.0 if norm is None else float(norm)) for chunk in chunks]


def _explained(series: MapSeries) -> str:
    """Return the text that explains the bars of a series.

    >>> _explained(MapSeries("h", [0.1, 1.0], 0.1, 1.0, 0.1))
    'h 0.100 … 1.000, ÷ 10 per turn'
    """
    low, high = (numerals.typeset(numerals.number(each, 3)) for each in (series.least, series.greatest))
    text = f"{series.name} {low} … {high}" if low != high else f"{series.name} {low} in every turn"
    factor = series.per_turn
    if factor is None or low == high or not math.isfinite(factor) or factor <= 0 or abs(math.log(factor)) < 0.005:
        return text
    sign, shown = ("÷", 1 / factor) if factor < 1 else ("×", factor)
    short = f"{shown:.3g}" if shown < 1000 else numerals.typeset(numerals.number(shown, 3))
    return f"{text}, {sign} {short} per turn"


def _described(box: MapBox) -> str:
    parts = [box.name, f"{box.nodes:,} nodes" if box.nodes > 1 else ""]
    if box.turns is not None:
        parts.append(f"{box.turns:,} turns")
    if box.line is not None:
        parts.append(f"line {box.line}")
    for label, norm in (("gradient that arrives", box.arrives), ("passed on", box.leaves), ("of its leaves", box.parameters)):
        if norm.value is not None:
            parts.append(f"{label} {'' if norm.exact else 'about '}{norm.value}")
    return ", ".join(filter(None, dict.fromkeys(parts)))


def _described_edge(edge: MapEdge) -> str:
    edges = "1 edge" if edge.count == 1 else f"{edge.count:,} edges"
    if not edge.gradient:
        return f"{edges}, needs no gradient"
    into = f" into {numerals.count_of(edge.tensors, 'tensor')}" if edge.count > 1 else ""
    norm = "" if edge.norm.value is None else f", gradient {'' if edge.norm.exact else 'about '}{edge.norm.value}"
    return f"{edges}{into}{norm}"
