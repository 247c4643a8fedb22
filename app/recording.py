"""Read a recording: make the nouns of the model from packed events, each only when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np
from msgspec import UNSET

from . import model, wire
from .errors import NotFound

T = TypeVar("T")
Column = np.ndarray[Any, np.dtype[np.int32]]


class Log(Protocol):
    """Where the events of a run are found again. Missing ones raise :class:`NotFound`."""

    def graph(self, index: int) -> wire.Graph: ...
    def pass_(self, index: int) -> wire.Pass: ...
    def step(self, index: int) -> wire.Step: ...
    def lines(self) -> wire.Lines | None:
        """All last values of lines, merged."""

    def others(self) -> Iterator[wire.AnyEvent]:
        """Every event but graphs, passes, steps and lines, in order."""

    def counts(self) -> tuple[int, int, int]:
        """How many graphs, passes and steps there are."""


class MemoryLog:
    """A log of the events at hand."""

    def __init__(self, events: Iterable[wire.AnyEvent] = ()) -> None:
        self._graphs: list[wire.Graph] = []
        self._passes: list[wire.Pass] = []
        self._steps: list[wire.Step] = []
        self._others: list[wire.AnyEvent] = []
        self._lines: list[wire.Lines] = []
        for event in events:
            self.append(event)

    def append(self, event: wire.AnyEvent) -> None:
        """Take in the next event."""
        match event:
            case wire.Graph():
                self._graphs.append(event)
            case wire.Pass():
                self._passes.append(event)
            case wire.Step():
                self._steps.append(event)
            case wire.Lines():
                self._lines.append(event)
            case _:
                self._others.append(event)

    def graph(self, index: int) -> wire.Graph:
        return _at(self._graphs, index, "graph")

    def pass_(self, index: int) -> wire.Pass:
        return _at(self._passes, index, "pass")

    def step(self, index: int) -> wire.Step:
        return _at(self._steps, index, "step")

    def lines(self) -> wire.Lines | None:
        return merge_lines(self._lines)

    def others(self) -> Iterator[wire.AnyEvent]:
        return iter(self._others)

    def counts(self) -> tuple[int, int, int]:
        return len(self._graphs), len(self._passes), len(self._steps)


class Tensors:
    """A packed table of tensors, read by rows."""

    def __init__(self, table: wire.Tensors) -> None:
        self._table = table
        self._flags = np.frombuffer(table.flags, np.uint8)
        self._ndim = np.frombuffer(table.ndim, np.uint8)
        self._read: dict[int, model.TensorSummary] = {}  # one row is often several things: what arrived and what was used

    def __len__(self) -> int:
        return len(self._table.dtype)

    @cached_property
    def _offsets(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """For each row: where its shape, statistics and values begin, and its number of elements."""
        table = self._table
        numel = wire.elements(table)
        shapes = _starts(self._ndim)
        stats = _starts((self._flags & wire.HAS_STATS) != 0)
        sizes = np.array([np.dtype(wire.PACKED.get(name, "V0")).itemsize for name in wire.DTYPES], np.int64)
        dtype = np.frombuffer(table.dtype, np.uint8)
        values = _starts(np.where(self._flags & wire.HAS_VALUES, numel * sizes[dtype], 0))
        return shapes, stats, values, numel.tolist()

    def shape(self, row: int) -> list[int]:
        """Shape of a row."""
        start = self._offsets[0][row]
        shape: list[int] = np.frombuffer(self._table.dims, "<i8", int(self._ndim[row]), start * 8).tolist()
        return shape

    def array(self, row: int) -> np.ndarray[Any, Any] | None:
        """The kept elements of a row, in its shape; ``None`` when they were not kept."""
        if row < 0 or not self._flags[row] & wire.HAS_VALUES:
            return None
        _, _, values, numel = self._offsets
        packed = np.dtype(wire.PACKED[wire.DTYPES[self._table.dtype[row]]])
        return np.frombuffer(self._table.values, packed, numel[row], values[row]).reshape(self.shape(row))

    def summary(self, row: int) -> model.TensorSummary | None:
        """A row as the API tells it; ``None`` for row -1."""
        if row < 0:
            return None
        if (read := self._read.get(row)) is None:
            read = self._read[row] = self._summary(row)
        return read

    def _summary(self, row: int) -> model.TensorSummary:
        table = self._table
        flags = int(self._flags[row])
        name = int.from_bytes(table.grad_fn[2 * row : 2 * row + 2], "little")
        array = self.array(row)
        statistics, counts = self._statistics(row, array)
        return model.TensorSummary(
            shape=self.shape(row),
            dtype=wire.DTYPES[table.dtype[row]],
            requires_grad=bool(flags & wire.REQUIRES_GRAD),
            is_leaf=bool(flags & wire.IS_LEAF),
            grad_fn=table.names[name - 1] if name else None,
            values=None if array is None else plain(array),
            min=statistics[0],
            max=statistics[1],
            mean=statistics[2],
            norm=statistics[3],
            zeros=counts[0],
            nan=counts[1],
            inf=counts[2],
        )

    def norm(self, row: int) -> float | None:
        """L2 norm of a row (may be NaN or infinite); ``None`` where it is not known."""
        if row < 0:
            return None
        if self._flags[row] & wire.HAS_STATS:
            return float(np.frombuffer(self._table.stats, "<f8", 4, 32 * self._offsets[1][row])[3])
        array = self.array(row)
        return float(abs(array.reshape(()).item())) if array is not None and array.size == 1 else None

    def _statistics(
        self, row: int, array: np.ndarray[Any, Any] | None
    ) -> tuple[list[float | str | None], tuple[int, int, int] | tuple[None, None, None]]:
        place = self._offsets[1][row]
        if self._flags[row] & wire.HAS_STATS:
            numbers = np.frombuffer(self._table.stats, "<f8", 4, 32 * place).tolist()
            zeros, nan, inf = np.frombuffer(self._table.counts, "<i8", 3, 24 * place).tolist()
            return [number(value) for value in numbers], (zeros, nan, inf)
        if array is None or array.size != 1:
            return [None] * 4, (0, 0, 0) if array is not None and array.size == 0 else (None, None, None)
        value = array.reshape(()).item()
        size = abs(value)
        shown = size if isinstance(value, complex) else float(value)
        return (
            [number(shown), number(shown), number(shown), number(float(size))],
            (int(value == 0), int(math.isnan(size)), int(math.isinf(size))),
        )


def number(value: float) -> float | str:
    """A number as JSON can carry it.

    >>> number(1.5), number(float("-inf")), number(float("nan"))
    (1.5, '-Infinity', 'NaN')
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def plain(array: np.ndarray[Any, Any]) -> Any:
    """An array as nested lists, as ``tensor.tolist()`` gives them, safe for JSON.

    >>> plain(np.array([1.0, np.nan])), plain(np.array(2 + 1j))
    ([1.0, 'NaN'], [2.0, 1.0])
    """
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag], axis=-1)
    listed = array.tolist()
    return listed if array.dtype.kind != "f" or bool(np.isfinite(array).all()) else _finite(listed)


