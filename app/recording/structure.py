"""Read the structure of a graph from its columns."""

from __future__ import annotations

from .. import model, wire

_NODE_COLUMNS = (
    "op", "call", "name", "file", "module", "line", "start_column", "end_column", "outputs", "parameter", "saved_count",
)  # fmt: skip


def read_graph(event: wire.GraphEvent) -> model.Graph:
    """A structure from its columns, but for whose formulas its nodes come from."""
    count = len(event.kind)
    texts: list[str | None] = [*event.strings, None]  # place -1 is None
    column = {name: wire.int32(getattr(event, name), name).tolist() for name in _NODE_COLUMNS}
    saved = [event.strings[place] for place in wire.int32(event.saved, "saved").tolist()]
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
                line=index_or_none(column["line"][place]),
                columns=span if span[0] >= 0 else None,
                module=texts[column["module"][place]] or "",
                outputs=column["outputs"][place],
                saved=saved[taken : taken + slots],
                parameter=f"p{column['parameter'][place]}" if column["parameter"][place] >= 0 else None,
            )
        )
        taken += slots
    ends = [wire.int32(getattr(event, name), name).tolist() for name in ("source", "slot", "target", "input")]
    edges = [
        model.Edge(f"e{place}", f"n{source}", slot, f"n{target}", at, bool(event.gradient[place]))
        for place, (source, slot, target, at) in enumerate(zip(*ends, strict=True))
    ]
    return model.Graph(f"g{event.index}", [f"n{place}" for place in wire.int32(event.roots, "roots").tolist()], nodes, edges)


def read_formulas(event: wire.GraphEvent) -> list[tuple[int, int]]:
    """Of each node the graph and the place of the node whose formula it comes from, -1 for none; empty where none does."""
    graphs = wire.int32(event.formula_graph, "formula_graph").tolist()
    places = wire.int32(event.formula_node, "formula_node").tolist()
    return list(zip(graphs, places, strict=True)) if any(graph >= 0 for graph in graphs) else []


def title(node: model.Node) -> str:
    """What a person would call a node: its name, else its class.

    >>> title(model.Node("n0", "leaf", "AccumulateGrad", None, "m", None, 5, None, "", 1, [], "p0"))
    'm'
    """
    return node.name or node.op


def index_or_none(value: int) -> int | None:
    return value if value >= 0 else None
