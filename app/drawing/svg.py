"""Write a layout and the numbers of a pass as SVG: the one writer, for files, for pages and for what PNG and PDF are made of.

Looks are presentation attributes only, because a strict content security policy blocks ``style=""`` and ``<style>`` in an
inline SVG. Classes stand beside them, so that a page's own sheet (:func:`~tapedeck.drawing.style.css`) can re-theme one.

What a script needs in order to write another step into the same picture: ``data-node``, ``data-edge`` and ``data-line`` on
groups, ``data-field`` (``value``, ``grad``) on the texts that change, ``data-length`` on an edge's path, and the group that
turns its head (``.head``'s parent).
"""

from __future__ import annotations

import re
from html import escape
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from ..model import Graph, Node, TensorSummary
from ..recording import PassNumbers
from . import measure, numerals, words
from .engine import Layout, Place, Route
from .style import HEAD_HALF, HEAD_LENGTH, MONO, SANS, THEMES, Direction, Theme, head, level, level_colour, width

MARGIN: Final = 16
PAD: Final = 10
COLUMN: Final = 50
"""Where the numbers of a card begin: after the room for ``m.grad``."""
HALF: Final = 0.5
"""Opacity of what has not been recorded."""


class Face(Struct, frozen=True):
    """The fonts to write in. ``fixed``: one fixed-width font for everything, where no other can be had."""

    sans: str = SANS
    mono: str = MONO
    fixed: bool = False
    scale: float = 1.0


BROWSER: Final = Face()
EMBEDDED: Final = Face("DejaVu Sans Mono", "DejaVu Sans Mono", fixed=True, scale=0.9)
"""The only fixed-width font that typst carries within itself."""


class Caption(Struct, frozen=True):
    """What a picture that stands alone says about itself."""

    title: str
    note: str = ""


def draw(
    layout: Layout,
    graph: Graph,
    numbers: PassNumbers | None,
    *,
    theme: Theme = "light",
    direction: Direction = "TB",
    selected: str | None = None,
    standalone: bool = True,
    program: str = "",
    face: Face = BROWSER,
    caption: Caption | None = None,
    accumulated: frozenset[str] = frozenset(),
) -> str:
    """The picture. ``program`` is the text that nodes point into, ``selected`` the id of a node, ``accumulated`` the ids of
    parameters that had a gradient before this pass added to it. Without ``numbers`` it is structure only.
    """
    return _Writer(layout, graph, numbers, theme, selected, standalone, program, face, caption, accumulated, direction).write()


def _text(value: str) -> str:
    return escape(value, quote=True)