def _finite(value: Any) -> Any:
    return [_finite(item) for item in value] if isinstance(value, list) else number(value)


class Recording:
    """All that was recorded of a run, as the nouns of the model. ``limits`` says what is too large for one answer."""

    def __init__(self, log: Log, program: str, limits: model.Limits | None = None) -> None:
        self.log = log
        self.program = program
        self._limits = limits or model.Limits()
        self._read_graph = lru_cache(maxsize=16)(self._graph)

    def graph(self, index: int) -> model.Graph:
        """The structure ``g{index}``; raises :class:`NotFound`."""
        return self._read_graph(index)

    def _graph(self, index: int) -> model.Graph:
        return read_graph(self.log.graph(index))

    def pass_(self, index: int, *, whole: bool = False) -> model.Pass:
        """A pass with its numbers, which are left out above ``answer_nodes`` unless ``whole``; raises :class:`NotFound`."""
        event = self.log.pass_(index)
        if event.graph < 0:
            place = (event.index, event.step, event.kind, _place(event.parent), "", _place(event.line))
            return model.Pass(*place, order=[], nodes={}, edges={})
        graph = self.graph(event.graph)
        small = whole or len(graph.nodes) <= self._limits.answer_nodes
        numbers = PassNumbers(event, graph) if small else None
        return model.Pass(
            index=event.index,
            step=event.step,
            kind=event.kind,
            parent=_place(event.parent),
            graph=graph.id,
            line=_place(event.line),
            order=[f"n{place}" for place in wire.int32(event.order, "order").tolist()],
            nodes=numbers.nodes() if numbers else UNSET,
            edges=numbers.edges() if numbers else UNSET,
        )

    def numbers(self, index: int) -> PassNumbers:
        """The numbers of a pass, each read when it is asked for."""
        event = self.log.pass_(index)
        if event.graph < 0:
            raise NotFound(f"Pass {index} has no graph.")
        return PassNumbers(event, self.graph(event.graph))

    def step(self, index: int) -> model.Step:
        """A step, its passes with it; raises :class:`NotFound`."""
        event = self.log.step(index)
        tensors = Tensors(event.tensors)
        summary = tensors.summary
        return model.Step(
            index=event.index,
            iteration=model.Iteration(*event.iteration) if event.iteration else None,
            lines={"forward": event.forward, "loss": event.loss, "backward": event.backward, "update": event.update},
            values={
                str(line.line): model.LineValue(shown(line, tensors), summary(line.row))
                for line in event.values
                if line.file is None
            },
            main=event.main,
            loss=summary(event.loss_row),
            loss_name=event.loss_name,
            passes=[self.pass_(place) for place in event.passes],
            parameters=[
                model.ParameterStep(
                    id=f"p{row.parameter}",
                    name=row.name,
                    value=summary(row.value),
                    contribution=summary(row.contribution),
                    grad_before=summary(row.grad_before),
                    grad_after=summary(row.grad_after),
                    value_after=summary(row.value_after),
                    state={key: summary(place) for key, place in row.state.items()},
                )
                for row in event.parameters
            ],
            rebinds=_rebinds(event, tensors),
            optimizer=event.optimizer,
        )

    def rebinds(self, step: int) -> list[model.Rebind]:
        """The names that moved in a step."""
        event = self.log.step(step)
        return _rebinds(event, Tensors(event.tensors)) if event.rebinds else []

    def lines(self) -> list[model.Line]:
        """The last value of each line, in the order of lines, the program's own first."""
        event = self.log.lines()
        if event is None:
            return []
        tensors = Tensors(event.tensors)
        read = [
            model.Line(
                line=row.line,
                file=row.file,
                text=shown(row, tensors),
                tensor=tensors.summary(row.row),
                graph=f"g{row.graph}" if row.graph >= 0 else None,
            )
            for row in event.rows
        ]
        return sorted(read, key=lambda line: (line.file or "", line.line))

    def parameters(self) -> list[model.Parameter]:
        """Every parameter, with all the names that it had."""
        found: dict[int, model.Parameter] = {}
        for event in self.log.others():
            if isinstance(event, wire.Parameter):
                names = found[event.index].names if event.index in found else []
                if event.name is not None and event.name not in names:
                    names = [*names, event.name]
                found[event.index] = model.Parameter(f"p{event.index}", names, event.shape, event.dtype, _place(event.line))
        return [found[index] for index in sorted(found)]

    def cells(self, program: model.Program) -> list[model.Cell]:
        """The program's cells with their outputs, where they came to their end."""
        outputs: dict[int, str | None] = {}
        printed: dict[int, list[str]] = {}
        for event in self.log.others():
            if isinstance(event, wire.Cell):
                outputs[event.index] = event.output
            elif isinstance(event, wire.Output):
                printed.setdefault(event.cell, []).append(event.text)
        return [
            model.Cell(index, start, end, outputs.get(index), "".join(printed.get(index, ())))
            for index, (start, end) in enumerate(program.cells)
        ]

    def stdout(self) -> str:
        """All that the program printed, as far as it was kept."""
        return "".join(event.text for event in self.log.others() if isinstance(event, wire.Output))

    def signals(self) -> list[wire.Signal]:
        """The facts that findings are made of."""
        return [event for event in self.log.others() if isinstance(event, wire.Signal)]

    def graphs(self) -> list[model.GraphSize]:
        """The sizes of all graphs."""
        return [
            model.GraphSize(f"g{event.index}", len(event.kind), len(event.gradient))
            for event in map(self.log.graph, range(self.log.counts()[0]))
        ]

    def source(self, line: int | None) -> str | None:
        """The text of a line of the program, without its indentation."""
        lines = self._source
        return lines[line - 1].strip() if line is not None and 1 <= line <= len(lines) else None

    @cached_property
    def _source(self) -> list[str]:
        return self.program.splitlines()

    def node(self, pass_index: int, node: str) -> model.NodeDetail:
        """All about one node in one pass; raises :class:`NotFound`."""
        numbers = self.numbers(pass_index)
        place = numbers.place(node)
        graph = numbers.graph
        found = graph.nodes[place]
        order = [f"n{at}" for at in wire.int32(numbers.event.order, "order").tolist()]

        def flow(edge: int, other: str) -> model.Flow:
            drawn = graph.edges[edge]
            end = graph.nodes[numbers.place(other)]
            return model.Flow(drawn.id, other, title(end), drawn.slot, drawn.input, numbers.edge(edge))

        return model.NodeDetail(
            node=found,
            numbers=numbers.node(place),
            saved=[model.Saved(name, numbers.saved(place, slot)) for slot, name in enumerate(found.saved)],
            incoming=[flow(at, edge.source) for at, edge in enumerate(graph.edges) if edge.target == node],
            outgoing=[flow(at, edge.target) for at, edge in enumerate(graph.edges) if edge.source == node],
            rank=order.index(node) if node in order else None,
            source=self.source(found.line),
        )


