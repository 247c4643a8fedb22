"""Read the structure of a graph from its columns."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from .. import model, wire

_NODE_COLUMNS = (
    "op", "call", "name", "file", "module", "line", "start_column", "end_column", "outputs", "parameter", "saved_count",
)  # fmt: skip


ORDERS = 3
"""Orders of derivatives through which a node tells whose formula made it: no text needs more, and no stack holds all."""


def read_graph(event: wire.Graph, graph_of: Callable[[int], model.Graph]) -> model.Graph:
    """A structure from its columns; ``graph_of`` reads an earlier one, which nodes of this one may come from."""
    count = len(event.kind)
    texts: list[str | None] = [*event.strings, None]  # place -1 is None
    column = {name: wire.int32(getattr(event, name), name).tolist() for name in _NODE_COLUMNS}
    saved = [event.strings[place] for place in wire.int32(event.saved, "saved").tolist()]
    formulas = zip(
        wire.int32(event.formula_graph, "formula_graph").tolist(),
        wire.int32(event.formula_node, "formula_node").tolist(),
        strict=True,
    )
    made_by = [_formula(graph, node, graph_of) if graph >= 0 else None for graph, node in formulas]
    kinds: tuple[model.NodeKind, ...] = ("op", "leaf", "constant")
    nodes: list[model.Node] = []
    taken = 0
    for place in range(count):
        slots = column["saved_count"][place]
        span = (column["start_column"][place], column["end_column"][place])
        nodes.append(
            model.Node(
                id=f"n{place}",
                kind=kinds[event.kind[place]],
                op=event.strings[column["op"][place]],
                call=texts[column["call"][place]],
                name=texts[column["name"][place]],
                file=texts[column["file"][place]],
                line=place_or_none(column["line"][place]),
                columns=span if span[0] >= 0 else None,
                module=texts[column["module"][place]] or "",
                outputs=column["outputs"][place],
                saved=saved[taken : taken + slots],
                parameter=f"p{column['parameter'][place]}" if column["parameter"][place] >= 0 else None,
                backward_of=made_by[place] if made_by else None,
            )
        )
        taken += slots
    ends = [wire.int32(getattr(event, name), name).tolist() for name in ("source", "slot", "target", "input")]
    edges = [
        model.Edge(f"e{place}", f"n{source}", slot, f"n{target}", at, bool(event.gradient[place]))
        for place, (source, slot, target, at) in enumerate(zip(*ends, strict=True))
    ]
    return model.Graph(f"g{event.index}", [f"n{place}" for place in wire.int32(event.roots, "roots").tolist()], nodes, edges)


def _formula(graph: int, place: int, graph_of: Callable[[int], model.Graph]) -> model.Formula:
    return model.Formula(f"g{graph}", _cut(graph_of(graph).nodes[place], ORDERS - 1))


def _cut(node: model.Node, orders: int) -> model.Node:
    """A node with so many orders of nodes that it comes from."""
    first = node.backward_of
    if first is None:
        return node
    kept = model.Formula(first.graph, _cut(first.node, orders - 1)) if orders else None
    return structs.replace(node, backward_of=kept)


def title(node: model.Node) -> str:
    """What a person would call a node: its name, else its class.

    >>> title(model.Node("n0", "leaf", "AccumulateGrad", None, "m", None, 5, None, "", 1, [], "p0"))
    'm'
    """
    return node.name or node.op


def place_or_none(value: int) -> int | None:
    return value if value >= 0 else None
