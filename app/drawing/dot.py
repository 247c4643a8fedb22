"""Write a graph as DOT: empty boxes for the layout engine, or a readable file for a person.

The DOT for the layout engine has no text of the program, only sizes and generated names. The exported file has the program's
text, escaped.
"""

from __future__ import annotations

from typing import Any

import graphviz  # type: ignore[import-untyped]

from . import labels, numerals
from .plan import FRAME_NAME, FRAME_NAME_HEIGHT, LayoutPlan
from .sheet import Sheet
from .style import SANS, level, level_colour, palette, width

POINTS = 72
"""Points per inch. Graphviz measures boxes in inches and everything else in points; one point is one of our pixels."""


def boxes(plan: LayoutPlan) -> str:
    """Return the DOT to lay out: boxes of fixed size without text, and an empty table for each edge's label."""
    nodesep, ranksep = ("0.25", "0.22") if plan.nested else ("0.3", "0.5" if plan.direction == "LR" else "0.1")
    picture = graphviz.Digraph(
        "boxes",
        graph_attr={"rankdir": plan.direction, "nodesep": nodesep, "ranksep": ranksep, "margin": "0"},
        node_attr={"shape": "box", "fixedsize": "true", "label": ""},
        edge_attr={"arrowhead": "none"},
    )
    _write_boxes(picture, plan)
    for link in plan.links:
        attributes = {"id": f"e{link.edge}"}
        if link.label:
            attributes["label"] = _room(link.label, plan.label_height)
        if link.weight > 1:
            attributes["weight"] = str(link.weight)
        picture.edge(link.source, link.target, **attributes)
    return str(picture.source)


def _write_boxes(picture: Any, plan: LayoutPlan) -> None:
    """Write the boxes in order, each inside the clusters of the enclosures around it."""
    waiting = list(reversed(plan.enclosures))
    open_: list[tuple[Any, int]] = [(picture, len(plan.boxes))]
    for index, box in enumerate(plan.boxes):
        while waiting and waiting[-1].first == index:
            enclosure = waiting.pop()
            cluster = graphviz.Digraph(
                f"cluster_{enclosure.key}",
                graph_attr={"margin": "8", "label": _room(FRAME_NAME, FRAME_NAME_HEIGHT), "labeljust": "l", "penwidth": "0"},
            )
            open_.append((cluster, enclosure.last))
        open_[-1][0].node(box.key, width=f"{box.width / POINTS:.4f}", height=f"{box.height / POINTS:.4f}")
        while open_[-1][1] == index:
            cluster, _ = open_.pop()
            open_[-1][0].subgraph(cluster)


def _room(label: int, height: int) -> str:
    return (
        f'<<table border="0" cellborder="0" cellspacing="0" cellpadding="0" fixedsize="true" width="{label}" '
        f'height="{height}"><tr><td></td></tr></table>>'
    )


def export(sheet: Sheet) -> str:
    """Return the DOT for a person: every node and edge with its id, text, numbers and colours."""
    graph, numbers = sheet.graph, sheet.numbers
    theme, tokens = palette(sheet.theme)
    program = labels.ProgramText(sheet.program)
    picture = graphviz.Digraph(
        graph.id,
        graph_attr={"rankdir": sheet.direction, "bgcolor": tokens["bg"], "ranksep": "0.4"},
        node_attr={"shape": "box", "style": "rounded,filled", "fontname": SANS.split(",")[4].strip(" '"), "fontsize": "11"},
        edge_attr={"fontsize": "10", "fontcolor": tokens["grad"], "arrowsize": "0.7"},
    )
    roots = set(graph.roots)
    for index, node in enumerate(graph.nodes):
        lines = [program.title(node), labels.subtitle(node)]
        if node.line is not None:
            lines[1] += f", {labels.location(node)}"
        value = sheet.values.get(index) if numbers is None else numbers.value(index)
        if value is not None:
            lines += [f"value {numerals.brief(value, 60)}", numerals.described(value)]
        if numbers is not None and node.kind != "constant":
            lines += [
                f"{labels.gradient_label(node, numbers.event.kind)} {numerals.brief(numbers.used(index, output), 60)}"
                for output in range(node.outputs)
            ]
        leaf = node.kind == "leaf"
        picture.node(
            node.id,
            # `\l` ends a line and aligns it left.
            label="".join(graphviz.escape(labels.clean(line)) + r"\l" for line in lines),
            color=tokens["param-fill" if leaf else "ink" if node.id in roots else "line-2"],
            fillcolor=tokens["param-tint" if leaf else "surface"],
            fontcolor=tokens["ink"],
            **({"style": "rounded,dashed"} if node.kind == "constant" else {}),
        )
    for index, edge in enumerate(graph.edges):
        norm = numbers.edge_norm(index) if numbers is not None else None
        attributes = {"id": edge.id, "color": level_colour(level(norm), theme), "penwidth": f"{width(norm):g}"}
        gradient = numbers.edge(index) if numbers is not None and edge.gradient else None
        if gradient is not None:
            attributes["label"] = graphviz.escape(f" {numerals.edge_text(gradient)}")
        if not edge.gradient:
            attributes |= {"style": "dashed", "arrowhead": "none"}
        picture.edge(edge.source, edge.target, **attributes)
    return str(picture.source)