class PassNumbers:
    """The numbers of one pass over its graph; every node and edge is meant by its place."""

    def __init__(self, event: wire.Pass, graph: model.Graph) -> None:
        self.event = event
        self.graph = graph
        self.tensors = Tensors(event.tensors)
        self._value = wire.int32(event.value, "value")
        self._arrived = wire.int32(event.arrived, "arrived")
        self._used = wire.int32(event.used, "used")
        self._edge = wire.int32(event.edge, "edge")
        self._saved = wire.int32(event.saved, "saved")
        self._first_output = _starts(np.array([node.outputs for node in graph.nodes]))
        self._first_saved = _starts(np.array([len(node.saved) for node in graph.nodes]))

    def place(self, node: str) -> int:
        """The place of the node with this id; raises :class:`NotFound`."""
        if node[:1] == "n" and node[1:].isascii() and node[1:].isdigit() and int(node[1:]) < len(self.graph.nodes):
            return int(node[1:])
        raise NotFound(f"Graph {self.graph.id} has no node {node!r}: its nodes are n0 to n{len(self.graph.nodes) - 1}.")

    def value(self, place: int) -> model.TensorSummary | None:
        """The forward value of a node: what its call returned, or the leaf or constant itself."""
        return self.tensors.summary(int(self._value[place]))

    def arrived(self, place: int, output: int = 0) -> model.TensorSummary | None:
        """The sum of the gradients on the edges to an output of a node."""
        return self.tensors.summary(self._output(self._arrived, place, output))

    def used(self, place: int, output: int = 0) -> model.TensorSummary | None:
        """The gradient that the node was called with, after the user's hooks."""
        return self.tensors.summary(self._output(self._used, place, output))

    def edge(self, place: int) -> model.TensorSummary | None:
        """The gradient on an edge."""
        return self.tensors.summary(int(self._edge[place]))

    def edge_norm(self, place: int) -> float | None:
        """L2 norm of the gradient on an edge."""
        return self.tensors.norm(int(self._edge[place]))

    def saved(self, place: int, slot: int) -> model.TensorSummary | None:
        """A saved tensor of a node."""
        return self.tensors.summary(int(self._saved[self._first_saved[place] + slot]))

    def node(self, place: int) -> model.NodeNumbers:
        """All numbers of a node."""
        outputs = self.graph.nodes[place].outputs
        return model.NodeNumbers(
            self.value(place), [model.Gradient(self.arrived(place, at), self.used(place, at)) for at in range(outputs)]
        )

    def nodes(self) -> dict[str, model.NodeNumbers]:
        """All nodes' numbers by id."""
        return {node.id: self.node(place) for place, node in enumerate(self.graph.nodes)}

    def edges(self) -> dict[str, model.TensorSummary | None]:
        """All edges' gradients by id."""
        return {edge.id: self.edge(place) for place, edge in enumerate(self.graph.edges)}

    def _output(self, column: Column, place: int, output: int) -> int:
        return int(column[self._first_output[place] + output]) if output < self.graph.nodes[place].outputs else -1


