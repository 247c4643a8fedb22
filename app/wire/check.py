"""Check what a schema cannot say: that columns agree with each other, and that every index points somewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from ..errors import ProtocolError
from ..model import Limits
from .events import (
    DTYPES,
    HAS_STATS,
    HAS_VALUES,
    PACKED,
    AnyEvent,
    Checked,
    EndEvent,
    Factors,
    GraphEvent,
    LineRow,
    LinesEvent,
    ParameterEvent,
    PassEvent,
    Refused,
    StepEvent,
    Surface,
    TensorTable,
)  # fmt: skip
from .signals import Broadcast, LeafRebound, NonLeafGrad, PassFailed, RequiresGradLate

MOST_POINTS: Final = 10_000
"""Points of a surface."""


class Check:
    """What a schema cannot say: that columns agree with each other and every index points somewhere."""

    def __init__(self, limits: Limits, *, asked: bool = False) -> None:
        self._limits = limits
        self._asked = asked
        self._graphs: list[tuple[int, int, int, int]] = []  # nodes, outputs, edges, saved slots
        self._passes = 0
        self._steps = 0
        self._parameters = 0

    def event(self, event: AnyEvent) -> None:
        match event:
            case GraphEvent():
                self._graph(event)
            case PassEvent():
                self._pass(event)
            case StepEvent():
                self._step(event)
            case LinesEvent():
                rows = self.tensors(event.tensors)
                self._line_rows(event.rows, rows)
            case ParameterEvent():
                if event.index > self._parameters:
                    raise ProtocolError("a parameter out of turn")
                self._parameters = max(self._parameters, event.index + 1)
            case Surface() | Checked() | Factors() | Refused():
                self._answer(event)
            case PassFailed() | LeafRebound() | NonLeafGrad() | RequiresGradLate() | Broadcast():
                self._signal(event)
            case EndEvent() if event.status not in ("done", "failed"):
                raise ProtocolError("an end that a program cannot know of")
            case _:
                pass

    def tensors(self, table: TensorTable) -> int:
        """Check a table and return its number of rows."""
        count = len(table.dtype)
        dtype = np.frombuffer(table.dtype, np.uint8)
        flags = np.frombuffer(table.flags, np.uint8)
        ndim = np.frombuffer(table.ndim, np.uint8)
        if not (len(flags) == len(ndim) == count and len(table.grad_fn) == 2 * count):
            raise ProtocolError("a table of tensors whose columns differ in length")
        if count == 0:
            if table.dims or table.stats or table.counts or table.values:
                raise ProtocolError("numbers of no tensor")
            return 0
        if int(dtype.max()) >= len(DTYPES) or int(np.frombuffer(table.grad_fn, "<u2").max()) > len(table.names):
            raise ProtocolError("a tensor of no dtype or grad_fn that is known")
        if len(table.dims) != 8 * int(ndim.sum(dtype=np.int64)):
            raise ProtocolError("shapes that do not fit their number of dimensions")
        stats = int(np.count_nonzero(flags & HAS_STATS))
        if len(table.stats) != 32 * stats or len(table.counts) != 24 * stats:
            raise ProtocolError("statistics that do not fit their tensors")
        numel = elements(table)
        kept = (flags & HAS_VALUES) != 0
        if kept.any() and int(numel[kept].max()) > len(table.values):  # else their sum could overflow to something that fits
            raise ProtocolError("values that do not fit their tensors")
        size = sum(
            int(numel[kept & (dtype == code)].sum()) * np.dtype(PACKED[DTYPES[code]]).itemsize if DTYPES[code] in PACKED else -1
            for code in set(dtype[kept].tobytes())
        )
        if len(table.values) != size:
            raise ProtocolError("values that do not fit their tensors")
        return count

    def _graph(self, graph: GraphEvent) -> None:
        nodes = len(graph.kind)
        if graph.index != len(self._graphs) or nodes > self._limits.nodes or nodes == 0:
            raise ProtocolError("a graph out of turn, empty or too large")
        texts = len(graph.strings)
        for what in ("op", "call", "name", "file", "module"):
            _within(int32(getattr(graph, what), what, nodes), -1, texts, what)
        for what in ("line", "start_column", "end_column"):
            _within(int32(getattr(graph, what), what, nodes), -1, 2**31 - 1, what)
        outputs = int32(graph.outputs, "outputs", nodes)
        _within(outputs, 0, 100_000, "outputs")
        _within(int32(graph.op, "op"), 0, texts, "op")
        _within(int32(graph.parameter, "parameter", nodes), -1, self._parameters, "parameter")
        counts = int32(graph.saved_count, "saved_count", nodes)
        _within(counts, 0, 100_000, "saved_count")
        saved = int(counts.sum(dtype=np.int64))
        _within(int32(graph.saved, "saved", saved), 0, texts, "saved")
        _within(int32(graph.roots, "roots"), 0, nodes, "roots")
        _within(np.frombuffer(graph.kind, np.uint8), 0, 3, "kind")
        edges = len(graph.gradient)
        if edges > 8 * self._limits.nodes:
            raise ProtocolError("too many edges")
        for what in ("source", "target"):
            _within(int32(getattr(graph, what), what, edges), 0, nodes, what)
        _within(int32(graph.slot, "slot", edges), -1, 2**31 - 1, "slot")
        _within(int32(graph.input, "input", edges), 0, 2**31 - 1, "input")
        _within(np.frombuffer(graph.gradient, np.uint8), 0, 2, "gradient")
        self._formulas(graph, nodes)
        self._graphs.append((nodes, int(outputs.sum(dtype=np.int64)), edges, saved))

    def _formulas(self, graph: GraphEvent, nodes: int) -> None:
        if not graph.formula_graph and not graph.formula_node:
            return
        graphs = int32(graph.formula_graph, "formula_graph", nodes)
        places = int32(graph.formula_node, "formula_node", nodes)
        _within(graphs, -1, len(self._graphs), "formula_graph")
        for known, place in zip(graphs.tolist(), places.tolist(), strict=True):
            if place < -1 or (place >= 0) != (known >= 0) or (known >= 0 and place >= self._graphs[known][0]):
                raise ProtocolError("the formula of a node that is not there")

    def _pass(self, event: PassEvent) -> None:
        if event.index != self._passes or event.graph >= len(self._graphs) or event.parent >= event.index > 0:
            raise ProtocolError("a pass out of turn, or of no graph")
        self._passes += 1
        rows = self.tensors(event.tensors)
        nodes, outputs, edges, saved = self._graphs[event.graph] if event.graph >= 0 else (0, 0, 0, 0)
        _within(int32(event.order, "order"), 0, nodes, "order")
        if len(event.order) > 8 * nodes or event.failed >= nodes:
            raise ProtocolError("more nodes run than there are")
        for what, length in (("value", nodes), ("arrived", outputs), ("used", outputs), ("edge", edges), ("saved", saved)):
            _within(int32(getattr(event, what), what, length), -1, rows, what)

    def _step(self, step: StepEvent) -> None:
        if step.index != self._steps or step.main >= self._passes or any(place >= self._passes for place in step.passes):
            raise ProtocolError("a step out of turn, or of passes that were not told")
        self._steps += 1
        rows = self.tensors(step.tensors)
        self._line_rows(step.values, rows)
        places = [step.loss_row, *step.losses.values()]
        for parameter in step.parameters:
            if parameter.parameter >= self._parameters:
                raise ProtocolError("a parameter that was not told")
            places += (parameter.value, parameter.contribution, parameter.grad_before, parameter.grad_after)
            places += (parameter.value_after, parameter.grad_used, parameter.update, *parameter.state.values())
        if any(place >= self._parameters for group in step.groups for place in group.parameters):
            raise ProtocolError("a group of a parameter that was not told")
        for rebind in step.rebinds:
            if rebind.parameter >= self._parameters or rebind.graph >= len(self._graphs):
                raise ProtocolError("a rebind of nothing that was told")
            places.append(rebind.row)
        if max(places) >= rows:
            raise ProtocolError("a row that is not there")

    def _signal(self, signal: PassFailed | LeafRebound | NonLeafGrad | RequiresGradLate | Broadcast) -> None:
        if signal.step > self._steps:
            raise ProtocolError("a signal of a step that has not begun")
        match signal:
            case PassFailed():  # the event of the pass itself follows
                if max(signal.graph, signal.earlier) >= len(self._graphs):
                    raise ProtocolError("a signal of a graph that does not exist")
                if signal.node >= self._graphs[signal.graph][0]:
                    raise ProtocolError("a signal of a node that does not exist")
            case NonLeafGrad() if signal.graph >= len(self._graphs):
                raise ProtocolError("a signal of a graph that does not exist")
            case LeafRebound() if signal.parameter >= self._parameters:
                raise ProtocolError("a signal of a parameter that does not exist")
            case _:
                pass

    def _answer(self, answer: Surface | Checked | Factors | Refused) -> None:
        if not self._asked:
            raise ProtocolError("an answer to nothing that was asked")
        match answer:
            case Surface():
                axes = [len(_column(axis, 8, "axes")) // 8 for axis in answer.axes]
                points = int(np.prod(axes))
                if not len(axes) == len(answer.at) == len(answer.slope) or not 0 < points <= MOST_POINTS:
                    raise ProtocolError("a surface whose axes do not fit")
                _column(answer.losses, 8, "losses", points)
                _column(answer.failed, 1, "failed", points)
            case Checked():
                if answer.parameter >= self._parameters:
                    raise ProtocolError("a parameter that was not told")
                count = len(answer.verdict)
                for what in ("elements", "recorded", "central", "left", "right", "tolerance"):
                    _column(getattr(answer, what), 8, what, count)
                _within(np.frombuffer(answer.elements, "<i8"), 0, 2**62, "elements")
                _within(np.frombuffer(answer.verdict, np.uint8), 0, 5, "verdict")
            case Factors():
                rows = self.tensors(answer.tensors)
                told = [row.row for row in answer.factors]
                told += [row for product in answer.products for row in (product.given, product.summed)]
                if max(told, default=-1) >= rows:
                    raise ProtocolError("a row that is not there")
            case Refused():
                pass

    def _line_rows(self, lines: Iterable[LineRow], rows: int) -> None:
        for line in lines:
            if line.row >= rows or line.graph >= len(self._graphs):
                raise ProtocolError("a line's value that is not there")


def elements(table: TensorTable) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Number of elements of each row; raises :class:`ProtocolError` where it is negative or beyond any machine."""
    ndim = np.frombuffer(table.ndim, np.uint8)
    dims = np.frombuffer(table.dims, "<i8")
    if len(dims) == 0:
        return np.ones(len(ndim), np.int64)
    if int(dims.min()) < 0:
        raise ProtocolError("a negative size")
    starts = np.concatenate(([0], np.cumsum(ndim, dtype=np.int64)[:-1]))
    padded = np.concatenate((dims.astype(np.float64), [1.0]))
    product = np.multiply.reduceat(padded, starts)
    product[ndim == 0] = 1.0
    if float(product.max()) > 2.0**60:
        raise ProtocolError("a tensor larger than any machine")
    return product.astype(np.int64)


def int32(data: bytes, what: str, length: int | None = None) -> np.ndarray[Any, np.dtype[np.int32]]:
    """View a packed column; raises :class:`ProtocolError` if its length is not what it must be."""
    if len(data) % 4 or (length is not None and len(data) != 4 * length):
        raise ProtocolError(f"the column {what} has {len(data)} bytes")
    return np.frombuffer(data, "<i4")


def _column(data: bytes, size: int, what: str, length: int | None = None) -> bytes:
    if len(data) % size or (length is not None and len(data) != size * length):
        raise ProtocolError(f"the column {what} has {len(data)} bytes")
    return data


def _within(column: np.ndarray[Any, Any], low: int, high: int, what: str) -> None:
    if len(column) and (int(column.min()) < low or int(column.max()) >= high):
        raise ProtocolError(f"the column {what} points outside")
