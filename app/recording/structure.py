"""Read the structure of a graph from the columns of its event."""

from __future__ import annotations

from collections.abc import Callable

from .. import model, wire

_NODE_COLUMNS = (
    "op", "call", "name", "file", "module", "line", "start_column", "end_column", "outputs", "parameter", "saved_count",
)  # fmt: skip


ReadOrigin = Callable[[wire.OriginRow | None], model.FileLine | None]
_KINDS: tuple[model.NodeKind, ...] = ("op", "leaf", "constant")


def read_graph(event: wire.GraphEvent, read_origin: ReadOrigin = lambda origin: None) -> model.Graph:
    """Return the structure of a graph, in which :attr:`Node.backward_of` is not set; see :func:`read_formulas`."""
    roots = [f"n{root}" for root in wire.int32(event.roots, "roots").tolist()]
    nodes = read_nodes(event, 0, len(event.kind), read_origin)
    return model.Graph(f"g{event.index}", roots, nodes, read_edges(event, 0, len(event.gradient)))


def read_nodes(
    event: wire.GraphEvent, start: int, stop: int, read_origin: ReadOrigin = lambda origin: None
) -> list[model.Node]:
    """Return the nodes from ``start`` to before ``stop``, as far as they exist; see :func:`read_graph`."""
    column = {name: wire.int32(getattr(event, name), name)[start:stop].tolist() for name in _NODE_COLUMNS}
    saved_before = int(wire.int32(event.saved_count, "saved_count")[:start].sum())
    saved_after = saved_before + sum(column["saved_count"])
    saved = [event.strings[string] for string in wire.int32(event.saved, "saved")[saved_before:saved_after].tolist()]
    origins = _origins(event, start, stop)
    nodes: list[model.Node] = []
    saved_start = 0
    for index, kind in enumerate(event.kind[start:stop]):
        saved_stop = saved_start + column["saved_count"][index]
        span = (column["start_column"][index], column["end_column"][index])
        nodes.append(
            model.Node(
                id=f"n{start + index}",
                kind=_KINDS[kind],
                op=event.strings[column["op"][index]],
                call=_text(event, column["call"][index]),
                name=_text(event, column["name"][index]),
                file=_text(event, column["file"][index]),
                line=index_or_none(column["line"][index]),
                columns=span if span[0] >= 0 else None,
                module=_text(event, column["module"][index]) or "",
                outputs=column["outputs"][index],
                saved=saved[saved_start:saved_stop],
                parameter=f"p{column['parameter'][index]}" if column["parameter"][index] >= 0 else None,
                origin=read_origin(origins[index]) if origins else None,
            )
        )
        saved_start = saved_stop
    return nodes


def read_edges(event: wire.GraphEvent, start: int, stop: int) -> list[model.Edge]:
    """Return the edges from ``start`` to before ``stop``, as far as they exist."""
    ends = [wire.int32(getattr(event, name), name)[start:stop].tolist() for name in ("source", "slot", "target", "input")]
    return [
        model.Edge(f"e{index}", f"n{source}", slot, f"n{target}", output, bool(event.gradient[index]))
        for index, (source, slot, target, output) in enumerate(zip(*ends, strict=True), start)
    ]


def _text(event: wire.GraphEvent, index: int) -> str | None:
    return event.strings[index] if index >= 0 else None


def _origins(event: wire.GraphEvent, start: int, stop: int) -> list[wire.OriginRow | None]:
    """Return the origin of each of these nodes; an empty list if no node has one."""
    files, lines = (wire.int32(getattr(event, name), name)[start:stop].tolist() for name in ("origin_file", "origin_line"))
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
