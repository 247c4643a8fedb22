"""Write a graph as DOT: empty boxes to be laid out, or the readable file that a person takes along.

What is laid out holds no text of the program's at all: sizes, and names of ours. What is exported holds all of it, escaped.
"""

from __future__ import annotations

from typing import Literal

import graphviz  # type: ignore[import-untyped]

from ..model import Graph
from ..recording import PassNumbers
from . import labels, numerals
from .plan import LABEL_HEIGHT, NARROW_LABEL_HEIGHT, LayoutPlan
from .style import SANS, THEMES, Direction, level, level_colour, width

POINTS = 72
"""Graphviz measures boxes in inches and everything else in points; a point is a pixel of ours."""


def boxes(plan: LayoutPlan) -> str:
    """The DOT that is laid out: boxes of fixed size, no text, an empty table where an edge's label will stand."""
    picture = graphviz.Digraph(
        "boxes",
        graph_attr={"rankdir": plan.direction, "nodesep": "0.3", "ranksep": "0.5", "margin": "0"},
        node_attr={"shape": "box", "fixedsize": "true", "label": ""},
        edge_attr={"arrowhead": "none"},
    )
    for box in plan.boxes:
        picture.node(box.key, width=f"{box.width / POINTS:.4f}", height=f"{box.height / POINTS:.4f}")
    for link in plan.links:
        attributes = {"id": f"e{link.edge}"}
        if link.label:
            attributes["label"] = _room(link.label, NARROW_LABEL_HEIGHT if plan.direction == "LR" else LABEL_HEIGHT)
        if link.weight > 1:
            attributes["weight"] = str(link.weight)
        picture.edge(link.source, link.target, **attributes)
    return str(picture.source)


def _room(label: int, height: int) -> str:
    return (
        f'<<table border="0" cellborder="0" cellspacing="0" cellpadding="0" fixedsize="true" width="{label}" '
        f'height="{height}"><tr><td></td></tr></table>>'
    )


def export(
    graph: Graph,
    numbers: PassNumbers | None,
    *,
    program: str = "",
    theme: Literal["light", "dark"] = "light",
    direction: Direction = "TB",
) -> str:
    """The DOT that a person reads: every node and edge by its id, with its text, its numbers and its colours."""
    tokens = THEMES[theme]
    source = labels.ProgramText(program)
    picture = graphviz.Digraph(
        graph.id,
        graph_attr={"rankdir": direction, "bgcolor": tokens["bg"], "ranksep": "0.4"},
        node_attr={"shape": "box", "style": "rounded,filled", "fontname": SANS.split(",")[4].strip(" '"), "fontsize": "11"},
        edge_attr={"fontsize": "10", "fontcolor": tokens["grad"], "arrowsize": "0.7"},
    )
    roots = set(graph.roots)
    for place, node in enumerate(graph.nodes):
        lines = [source.title(node), labels.subtitle(node)]
        if node.line is not None:
            lines[1] += f", {labels.location(node)}"
        if node.kind == "constant":
            lines[1] = "needs no gradient" if node.line is None else f"needs no gradient, {labels.location(node)}"
        if numbers is not None:
            value = numbers.value(place)
            if value is not None:
                lines += [f"value {numerals.brief(value, 60)}", numerals.shape_and_dtype(value)]
            if node.kind != "constant":
                lines += [
                    f"{labels.gradient_label(node, numbers.event.kind)} {numerals.brief(numbers.used(place, at), 60)}"
                    for at in range(node.outputs)
                ]
        leaf = node.kind == "leaf"
        picture.node(
            node.id,
            # \l ends a line and sets it flush left
            label="".join(graphviz.escape(_clean(line)) + r"\l" for line in lines),
            color=tokens["param-fill" if leaf else "ink" if node.id in roots else "line-2"],
            fillcolor=tokens["param-tint" if leaf else "surface"],
            fontcolor=tokens["ink"],
            **({"style": "rounded,dashed"} if node.kind == "constant" else {}),
        )
    for place, edge in enumerate(graph.edges):
        norm = numbers.edge_norm(place) if numbers is not None else None
        attributes = {"id": edge.id, "color": level_colour(level(norm), theme), "penwidth": f"{width(norm):g}"}
        gradient = numbers.edge(place) if numbers is not None and edge.gradient else None
        if gradient is not None:
            attributes["label"] = graphviz.escape(f" {numerals.edge_text(gradient)}")
        if not edge.gradient:
            attributes |= {"style": "dashed", "arrowhead": "none"}
        picture.edge(edge.source, edge.target, **attributes)
    return str(picture.source)


def _clean(text: str) -> str:
    return labels.clean(text).replace("\n", " ")