class _Writer:
    def __init__(
        self,
        layout: Layout,
        graph: Graph,
        numbers: PassNumbers | None,
        theme: Theme,
        selected: str | None,
        standalone: bool,
        program: str,
        face: Face,
        caption: Caption | None,
        accumulated: frozenset[str],
        direction: Direction,
    ) -> None:
        self.layout = layout
        self.graph = graph
        self.numbers = numbers
        self.theme: Literal["light", "dark"] = "dark" if theme == "dark" else "light"
        self.tokens = THEMES[self.theme]
        self.selected = selected
        self.standalone = standalone
        self.source = words.Source(program)
        self.face = face
        self.caption = caption
        self.accumulated = accumulated
        self.direction = direction
        self.roots = set(graph.roots)
        self.titles = [self.source.title(node) for node in graph.nodes]
        self.sums = self._sums()
        self.ran = self._ran()
        self.places = {node.id: place for place, node in enumerate(graph.nodes)}

    def _sums(self) -> dict[int, int]:
        """How many edges meet at a node, for those where several reach the same output."""
        at_output: dict[tuple[str, int], int] = {}
        for edge in self.graph.edges:
            if edge.gradient:
                end = (edge.target, edge.input)
                at_output[end] = at_output.get(end, 0) + 1
        sums: dict[int, int] = {}
        for (target, _), count in at_output.items():
            if count > 1:
                place = int(target[1:])
                sums[place] = max(count, sums.get(place, 0))
        return sums

    def _ran(self) -> set[int]:
        if self.numbers is None:
            return set()
        return set(np.frombuffer(self.numbers.event.order, "<i4").tolist())

    # Everything that is coloured is written by these two: an attribute, and a class for the page's sheet.
    def _fill(self, token: str, extra: str = "") -> str:
        return f'class="{extra}f-{token}" fill="{self.tokens[token]}"'

    def _both(self, fill: str, stroke: str, extra: str = "") -> str:
        inner = f'fill="{self.tokens[fill]}"' if fill else 'fill="none"'
        name = f"f-{fill} s-{stroke}" if fill else f"s-{stroke}"
        return f'class="{extra}{name}" {inner} stroke="{self.tokens[stroke]}"'

    def write(self) -> str:
        layout = self.layout
        parts = [self._open()]
        parts.append('<g class="edges" fill="none">')
        parts += [self._edge(route) for route in layout.routes]
        parts.append("</g>")
        parts += [self._node(place) for place in layout.places]
        parts.append("</g></svg>")
        return "".join(parts)

    def _open(self) -> str:
        layout = self.layout
        width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
        name = words.heading(self.graph, self.source)
        label = f"Backward graph of {name}: {len(self.graph.nodes)} nodes, {len(self.graph.edges)} edges"
        ground = f'<rect {self._fill("bg")} width="{width:g}" height="{height:g}"/>' if self.standalone else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{width:g}" height="{height:g}" '
            f'viewBox="0 0 {width:g} {height:g}" role="group" aria-label="{_text(label)}" data-graph="{self.graph.id}" '
            f'font-family="{self.face.sans}" font-size="{11 * self.face.scale:g}">{ground}'
            f'<g class="scene" transform="translate({MARGIN} {MARGIN})">'
        )

    def _edge(self, route: Route) -> str:
        link = route.link
        edge = self.graph.edges[link.edge]
        ends = f"{self.titles[self.places[edge.source]]} to {self.titles[self.places[edge.target]]}"
        opening = f'<g class="edge" role="img" data-edge="{edge.id}" data-source="{edge.source}" data-target="{edge.target}">'
        tokens = self.tokens
        if not edge.gradient:
            return (
                f"{opening.replace('edge', 'edge none', 1)}<title>{_text(ends)}: no gradient flows here</title>"
                f'<path d="{route.path}" class="s-line-2" stroke="{tokens["line-2"]}" stroke-dasharray="3 4"/></g>'
            )
        norm = summary = None
        if self.numbers is not None:
            norm = self.numbers.edge_norm(link.edge)
            summary = self.numbers.edge(link.edge)
            if summary is None:
                return (
                    f"{opening.replace('edge', 'edge none', 1)}<title>{_text(ends)}: no gradient in this pass</title>"
                    f'<path d="{route.path}" class="s-line-2" stroke="{tokens["line-2"]}" stroke-dasharray="3 4"/>'
                    f"{self._edge_label(route, 'none', 'ink-3')}</g>"
                )
        colour, name = level_colour(level(norm), self.theme), level(norm)
        shaft = width(norm)
        scale = head(shaft)
        # the shaft ends inside its head, so that its corners never show beside the tip
        shown = max(0.0, route.length - scale * HEAD_LENGTH + 1)
        told = f": gradient {numerals.full(summary)}" if self.numbers is not None else ""
        label = ""
        if summary is not None and route.label is not None:
            bad = "bad" if numerals.strange(summary) else "grad"
            characters = int((link.label - 14) / (11 * measure.MONO))
            label = self._edge_label(route, numerals.typeset(numerals.size(summary, characters)), bad)
        return (
            f"{opening}<title>{_text(ends + told)}</title>"
            f'<path d="{route.path}" class="shaft {name}" stroke="{colour}" stroke-width="{shaft:g}" '
            f'stroke-dasharray="{shown:.1f} {route.length + 9:.1f}" data-length="{route.length:g}"/>'
            f'<g transform="translate({route.tip[0]:g} {route.tip[1]:g}) rotate({route.angle:g})">'
            f'<path d="M0 0L-{HEAD_LENGTH:g} {HEAD_HALF:g}V-{HEAD_HALF:g}Z" class="head {name}" fill="{colour}" '
            f'transform="scale({scale:.2f})"/></g>{label}</g>'
        )

    def _edge_label(self, route: Route, text: str, token: str) -> str:
        if route.label is None:
            return ""
        x, y = route.label
        mono = self.face.mono
        return (
            f'<text x="{x + 12:g}" y="{y + 4:g}" class="mono f-{token} s-bg" fill="{self.tokens[token]}" '
            f'stroke="{self.tokens["bg"]}" stroke-width="3" stroke-linejoin="round" paint-order="stroke" '
            f'font-family="{mono}" font-size="{11 * self.face.scale:g}" data-field="grad">{_text(text)}</text>'
        )

    def _node(self, place: Place) -> str:
        box = place.box
        node = self.graph.nodes[box.node]
        value = self.numbers.value(box.node) if self.numbers is not None else None
        classes = ["node", node.kind]
        if node.id in self.roots:
            classes.append("root")
        if node.id == self.selected:
            classes.append("selected")
        if box.role == "stub":
            classes.append("stub")
        idle = self.numbers is not None and node.kind == "op" and box.node not in self.ran
        if idle:
            classes.append("idle")
        line = f' data-line="{node.line}"' if node.line is not None and node.file is None else ""
        stub = f' data-edge="{self.graph.edges[box.edge].id}"' if box.edge >= 0 else ""
        opening = (
            f'<g class="{" ".join(classes)}" role="img" data-node="{node.id}"{stub}{line}'
            f'{f" opacity={chr(34)}{HALF}{chr(34)}" if idle else ""} transform="translate({place.x:g} {place.y:g})">'
        )
        if box.role == "stub":
            return f"{opening}<title>{_text(self._told(node, box.node, value))}</title>{self._stub(place, node)}</g>"
        body = self._constant(place, node, value) if box.role == "constant" else self._card(place, node, value)
        return f"{opening}<title>{_text(self._told(node, box.node, value))}</title>{body}</g>"

    def _told(self, node: Node, place: int, value: TensorSummary | None) -> str:
        """A node in words: its accessible name, and its tooltip."""
        said = [self.titles[place], words.second(node)]
        if node.line is not None:
            said.append(words.where(node))
        if value is not None:
            said.append(f"value {numerals.full(value)}")
        if self.numbers is not None and node.kind != "constant":
            label = words.gradient_label(node)
            for at in range(node.outputs):
                arrived, used = self.numbers.arrived(place, at), self.numbers.used(place, at)
                number = f" {at}" if node.outputs > 1 else ""
                said.append(f"{label}{number} {numerals.full(arrived)}")
                if used != arrived and used is not None:
                    said.append(f"after hooks {numerals.full(used)}")
        if place in self.sums:
            said.append(f"sum of {self.sums[place]} gradients")
        return "\n".join(said)

    def _border(self, place: Place, node: Node) -> str:
        box = place.box
        selected = node.id == self.selected
        if node.kind == "leaf":
            stroke, thick = ("param", 2.5) if selected else ("param-fill", 1.5)
            paint = self._both("param-tint", stroke, "border ")
        elif node.kind == "constant":
            stroke, thick = ("ink", 2.0) if selected else ("ink-3", 1.0)
            paint = self._both("bg", stroke, "border ") + ' stroke-dasharray="3 3"'
        else:
            stroke = "ink" if selected or node.id in self.roots else "line-2"
            thick = 2.0 if selected else 1.25 if node.id in self.roots else 1.0
            paint = self._both("surface", stroke, "border ")
        radius = box.height / 2 if box.role == "stub" else 6
        return f'<rect {paint} width="{box.width}" height="{box.height}" rx="{radius:g}" stroke-width="{thick:g}"/>'

    def _title(self, text: str, room: float, *, x: float = PAD, y: float = 18) -> str:
        size = 12 * self.face.scale * (0.94 if self.face.fixed else 1)
        shown = measure.fit(text, room, size, bold=True, mono=self.face.fixed)
        return f'<text {self._fill("ink")} x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="600">{_text(shown)}</text>'

    def _right(self, text: str, right: float, y: float) -> str:
        return f'<text {self._fill("ink-3")} x="{right:g}" y="{y:g}" text-anchor="end">{_text(text)}</text>' if text else ""

    def _small(self, text: str, y: float, room: float) -> str:
        shown = measure.fit(text, room, 11 * self.face.scale, mono=self.face.fixed)
        return f'<text {self._fill("ink-3")} x="{PAD}" y="{y:g}">{_text(shown)}</text>'

    def _wide(self, text: str) -> float:
        return measure.width(text, 11 * self.face.scale, mono=self.face.fixed)

    def _mono(self, text: str, token: str, x: float, y: float, field: str) -> str:
        return (
            f'<text {self._fill(token, "mono ")} x="{x:g}" y="{y:g}" font-family="{self.face.mono}" '
            f'data-field="{field}">{_text(numerals.typeset(text))}</text>'
        )

    def _card(self, place: Place, node: Node, value: TensorSummary | None) -> str:
        box = place.box
        at = box.node
        right = box.width - PAD
        where = words.where(node)
        kind = numerals.kind(value) if value is not None else ""
        second = words.second(node)
        if second == self.titles[at]:
            second = words.clean(node.call) if node.call else ""
        if node.module:
            second = f"{second} · {words.clean(node.module)}" if second else words.clean(node.module)
        parts = [
            self._border(place, node),
            self._title(self.titles[at], right - PAD - self._wide(where) - 8),
            self._right(where, right, 18),
            self._small(second, 33, right - PAD - self._wide(kind) - 8),
            self._right(kind, right, 33),
        ]
        if box.height >= 70:
            parts += self._rows(place, node, value)
        if at in self.sums:
            parts.append(self._pill(box.width, box.height, f"Σ of {self.sums[at]}"))
        return "".join(parts)

    def _rows(self, place: Place, node: Node, value: TensorSummary | None) -> list[str]:
        at = place.box.node
        characters = int((place.box.width - COLUMN - 2 * PAD + 2) / (11 * measure.MONO))
        value_token = "bad" if numerals.strange(value) else "param" if node.kind == "leaf" else "ink"
        shown = "·" if value is None else numerals.brief(value, characters)
        label = words.gradient_label(node)
        if self._wide(label) > COLUMN - 6:
            label = "grad"
        if node.parameter in self.accumulated:
            label = "grad +="
        token, arrived = "grad", "·"
        if self.numbers is not None:
            if node.outputs == 1:
                gradient = self.numbers.arrived(at) if node.kind == "op" else self.numbers.used(at)
                token = "bad" if numerals.strange(gradient) else "grad" if gradient is not None else "ink-3"
                arrived = numerals.brief(gradient, characters)
            else:
                norms = [self.numbers.arrived(at, output) for output in range(node.outputs)]
                listed = ", ".join("none" if one is None else numerals.number(one.norm, 2) for one in norms)
                arrived = f"‖{listed}‖" if len(listed) + 2 <= characters else f"{len(norms)} outputs"
        return [
            f'<text {self._fill("ink-3")} x="{PAD}" y="52">value</text>',
            self._mono(shown, value_token, PAD + COLUMN, 52, "value"),
            f'<text {self._fill("ink-3")} x="{PAD}" y="67">{_text(label)}</text>',
            self._mono(arrived, token, PAD + COLUMN, 67, "grad"),
        ]

    def _constant(self, place: Place, node: Node, value: TensorSummary | None) -> str:
        box = place.box
        right = box.width - PAD
        where = words.where(node)
        parts = [
            self._border(place, node),
            self._title(self.titles[box.node], right - PAD - self._wide(where) - 8),
            self._right(where, right, 18),
        ]
        last = 33.0
        if box.height >= 60:
            characters = int((box.width - 2 * PAD + 2) / (11 * measure.MONO))
            text = "·" if value is None else numerals.brief(value, characters)
            parts.append(self._mono(text, "bad" if numerals.strange(value) else "ink-2", PAD, 36, "value"))
            last = 53
        parts.append(self._small("needs no gradient", last, right - PAD))
        return "".join(parts)

    def _stub(self, place: Place, node: Node) -> str:
        box = place.box
        size = 11 * self.face.scale
        shown = measure.fit(self.titles[box.node], box.width - 2 * PAD, size, bold=True, mono=self.face.fixed)
        token = "param" if node.kind == "leaf" else "ink-2"
        return (
            f"{self._border(place, node)}"
            f'<text {self._fill(token)} x="{box.width / 2:g}" y="17" text-anchor="middle" font-weight="600">{_text(shown)}</text>'
        )

    def _pill(self, width: int, height: int, text: str) -> str:
        """The mark of a sum, on the border where the gradients come in."""
        size = 10 * self.face.scale
        wide = round(measure.width(text, size, bold=True, mono=self.face.fixed)) + 12
        x = width - PAD - wide
        y = (height if self.direction == "BT" else 0) - 8
        return (
            f'<rect {self._both("surface", "grad-fill", "sum ")} x="{x}" y="{y}" width="{wide}" height="16" rx="8"/>'
            f'<text {self._fill("grad")} x="{x + wide / 2:g}" y="{y + 11.5:g}" text-anchor="middle" font-size="{size:g}" '
            f'font-weight="600">{_text(text)}</text>'
        )


