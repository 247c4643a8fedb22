"""Write a layout and the numbers of a pass as SVG: for files, for pages, and as the source of PNG and PDF.

The look is set by presentation attributes only, because a strict content security policy blocks ``style=""`` and ``<style>`` in
an inline SVG. Each colour also has a class, so that a page's stylesheet (:func:`~tapedeck.drawing.style.css`) can change it.

A script can write the numbers of another step into the same picture. For that, groups have ``data-node``, ``data-edge`` and
``data-line``, and nodes have ``data-remarks``, the last lines of their tooltips. Texts with numbers have ``data-field``
(``value`` or ``grad``) and ``data-room``, the number of characters that fit. The ``.shaft`` of an edge has ``data-length``: its
dashes end inside the ``.head``, whose ``scale`` depends on the norm. :func:`~tapedeck.drawing.style.legend` has the
lengths and scales of arrowheads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from ..model import Edge, TensorSummary, program_lines
from ..recording import edge_factor
from . import card, footer, labels, numerals
from .graph_layout import PlacedBox, Route
from .pen import escape, pen
from .sheet import PlacedSheet
from .style import HEAD_HALF, HEAD_LENGTH, head, level, width

MARGIN: Final = 16
MOST_FACTOR: Final = 150
"""Largest width in pixels of a local derivative beside a gradient. A longer one is left out."""


def draw(placed: PlacedSheet) -> str:
    """Return the SVG of a sheet whose graph has been laid out."""
    return _SvgWriter(placed).write()


class _SvgWriter:
    def __init__(self, placed: PlacedSheet) -> None:
        self.sheet = sheet = placed.sheet
        self.layout = placed.layout
        self.graph = sheet.graph
        self.numbers = sheet.numbers
        self.pen = pen(sheet.theme, sheet.face)
        self.roots = set(self.graph.roots)
        self.program = labels.ProgramText(sheet.program)
        self.titles = {node.id: self.program.title(node) for node in self.graph.nodes}
        self.sums = sums(self.graph.edges)
        self.lines = program_lines(sheet.program)
        self.ran: set[int] = set()
        if self.numbers is not None:
            self.ran.update(np.frombuffer(self.numbers.event.order, "<i4").tolist())
        self._digits: dict[int, str] = {}
        self._contents: dict[int, tuple[card.CardContent, str, str]] = {}

    def write(self) -> str:
        graph, layout, pen = self.graph, self.layout, self.pen
        wide, high = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
        left, ground = float(MARGIN), ""
        if self.sheet.standalone:
            foot = footer.draw_footer(pen, self.caption(), self.numbers is not None)
            left += max(0.0, (foot.width - wide) / 2)
            wide, top, high = max(wide, foot.width), high, high + foot.height
            ground = f'<rect {pen.fill("bg")} width="{wide:g}" height="{high:g}"/>{foot.at(wide, top)}'
        name = f"Backward graph of {labels.graph_title(graph, self.program)}: {labels.graph_size(graph)}"
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{wide:g}" height="{high:g}" '
            f'viewBox="0 0 {wide:g} {high:g}" role="group" aria-label="{escape(name)}" data-graph="{escape(graph.id)}" '
            f'font-family="{pen.face.sans}" font-size="{pen.size:g}">{ground}'
            f'<g class="scene" transform="translate({left:g} {MARGIN})">'
        )
        edges, nodes = "".join(map(self.edge, layout.routes)), "".join(map(self.node, layout.boxes))
        return f'{opening}<g class="edges" fill="none">{edges}</g><g class="nodes">{nodes}</g></g></svg>'

    def caption(self) -> str:
        """Return one line that names the pass."""
        if self.numbers is None:
            return "No backward pass is shown"
        return f"step {self.numbers.event.step}, {labels.pass_title(self.numbers)}"

    def edge(self, route: Route) -> str:
        edge = self.graph.edges[route.link.edge]
        summary = None if self.numbers is None or not edge.gradient else self.numbers.edge(route.link.edge)
        ends_title = f"{escape(self.titles[edge.source])} → {escape(self.titles[edge.target])}"
        gradient = ""
        ends = f'data-edge="{edge.id}" data-source="{edge.source}" data-target="{edge.target}"'
        if not edge.gradient or (self.numbers is not None and summary is None):
            why = "no gradient in this pass" if edge.gradient else "needs no gradient"
            return f'<g class="edge none" role="img" {ends}><title>{ends_title}: {why}</title>{self.dashed(route, edge)}</g>'
        if summary is not None:
            gradient = f": gradient {self.all_digits(summary)}"
        return (
            f'<g class="edge" role="img" {ends}><title>{ends_title}{gradient}</title>'
            f"{self.arrow(route, summary)}{self.label(route, summary)}</g>"
        )

    def all_digits(self, summary: TensorSummary | None) -> str:
        """Return a tensor with all its digits. The result is cached, because an edge and its node often share a gradient."""
        text = self._digits.get(id(summary))
        if text is None:
            text = self._digits[id(summary)] = escape(numerals.all_digits(summary))
        return text

    def arrow(self, route: Route, summary: TensorSummary | None) -> str:
        """Return a shaft whose width and colour show the size of the gradient, and its head."""
        norm = None if summary is None or summary.norm is None else float(summary.norm)
        thick, name = width(norm), level(norm)
        scale = head(thick)
        if self.numbers is None:  # without gradients, arrows are dark enough to be seen
            ink = self.pen.tokens["ink-3"]
            shaft, tip = f'class="shaft s-ink-3" stroke="{ink}"', f'class="head f-ink-3" fill="{ink}"'
        else:
            colour = self.pen.level(name)
            shaft, tip = f'class="shaft {name}" stroke="{colour}"', f'class="head {name}" fill="{colour}"'
        shown = max(0.0, route.length - scale * HEAD_LENGTH + 1)  # a longer shaft would show beside the tip
        return (
            f'<path d="{route.path}" {shaft} stroke-width="{thick:g}" '
            f'stroke-dasharray="{shown:.1f} {route.length + 9:.1f}" data-length="{route.length:g}"/>'
            f'<g transform="{route.arrival}">'
            f'<path d="M0 0L-{HEAD_LENGTH:g} {HEAD_HALF:g}V-{HEAD_HALF:g}Z" {tip} '
            f'transform="scale({scale:.2f})"/></g>'
        )

    def dashed(self, route: Route, edge: Edge) -> str:
        """Return the dashed line of an edge without a gradient, with a slash across it if the program called ``detach()``."""
        stroke = f'class="s-line-2" stroke="{self.pen.tokens["line-2"]}"'
        line = f'<path d="{route.path}" {stroke} stroke-dasharray="4 3"/>'
        call = self.graph.nodes[int(edge.target[1:])].call
        if call is None or not call.rpartition(".")[2].startswith("detach"):
            return line
        x, y = route.middle
        slash = f'class="slash s-ink-3" stroke="{self.pen.tokens["ink-3"]}" stroke-width="1.5"'
        return f'{line}<path d="M{x - 4:g} {y + 7:g}L{x + 4:g} {y - 7:g}" {slash}/>'

    def label(self, route: Route, summary: TensorSummary | None) -> str:
        """Return the text of the gradient on an edge, with an outline that hides lines behind it."""
        if route.label is None or summary is None:
            return ""
        if self.sheet.density == "compact" and self.sheet.direction != "LR":
            return self.compact_label(route, route.label, summary)
        token = "bad" if numerals.is_nonfinite(summary) else "grad"
        x, y = route.label
        if self.sheet.direction == "LR":
            position = f'x="{x + route.link.label / 2:g}" y="{y:g}" text-anchor="middle"'
        else:
            position = f'x="{x + 12:g}" y="{y + 4:g}"'
        room = card.room(route.link.label - 12)
        text = numerals.typeset(numerals.edge_text(summary, room))
        factor = self.factor(route, summary) if self.sheet.direction != "LR" else None
        if factor:
            position = f'x="{x + 12:g}" y="{y - 2:g}"'
        return self.gradient_text(token, position, room, text) + (self.factor_text(factor, x + 12, y + 11) if factor else "")

    def compact_label(self, route: Route, at: tuple[float, float], summary: TensorSummary) -> str:
        """Return the local derivative and the gradient of an edge in one line."""
        token = "bad" if numerals.is_nonfinite(summary) else "grad"
        x, y = at[0] + 12, at[1] + 4
        factor, before = self.factor(route, summary), ""
        if factor and (wide := self.pen.wide(factor) + 8) <= MOST_FACTOR:
            before = self.factor_text(factor, x, y)
            x += wide
        room = card.room(at[0] + route.link.label - x)
        text = numerals.typeset(numerals.edge_text(summary, room))
        return before + self.gradient_text(token, f'x="{x:g}" y="{y:g}"', room, text)

    def gradient_text(self, token: str, position: str, room: int, text: str) -> str:
        """Return the text of a gradient at an edge, into which a script may write up to ``room`` characters."""
        return (
            f'<text {self.pen.paint(token, "bg", "mono ")} {position} stroke-width="3" stroke-linejoin="round" '
            f'paint-order="stroke" font-family="{self.pen.face.mono}" data-field="grad" '
            f'data-room="{room}">{escape(text)}</text>'
        )

    def factor_text(self, factor: str, x: float, y: float) -> str:
        """Return the text of a local derivative at an edge."""
        return (
            f'<text {self.pen.paint("ink-3", "bg", "factor ")} x="{x:g}" y="{y:g}" stroke-width="3" '
            f'stroke-linejoin="round" paint-order="stroke">{escape(factor)}</text>'
        )

    def factor(self, route: Route, summary: TensorSummary) -> str | None:
        """Return the local derivative of an edge in terms of the program's text, ``None`` if it is uncertain."""
        assert self.numbers is not None
        edge = self.graph.edges[route.link.edge]
        source, target = int(edge.source[1:]), int(edge.target[1:])
        ends = self.graph.nodes[source], self.graph.nodes[target]
        found = edge_factor(self.lines, ends, summary, self.numbers.used(source))
        return found.text if found else None

    def content(self, index: int) -> tuple[card.CardContent, str, str]:
        """Return the content of a node's card, its tooltip, and the attribute with the tooltip's remarks.

        The result is cached for all boxes of the node.
        """
        if cached := self._contents.get(index):
            return cached
        node, numbers = self.graph.nodes[index], self.numbers
        value, grads, hooked = self.sheet.values.get(index), list[TensorSummary | None](), False
        if numbers is not None:
            value = numbers.value(index)
            for output in range(node.outputs):
                arrived, used = numbers.arrived(index, output), numbers.used(index, output)
                hooked = hooked or (used is not None and used is not arrived and used != arrived)
                grads.append(used if node.kind == "leaf" else arrived)
        content = card.CardContent(
            node=node,
            title=self.titles[node.id],
            recorded=numbers is not None,
            value=value,
            label=labels.gradient_label(node, numbers.event.kind if numbers is not None else "backward"),
            grads=grads,
            sum=self.sums.get(node.id, 0),
            hooked=hooked,
            root=node.id in self.roots,
            selected=node.id == self.sheet.selected,
            accumulated=node.parameter in self.sheet.accumulated,
            failed=numbers is not None and numbers.event.failed == index,
        )
        remarks = list(_remarks(content))
        attribute = f' data-remarks="{"&#10;".join(remarks)}"' if remarks else ""
        described = self._contents[index] = content, "\n".join([*self.tooltip(content), *remarks]), attribute
        return described

    def node(self, placed: PlacedBox) -> str:
        box = placed.box
        content, tooltip, remarks = self.content(box.node)
        node = content.node
        idle = self.numbers is not None and node.kind == "op" and box.node not in self.ran and not content.failed
        states = (("selected", content.selected), ("stub", box.edge >= 0), ("idle", idle), ("failed", content.failed))
        flags = (("root", content.root), *states)
        attributes = [f'class="{" ".join(["node", node.kind, *(name for name, on in flags if on)])}" data-node="{node.id}"']
        if box.edge >= 0:
            attributes.append(f'data-edge="{self.graph.edges[box.edge].id}"')
        if node.line is not None and node.file is None:
            attributes.append(f'data-line="{node.line}"')
        if idle:
            attributes.append('opacity="0.5"')
        return (
            f'<g {" ".join(attributes)}{remarks} role="img" transform="translate({placed.x:g} {placed.y:g})">'
            f"<title>{tooltip}</title>{card.body(self.pen, box, content)}</g>"
        )

    def tooltip(self, content: card.CardContent) -> Iterator[str]:
        """Yield the lines of a node's tooltip before the remarks, escaped and with all digits."""
        node = content.node
        yield escape(content.title)
        yield escape(f"{labels.subtitle(node)}, {location}" if (location := labels.location(node)) else labels.subtitle(node))
        if content.value is not None:
            yield f"value {self.all_digits(content.value)}"
        label = escape(content.label)
        for output, gradient in enumerate(content.grads):
            yield f"{label}{f' {output}' if len(content.grads) > 1 else ''} {self.all_digits(gradient)}"


def _remarks(content: card.CardContent) -> Iterator[str]:
    """Yield the lines at the end of a node's tooltip."""
    if content.sum:
        yield f"the sum of {content.sum} gradients"
    if content.failed:
        yield "it raised an error: the pass stopped here"
    if content.hooked:
        yield "a hook changed the gradient"


def sums(edges: list[Edge]) -> dict[str, int]:
    """Return the largest number of gradients summed at one output of each node. Nodes without a sum are left out."""
    found: dict[str, int] = {}
    for (target, _), count in labels.gradients_per_output(edges).items():
        if count > 1:
            found[target] = max(count, found.get(target, 0))
    return found