_NODE_COLUMNS = (
    "op", "call", "name", "file", "module", "line", "start_column", "end_column", "outputs", "parameter", "saved_count",
)  # fmt: skip


def read_graph(event: wire.Graph) -> model.Graph:
    """A structure from its columns."""
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
                line=_place(column["line"][place]),
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


def merge_lines(events: list[wire.Lines]) -> wire.Lines | None:
    """One event with the last value of each line. The tables are joined end to end."""
    if len(events) <= 1:
        return events[0] if events else None
    tables: list[wire.Tensors] = []
    last: dict[tuple[str | None, int], wire.LineRow] = {}
    base = names = 0
    for event in events:
        for row in event.rows:
            moved = wire.LineRow(row.line, row.file, row.text, row.row + base if row.row >= 0 else -1, row.graph)
            last[row.file, row.line] = moved
        tables.append(_shift_names(event.tensors, names))
        base += len(event.tensors.dtype)
        names += len(event.tensors.names)
    joined = wire.Tensors(
        **{
            field: b"".join(getattr(table, field) for table in tables)
            for field in ("dtype", "flags", "grad_fn", "ndim", "dims", "stats", "counts", "values")
        },
        names=[name for table in tables for name in table.names],
    )
    return wire.Lines(list(last.values()), joined)