def size(drawn: str) -> tuple[float, float]:
    """Width and height of one of our pictures, in pixels.

    >>> size('<svg width="10" height="20.5" viewBox="0 0 10 20.5">')
    (10.0, 20.5)
    """
    found = re.search(r'width="([\d.]+)" height="([\d.]+)"', drawn)
    assert found, "every picture of ours begins with its size"
    return float(found[1]), float(found[2])


def too_large(graph: Graph, *, theme: Theme = "light", face: Face = BROWSER, standalone: bool = True) -> str:
    """What stands in for a graph that is too large to be laid out whole: its counts, and what to take instead."""
    tokens = THEMES["dark" if theme == "dark" else "light"]
    title = f"{len(graph.nodes):,} nodes, {len(graph.edges):,} edges".replace(",", " ")
    rows = (
        f'<text class="f-ink" fill="{tokens["ink"]}" x="24" y="40" font-size="15" font-weight="600">{title}</text>',
        f'<text class="f-ink-2" fill="{tokens["ink-2"]}" x="24" y="66">This graph is too large to be drawn whole.</text>',
        f'<text class="f-ink-2" fill="{tokens["ink-2"]}" x="24" y="84">'
        "Take it in words (.txt), as DOT (.dot), or its numbers from frames.</text>",
    )
    ground = f'<rect class="f-bg" fill="{tokens["bg"]}" width="420" height="112"/>' if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="420" height="112" viewBox="0 0 420 112" role="group" '
        f'aria-label="{title}: too large to be drawn whole" data-graph="{graph.id}" font-family="{face.sans}" '
        f'font-size="{12 * face.scale:g}">{ground}{"".join(rows)}</svg>'
    )
