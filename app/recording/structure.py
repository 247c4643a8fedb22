"""Read the structure of a graph from the columns of its event."""

from __future__ import annotations

from collections.abc import Callable

from .. import model, wire

_NODE_COLUMNS = (
    "op", "call", "name", "file", "module", "line", "start_column", "end_column", "outputs", "parameter", "saved_count",
)  # fmt: skip


def read_graph(
    event: wire.GraphEvent, read_origin: Callable[[wire.OriginRow | None], model.FileLine | None] = lambda origin: None
) -> model.Graph:
    """Return the structure of a graph, in which :attr:`Node.backward_of` is not set; see :func:`read_formulas`."""
    count = len(event.kind)
    texts: list[str | None] = [*event.strings, None]  # index -1 is None
    column = {name: wire.int32(getattr(event, name), name).tolist() for name in _NODE_COLUMNS}
    saved = [event.strings[string] for string in wire.int32(event.saved, "saved").tolist()]
    kinds: tuple[model.NodeKind, ...] = ("op", "leaf", "constant")
    origins = _origins(event)
    nodes: list[model.Node] = []
    saved_start = 0
    for index in range(count):
        saved_stop = saved_start + column["saved_count"][index]
        span = (column["start_column"][index], column["end_column"][index])
        nodes.append(
            model.Node(
                id=f"n{index}",
                kind=kinds[event.kind[index]],
                op=event.strings[column["op"][index]],
                call=texts[column["call"][index]],
                name=texts[column["name"][index]],
                file=texts[column["file"][index]],
                line=index_or_none(column["line"][index]),
                columns=span if span[0] >= 0 else None,
                module=texts[column["module"][index]] or "",
                outputs=column["outputs"][index],
                saved=saved[saved_start:saved_stop],
                parameter=f"p{column['parameter'][index]}" if column["parameter"][index] >= 0 else None,
                origin=read_origin(origins[index]) if origins else None,
            )
        )
        saved_start = saved_stop
    ends = [wire.int32(getattr(event, name), name).tolist() for name in ("source", "slot", "target", "input")]
    edges = [
        model.Edge(f"e{index}", f"n{source}", slot, f"n{target}", output, bool(event.gradient[index]))
        for index, (source, slot, target, output) in enumerate(zip(*ends, strict=True))
    ]
    return model.Graph(f"g{event.index}", [f"n{root}" for root in wire.int32(event.roots, "roots").tolist()], nodes, edges)


def _origins(event: wire.GraphEvent) -> list[wire.OriginRow | None]:
    """Return the origin of each node; an empty list if no node has one."""
    files, lines = (wire.int32(getattr(event, name), name).tolist() for name in ("origin_file", "origin_line"))
    return [wire.OriginRow(file, line) if file >= 0 else None for file, line in zip(files, lines, strict=True)]


def read_formulas(event: wire.GraphEvent) -> list[tuple[int, int]]:
    """Return for each node the graph and node whose backward formula created it, or (-1, -1).

    Return an empty list if no node was created by a backward formula.
    """
    graphs = wire.int32(event.formula_graph, "formula_graph").tolist()
    nodes = wire.int32(event.formula_node, "formula_node").tolist()
    return list(zip(graphs, nodes, strict=True)) if any(graph >= 0 for graph in graphs) else []


def title(node: model.Node) -> str:
    """Return the name of a node, or the name of its class if it has none.

    >>> title(model.Node("n0", "leaf", "AccumulateGrad", None, "m", None, 5, None, "", 1, [], "p0"))
    'm'
    """
    return node.name or node.op


def index_or_none(value: int) -> int | None:
    """Return an index or line of an event, or ``None`` for -1."""
    return value if value >= 0 else None