def _shift_names(table: wire.Tensors, by: int) -> wire.Tensors:
    if not by or not table.names:
        return table
    column = np.frombuffer(table.grad_fn, "<u2")
    moved = np.where(column > 0, column + by, 0).astype("<u2")
    return wire.Tensors(
        table.dtype, table.flags, moved.tobytes(), table.names, table.ndim, table.dims, table.stats, table.counts, table.values
    )


def shown(line: wire.LineRow, tensors: Tensors) -> str:
    """The text at a line's end: its repr where that was recorded, else one made from the tensor."""
    if line.text is not None:
        return line.text
    summary = tensors.summary(line.row)
    return "" if summary is None else str(summary.values) if summary.values is not None else f"{summary.shape} {summary.dtype}"


def title(node: model.Node) -> str:
    """What a person would call a node: its name, else its class.

    >>> title(model.Node("n0", "leaf", "AccumulateGrad", None, "m", None, 5, None, "", 1, [], "p0"))
    'm'
    """
    return node.name or node.op


def _rebinds(event: wire.Step, tensors: Tensors) -> list[model.Rebind]:
    return [
        model.Rebind(
            name=row.name,
            line=row.line,
            source=f"p{row.parameter}",
            to=tensors.summary(row.row),
            graph=f"g{row.graph}" if row.graph >= 0 else None,
            uses_gradient=row.uses_gradient,
        )
        for row in event.rebinds
    ]


def _place(value: int) -> int | None:
    return value if value >= 0 else None


def _starts(sizes: np.ndarray[Any, Any]) -> list[int]:
    """Where each of consecutive pieces begins."""
    return [0, *np.cumsum(sizes, dtype=np.int64).tolist()]


def _at(items: list[T], index: int, what: str) -> T:
    if 0 <= index < len(items):
        return items[index]
    remedy = f"the last is {len(items) - 1}" if items else f"this run has no {what}"
    raise NotFound(f"There is no {what} {index}: {remedy}.")
