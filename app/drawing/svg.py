"""Write a layout and the numbers of a pass as SVG: the one writer, for files, for pages and for what PNG and PDF are made of.

Looks are presentation attributes only, because a strict content security policy blocks ``style=""`` and ``<style>`` in an
inline SVG. Classes stand beside them, so that a page's own sheet (:func:`~tapedeck.drawing.style.css`) can re-theme one.

What a script needs in order to write another step into the same picture: ``data-node``, ``data-edge`` and ``data-line`` on
groups; ``data-field`` (``value``, ``grad``) on the texts that change, with the characters that have room there in
``data-room``; ``data-length`` on an edge's ``.shaft``, whose dashes
end it inside its ``.head``, and the head's ``scale``. How both follow from a norm is told by
:func:`~tapedeck.drawing.style.legend`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from ..model import Edge, Graph, TensorSummary
from ..recording import PassNumbers
from . import card, footer, labels, numerals
from .engine import GraphLayout, PlacedBox, Route
from .pen import BROWSER, Face, Pen, escape, pen
from .style import HEAD_HALF, HEAD_LENGTH, Direction, Theme, head, level, width

MARGIN: Final = 16


def draw(
    layout: GraphLayout,
    graph: Graph,
    numbers: PassNumbers | None,
    *,
    theme: Theme = "light",
    direction: Direction = "TB",
    selected: str | None = None,
    standalone: bool = True,
    program: str = "",
    face: Face = BROWSER,
    accumulated: frozenset[str] = frozenset(),
) -> str:
    """The picture. ``program`` is the text that nodes point into, ``selected`` the id of a node, ``accumulated`` the ids of
    parameters that had a gradient before this pass added to it. Without ``numbers`` it is structure only. ``standalone``
    gives it a ground and its key.
    """
    return _Writer(layout, graph, numbers, pen(theme, face), direction, selected, program, accumulated).write(standalone)


class _Writer:
    def __init__(
        self,
        layout: GraphLayout,
        graph: Graph,
        numbers: PassNumbers | None,
        pen: Pen,
        direction: Direction,
        selected: str | None,
        program: str,
        accumulated: frozenset[str],
    ) -> None:
        self.layout = layout
        self.graph = graph
        self.numbers = numbers
        self.pen = pen
        self.direction = direction
        self.selected = selected
        self.accumulated = accumulated
        self.roots = set(graph.roots)
        self.source = labels.ProgramText(program)
        titles = [self.source.title(node) for node in graph.nodes]
        self.titles = {node.id: title for node, title in zip(graph.nodes, titles, strict=True)}
        self.sums = sums(graph.edges)
        self.told_in_full: dict[int, str] = {}
        self.known: dict[int, tuple[card.CardContent, str]] = {}
        self.ran: set[int] = set(np.frombuffer(numbers.event.order, "<i4").tolist()) if numbers is not None else set()

    def write(self, standalone: bool) -> str:
        graph, layout, pen = self.graph, self.layout, self.pen
        wide, high = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
        left, ground = float(MARGIN), ""
        if standalone:
            foot = footer.draw_footer(pen, self.told(), self.numbers is not None)
            left += max(0.0, (foot.width - wide) / 2)
            wide, top, high = max(wide, foot.width), high, high + foot.height
            ground = f'<rect {pen.fill("bg")} width="{wide:g}" height="{high:g}"/>{foot.at(wide, top)}'
        size = f"{numerals.count_of(len(graph.nodes), 'node')}, {numerals.count_of(len(graph.edges), 'edge')}"
        name = f"Backward graph of {labels.graph_title(graph, self.source)}: {size}"
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{wide:g}" height="{high:g}" '
            f'viewBox="0 0 {wide:g} {high:g}" role="group" aria-label="{escape(name)}" data-graph="{escape(graph.id)}" '
            f'font-family="{pen.face.sans}" font-size="{pen.size:g}">{ground}'
            f'<g class="scene" transform="translate({left:g} {MARGIN})">'
        )
        edges, nodes = "".join(map(self.edge, layout.routes)), "".join(map(self.node, layout.places))
        return f'{opening}<g class="edges" fill="none">{edges}</g><g class="nodes">{nodes}</g></g></svg>'

    def told(self) -> str:
        """One line about the pass."""
        if self.numbers is None:
            return "No backward pass reached this graph"
        event = self.numbers.event
        line = f" on line {event.line}" if event.line >= 0 else ""
        return f"step {event.step}, {labels.PASS_NAMES[event.kind]}{line}"

    def edge(self, route: Route) -> str:
        edge = self.graph.edges[route.link.edge]
        summary = None if self.numbers is None or not edge.gradient else self.numbers.edge(route.link.edge)
        told = f"{escape(self.titles[edge.source])} → {escape(self.titles[edge.target])}"
        gradient = ""
        ends = f'data-edge="{edge.id}" data-source="{edge.source}" data-target="{edge.target}"'
        if not edge.gradient or (self.numbers is not None and summary is None):
            why = "no gradient in this pass" if edge.gradient else "needs no gradient"
            return f'<g class="edge none" role="img" {ends}><title>{told}: {why}</title>{self.dashed(route, edge)}</g>'
        if summary is not None:
            gradient = f": gradient {self.full(summary)}"
        return (
            f'<g class="edge" role="img" {ends}><title>{told}{gradient}</title>'
            f"{self.arrow(route, summary)}{self.label(route, summary)}</g>"
        )

    def full(self, summary: TensorSummary | None) -> str:
        """A tensor with all its digits; what stands on an edge and at its end is often the same one."""
        told = self.told_in_full.get(id(summary))
        if told is None:
            told = self.told_in_full[id(summary)] = escape(numerals.all_digits(summary))
        return told

    def arrow(self, route: Route, summary: TensorSummary | None) -> str:
        """A shaft as wide and as amber as its gradient is large, and its head."""
        norm = None if summary is None or summary.norm is None else float(summary.norm)
        thick, name = width(norm), level(norm)
        scale = head(thick)
        if self.numbers is None:  # all that there is to see: so it is seen
            ink = self.pen.tokens["ink-3"]
            shaft, tip = f'class="shaft s-ink-3" stroke="{ink}"', f'class="head f-ink-3" fill="{ink}"'
        else:
            colour = self.pen.level(name)
            shaft, tip = f'class="shaft {name}" stroke="{colour}"', f'class="head {name}" fill="{colour}"'
        shown = max(0.0, route.length - scale * HEAD_LENGTH + 1)  # its corners would show beside the tip
        return (
            f'<path d="{route.path}" {shaft} stroke-width="{thick:g}" '
            f'stroke-dasharray="{shown:.1f} {route.length + 9:.1f}" data-length="{route.length:g}"/>'
            f'<g transform="{route.arrival}">'
            f'<path d="M0 0L-{HEAD_LENGTH:g} {HEAD_HALF:g}V-{HEAD_HALF:g}Z" {tip} '
            f'transform="scale({scale:.2f})"/></g>'
        )

    def dashed(self, route: Route, edge: Edge) -> str:
        """Where nothing flows; cut by a slash where the program itself cut it."""
        stroke = f'class="s-line-2" stroke="{self.pen.tokens["line-2"]}"'
        line = f'<path d="{route.path}" {stroke} stroke-dasharray="4 3"/>'
        call = self.graph.nodes[int(edge.target[1:])].call
        if call is None or not call.rpartition(".")[2].startswith("detach"):
            return line
        x, y = route.middle
        slash = f'class="s-ink-3" stroke="{self.pen.tokens["ink-3"]}" stroke-width="1.5"'
        return f'{line}<path d="M{x - 4:g} {y + 7:g}L{x + 4:g} {y - 7:g}" {slash}/>'

    def label(self, route: Route, summary: TensorSummary | None) -> str:
        """The gradient on an edge, on a ground of its own so that no line runs through it."""
        if route.label is None or summary is None:
            return ""
        token = "bad" if numerals.is_nonfinite(summary) else "grad"
        x, y = route.label
        if self.direction == "LR":
            place = f'x="{x + route.link.label / 2:g}" y="{y:g}" text-anchor="middle"'
        else:
            place = f'x="{x + 12:g}" y="{y + 4:g}"'
        room = card.room(route.link.label - 12)
        text = numerals.typeset(numerals.edge_text(summary, room))
        return (
            f'<text {self.pen.paint(token, "bg", "mono ")} {place} stroke-width="3" stroke-linejoin="round" '
            f'paint-order="stroke" font-family="{self.pen.face.mono}" data-field="grad" '
            f'data-room="{room}">{escape(text)}</text>'
        )

    def facts(self, place: int) -> tuple[card.CardContent, str]:
        """What there is to say of the node at a place, and its tooltip: once for all boxes that stand for it."""
        if known := self.known.get(place):
            return known
        node, numbers = self.graph.nodes[place], self.numbers
        value, grads, hooked = None, list[TensorSummary | None](), False
        if numbers is not None:
            value = numbers.value(place)
            for at in range(node.outputs):
                arrived, used = numbers.arrived(place, at), numbers.used(place, at)
                hooked = hooked or (used is not None and used is not arrived and used != arrived)
                grads.append(used if node.kind == "leaf" else arrived)
        facts = card.CardContent(
            node=node,
            title=self.titles[node.id],
            recorded=numbers is not None,
            value=value,
            label=labels.gradient_label(node, numbers.event.kind if numbers is not None else "backward"),
            grads=grads,
            sum=self.sums.get(node.id, 0),
            hooked=hooked,
            root=node.id in self.roots,
            selected=node.id == self.selected,
            accumulated=node.parameter in self.accumulated,
            failed=numbers is not None and numbers.event.failed == place,
        )
        made = self.known[place] = facts, "\n".join(self.tooltip(facts))
        return made

    def node(self, place: PlacedBox) -> str:
        box = place.box
        facts, told = self.facts(box.node)
        node = facts.node
        idle = self.numbers is not None and node.kind == "op" and box.node not in self.ran and not facts.failed
        states = (("selected", facts.selected), ("stub", box.edge >= 0), ("idle", idle), ("failed", facts.failed))
        flags = (("root", facts.root), *states)
        attributes = [f'class="{" ".join(["node", node.kind, *(name for name, on in flags if on)])}" data-node="{node.id}"']
        if box.edge >= 0:
            attributes.append(f'data-edge="{self.graph.edges[box.edge].id}"')
        if node.line is not None and node.file is None:
            attributes.append(f'data-line="{node.line}"')
        if idle:
            attributes.append('opacity="0.5"')
        return (
            f'<g {" ".join(attributes)} role="img" transform="translate({place.x:g} {place.y:g})">'
            f"<title>{told}</title>{card.body(self.pen, box, facts)}</g>"
        )

    def tooltip(self, facts: card.CardContent) -> Iterator[str]:
        """A node in labels, escaped, with all digits: its accessible name."""
        node = facts.node
        yield escape(facts.title)
        yield escape(f"{labels.subtitle(node)}, {where}" if (where := labels.location(node)) else labels.subtitle(node))
        if facts.value is not None:
            yield f"value {self.full(facts.value)}"
        label = escape(facts.label)
        for at, gradient in enumerate(facts.grads):
            yield f"{label}{f' {at}' if len(facts.grads) > 1 else ''} {self.full(gradient)}"
        if facts.sum:
            yield f"the sum of {facts.sum} gradients"
        if facts.failed:
            yield "it raised: the pass stopped here"
        if facts.hooked:
            yield "a hook changed the gradient"


def sums(edges: list[Edge]) -> dict[str, int]:
    """How many gradients are summed at each node, for those where several reach the same output."""
    at_output: dict[tuple[str, int], int] = {}
    for edge in edges:
        if edge.gradient:
            at_output[edge.target, edge.input] = at_output.get((edge.target, edge.input), 0) + 1
    found: dict[str, int] = {}
    for (target, _), count in at_output.items():
        if count > 1:
            found[target] = max(count, found.get(target, 0))
    return found
