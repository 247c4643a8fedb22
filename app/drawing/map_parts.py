"""Draw the parts of a map that all its layouts share: boxes, frames, edges, and the picture around them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from ..model import GraphMap, MapBox, MapEdge, MapLeaf, MapNorm
from . import footer, measure
from . import map_texts as texts
from .pen import TITLE, Pen, escape, pen
from .sheet import Sheet
from .style import level, scale_position, width

MARGIN: Final = 16
HIGH: Final = 28.0
BARS_HIGH: Final = 44.0
"""Height of the bars in the box of a loop."""
HEADER: Final = 22.0
"""Height of the name of an open group."""
LANE: Final = 9.0
LANE_THICK: Final = 4.0
"""Largest width of an edge in a lane."""
NUMBERS: Final = 66.0
"""Room for the norm at the right of a box."""
TAG: Final = 110.0
"""Room for the names of the targets of edges that have no lane."""
WIDEST_BAR: Final = 22.0
LEAF: Final = (150, 24)
"""Width and height of a leaf, in pixels."""
STUB: Final = (96, 24)
"""Width and height of a stub, which refers to a leaf that is drawn elsewhere."""
MOST_BARS: Final = 200


class MapParts:
    """Draws the parts of one map in one look."""

    def __init__(self, sheet: Sheet, shown: GraphMap) -> None:
        self.sheet = sheet
        self.map = shown
        self.pen: Pen = pen(sheet.theme, sheet.face)
        self.row = {box.id: index for index, box in enumerate(shown.boxes)}
        self.frames = {frame.id: frame for frame in shown.frames}
        self.sights = leaf_sights(shown)
        """The leaf that is drawn at each box, by the id of the box."""
        self._shared = Counter(box for leaf in shown.leaves for box in leaf.boxes)
        self._shared.subtract(self.sights.keys())

    def around(self, box: MapBox) -> list[str]:
        """Return the ids of the open groups around a box, the outermost first."""
        around: list[str] = []
        frame = box.frame
        while frame is not None:
            around.append(frame)
            frame = self.frames[frame].parent
        return around[::-1]

    def picture(self, scene: str, wide: float, high: float, layout: str, note: str = "") -> str:
        """Return the SVG of a scene of ``wide`` by ``high`` pixels. ``layout`` names its layout; ``note`` ends the caption."""
        shown, pen = self.map, self.pen
        wide, high = wide + 2 * MARGIN, high + 2 * MARGIN
        ground = ""
        if self.sheet.standalone:
            caption = ", ".join(filter(None, (self._caption(), note)))
            foot = footer.draw_footer(pen, caption, shown.pass_ is not None)
            wide, top, high = max(wide, foot.width), high, high + foot.height
            ground = f'<rect {pen.fill("bg")} width="{wide:g}" height="{high:g}"/>{foot.at(wide, top)}'
        name = f"Map of a backward graph of {shown.nodes:,} nodes"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="graph map" width="{wide:g}" height="{high:g}" '
            f'viewBox="0 0 {wide:g} {high:g}" role="group" aria-label="{name}" data-graph="{escape(shown.graph)}" '
            f'data-view="{escape(shown.view)}" data-layout="{layout}" font-family="{pen.face.sans}" '
            f'font-size="{pen.size:g}">{ground}'
            f'<g class="scene" transform="translate({MARGIN} {MARGIN})">{scene}</g></svg>'
        )

    def frame(self, id_: str, x: float, y: float, wide: float, high: float) -> str:
        """Return the frame of an open group, with its name."""
        title = self.pen.small(self.frames[id_].name, x + 9, y + 15, wide - 18, "ink-2")
        around = f'data-frame="{escape(parent)}" ' if (parent := self.frames[id_].parent) is not None else ""
        return (
            f'<g class="frame" role="button" tabindex="0" aria-expanded="true" data-group="{escape(id_)}" {around}'
            f'data-view="{escape(self.frames[id_].view)}">'
            f"<title>{escape(self.frames[id_].name)}: close</title>"
            f'<rect {self.pen.paint("sunken", "line")} x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" '
            f'rx="8"/>{title}</g>'
        )

    # ------------------------------------------------------------------ boxes

    def box(self, box: MapBox, x: float, y: float, wide: float) -> str:
        """Return a box at a position."""
        pen = self.pen
        high = height(box)
        folded = box.turns is not None
        size = f'width="{wide:g}" height="{high:g}" rx="6"'
        behind = f'<rect {pen.paint("surface", "line-2")} x="3" y="3" {size}/>' if folded else ""
        selected = box.node is not None and box.node == self.sheet.selected
        outline = pen.paint("surface", "ink") + ' stroke-width="2"' if selected else pen.paint("surface", "line-2")
        shared = f"{count} shared" if (count := self._shared[box.id]) > 0 else ""
        counts, room = self._shared_room(box.name, [*texts.counts(box, wide), *filter(None, [shared])], wide - NUMBERS - 16)
        norm = self._norm(box.arrives, wide) if self.map.pass_ is not None else ""
        names = f"box {box.kind}" + (" selected" if selected else "")
        attributes = [f'class="{names}"', f'data-group="{escape(box.id)}"']
        if box.node is not None:
            attributes.append(f'data-node="{box.node}"')
        if box.transposes:
            attributes.append(f'data-transposes="{" ".join(box.transposes)}"')
        if box.line is not None:
            attributes.append(f'data-line="{box.line}"')
        if box.frame is not None:
            attributes.append(f'data-frame="{escape(box.frame)}"')
        if box.ran is not None:
            attributes.append(f'data-first="{box.ran[0]}" data-last="{box.ran[1]}"')
        about = [name for name, norm in (("passed-on", box.passed_on), ("parameters", box.parameters)) if not norm.exact]
        if about:
            attributes.append(f'data-about="{" ".join(about)}"')
        role = ' role="img"'
        if box.view is not None:
            role = f' role="button" tabindex="0" aria-expanded="false" data-view="{escape(box.view)}"'
        title = f"<title>{escape(texts.described_box(box))}</title>"
        return (
            f'<g {" ".join(attributes)}{role} transform="translate({x:g} {y:g})">{title}'
            f"{behind}<rect {outline} {size}/>"
            f"{pen.title(box.name, room, 10, 18)}{pen.right(counts, wide - NUMBERS - 6, 18)}{norm}{self._bars(box, wide)}</g>"
        )

    def _shared_room(self, name: str, counts: list[str], room: float) -> tuple[str, float]:
        """Return the part of the counts that fits beside a name, and the room that is left for the name."""
        pen = self.pen
        least = min(pen.wide(name, TITLE, bold=True), 0.6 * room)
        while len(counts) > 1 and pen.wide(", ".join(counts)) > room - least - 8:
            counts = counts[:-1]
        text = measure.fit(", ".join(counts), room - least - 8, pen.size, mono=pen.face.fixed)
        return text, room - (pen.wide(text) + 8 if text else 0)

    # ------------------------------------------------------------------ leaves

    def leaf(self, sight: LeafSight, x: float, y: float) -> str:
        """Return a leaf, or a stub that refers to it, at a position."""
        pen, leaf = self.pen, sight.leaf
        wide, high = STUB if sight.stub else LEAF
        norm = "" if sight.stub or self.map.pass_ is None else self._norm_text(leaf.arrives, wide - 9, 16)
        names = "leaf" + (" stub" if sight.stub else "") + (" selected" if leaf.node == self.sheet.selected else "")
        outline = ' stroke-width="2"' if leaf.node == self.sheet.selected else ""
        room = wide - (20 if sight.stub else NUMBERS + 12)
        name = measure.fit(texts.short_name(leaf.name), room, pen.size, mono=pen.face.fixed)
        return (
            f'<g class="{names}" data-node="{leaf.node}" role="img" transform="translate({x:g} {y:g})">'
            f"<title>{escape(texts.described_leaf(leaf))}</title>"
            f'<rect {pen.paint("param-tint", "param-fill")}{outline} width="{wide}" height="{high}" rx="{high / 2:g}"/>'
            f'<text {pen.fill("param")} x="10" y="16">{escape(name)}</text>{norm}</g>'
        )

    def leaf_line(self, path: str) -> str:
        """Return the line from a box to one of its leaves."""
        return f'<path d="{path}" class="s-param-fill" stroke="{self.pen.tokens["param-fill"]}" stroke-width="1"/>'

    # ------------------------------------------------------------------ numbers

    def _norm(self, norm: MapNorm, wide: float) -> str:
        value = norm_of(norm)
        long = (NUMBERS - 10) * ((None if value is None else scale_position(value)) or 0.0)
        bar = (
            f'<rect {self.pen.fill("grad-fill")} x="{wide - NUMBERS:g}" y="20" width="{long:.1f}" height="4" data-field="bar"/>'
        )
        return self._norm_text(norm, wide - 10, 15, "–") + bar

    def _norm_text(self, norm: MapNorm, right: float, y: float, missing: str = "") -> str:
        value = norm_of(norm)
        text = missing if value is None else ("" if norm.exact else "≈ ") + texts.value(norm)
        tone = "ink-3" if value is None else "grad" if math.isfinite(value) else "bad"
        return (
            f'<text {self.pen.fill(tone, "mono ")} x="{right:g}" y="{y:g}" '
            f'text-anchor="end" font-family="{self.pen.face.mono}" data-field="grad">{escape(text)}</text>'
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
        size = f'data-turns="{len(series.norms)}" data-step="{step:.10g}"'
        bars = f'<path {self.pen.fill("grad-fill")} {size} d="{"".join(path)}"/>'
        return bars + self.pen.small(texts.explained(series), 10, HIGH + BARS_HIGH - 4, wide - 20, "ink-2", "series")

    # ------------------------------------------------------------------ edges

    def edge(self, edge: MapEdge, path: str, more: str, thickest: float = math.inf) -> str:
        """Return the SVG of an edge along a path, followed by the SVG ``more``."""
        norm = norm_of(edge.norm)
        if edge.gradient and self.map.pass_ is not None:
            name = level(norm)
            look = f'class="shaft {name}" stroke="{self.pen.level(name)}" stroke-width="{min(width(norm), thickest):g}"'
            look += f' data-thickest="{thickest:g}"' if math.isfinite(thickest) else ""
            look += ' stroke-dasharray="7 3"' if edge.kind == "formula" else ""
        else:
            token = "ink-3" if edge.gradient else "line-2"
            look = f'class="s-{token}" stroke="{self.pen.tokens[token]}"'
        ends = f'data-source="{escape(edge.source)}" data-target="{escape(edge.target)}"'
        title = f"{self.name(edge.source)} → {self.name(edge.target)}: {texts.described_edge(edge)}"
        ends += "" if edge.norm.exact else ' data-about="gradient"'
        return f'<g class="link" role="img" {ends}><title>{escape(title)}</title><path d="{path}" {look}/>{more}</g>'

    def name(self, id_: str) -> str:
        """Return the name of a box."""
        return self.map.boxes[self.row[id_]].name

    def _caption(self) -> str:
        if self.map.pass_ is None:
            return "No backward pass is shown"
        return f"Map of {self.map.nodes:,} nodes, pass {self.map.pass_}"


@dataclass(frozen=True, slots=True)
class LeafSight:
    """A leaf at a box that uses it. The leaf itself is at the last of its boxes; the others have stubs."""

    leaf: MapLeaf
    box: str
    stub: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return STUB if self.stub else LEAF


def leaf_sights(shown: GraphMap) -> dict[str, LeafSight]:
    """Return the leaf that is drawn at each box, if there is one. Of several leaves, the one that most boxes use is drawn."""
    found: dict[str, LeafSight] = {}
    for leaf in sorted(shown.leaves, key=lambda leaf: -len(leaf.boxes)):
        last = leaf.boxes[-1]
        if last in found:
            continue
        for box in leaf.boxes if leaf.stubs else [last]:
            found.setdefault(box, LeafSight(leaf, box, box != last))
    return found


def height(box: MapBox) -> float:
    """Return the height of a box."""
    return HIGH + (BARS_HIGH if box.series else 0)


def norm_of(norm: MapNorm) -> float | None:
    """Return a norm as a number."""
    return None if norm.value is None else float(norm.value)


def _fewer(norms: list[float | str | None]) -> list[float | str | None]:
    """Return at most :data:`MOST_BARS` norms. If there are more, return the largest norm of each group of neighbours."""
    if len(norms) <= MOST_BARS:
        return norms
    size = math.ceil(len(norms) / MOST_BARS)
    chunks = [norms[start : start + size] for start in range(0, len(norms), size)]
    return [max(chunk, key=lambda norm: -1.0 if norm is None else float(norm)) for chunk in chunks]
