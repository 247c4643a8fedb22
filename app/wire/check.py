"""Check what a schema cannot express: columns have matching lengths, and every index refers to something emitted before."""

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
    MODULE_FILES,
    PACKED,
    AnyEvent,
    Checked,
    EndEvent,
    Factors,
    GraphEvent,
    LineRow,
    LinesEvent,
    ModuleFileEvent,
    OriginRow,
    ParameterEvent,
    PassEvent,
    Refused,
    StepEvent,
    Surface,
    TensorTable,
)  # fmt: skip
from .signals import Broadcast, GradientModified, LeafRebound, NonLeafGrad, PassFailed, RequiresGradLate

MAX_POINTS: Final = 10_000
"""Maximum number of points of a surface."""
MAX_FRAMES_PER_NODE: Final = 64
"""Maximum number of frames of a graph for each of its nodes: the tracer nests frames no deeper."""
MAX_NUMEL: Final = 2.0**60
"""Maximum number of elements of a tensor: more than any machine has memory for."""


class EventChecker:
    """Checks the events of one recording, in order.

    ``replay`` allows the events that answer a replay. A ``confined`` program has no modules of its own, so its events may name
    no file: a stranger's program could name one that only the server can read.
    """

    def __init__(self, limits: Limits, *, replay: bool = False, confined: bool = True) -> None:
        self._limits = limits
        self._replay = replay
        self._confined = confined
        self._files = 0
        self._graphs: list[tuple[int, int, int, int]] = []
        """For each graph: the numbers of nodes, outputs, edges and saved tensors."""
        self._passes = 0
        self._steps = 0
        self._parameters = 0

    def check(self, event: AnyEvent) -> None:
        """Check the next event; raise :class:`ProtocolError` if it is invalid."""
        match event:
            case GraphEvent():
                self._check_graph(event)
            case PassEvent():
                self._check_pass(event)
            case StepEvent():
                self._check_step(event)
            case LinesEvent():
                rows = check_table(event.tensors)
                self._check_lines(event.rows, rows)
            case ParameterEvent():
                if event.index > self._parameters:
                    raise ProtocolError("a parameter's index is out of order")
                self._parameters = max(self._parameters, event.index + 1)
                self._check_origin(event.origin)
            case ModuleFileEvent():
                self._check_module_file(event)
            case Surface() | Checked() | Factors() | Refused():
                self._check_answer(event)
            case PassFailed() | LeafRebound() | NonLeafGrad() | RequiresGradLate() | Broadcast() | GradientModified():
                self._check_signal(event)
            case EndEvent():
                if event.status not in ("done", "failed"):
                    raise ProtocolError("an end event has a status that only the server may set")
                if event.failure is not None:
                    self._check_origin(event.failure.origin)
                    _check_no_file(event.failure.file)
            case _:
                pass

    def _check_module_file(self, event: ModuleFileEvent) -> None:
        """Check that a file is named in order, and by a path without a way out of the folder that it is relative to."""
        if self._confined:
            raise ProtocolError("a confined program names a file")
        if event.index != self._files or self._files >= MODULE_FILES:
            raise ProtocolError("a file's index is out of order")
        parts = event.path.split("/")
        if "" in parts or ".." in parts or not event.path.isprintable():
            raise ProtocolError("a file's path is not relative")
        self._files += 1

    def _check_origin(self, origin: OriginRow | None) -> None:
        if origin is not None and origin.file >= self._files:
            raise ProtocolError("a line refers to a file that was not named")

    def _check_origins(self, graph: GraphEvent, nodes: int) -> None:
        if not graph.origin_file and not graph.origin_line:
            return
        _check_range(int32(graph.origin_file, "origin_file", nodes), -1, self._files, "origin_file")
        _check_range(int32(graph.origin_line, "origin_line", nodes), -1, 2**31 - 1, "origin_line")

    def _check_graph(self, graph: GraphEvent) -> None:
        nodes = len(graph.kind)
        if graph.index != len(self._graphs):
            raise ProtocolError("a graph's index is out of order")
        if not 0 < nodes <= self._limits.nodes:
            raise ProtocolError(f"a graph has {nodes:,} nodes")
        texts = len(graph.strings)
        for name in ("op", "call", "name", "module"):
            _check_range(int32(getattr(graph, name), name, nodes), -1, texts, name)
        _check_range(int32(graph.file, "file", nodes), -1, 0, "file")
        for name in ("line", "start_column", "end_column"):
            _check_range(int32(getattr(graph, name), name, nodes), -1, 2**31 - 1, name)
        outputs = int32(graph.outputs, "outputs", nodes)
        _check_range(outputs, 0, 100_000, "outputs")
        _check_range(int32(graph.op, "op"), 0, texts, "op")
        _check_range(int32(graph.parameter, "parameter", nodes), -1, self._parameters, "parameter")
        counts = int32(graph.saved_count, "saved_count", nodes)
        _check_range(counts, 0, 100_000, "saved_count")
        saved = int(counts.sum(dtype=np.int64))
        _check_range(int32(graph.saved, "saved", saved), 0, texts, "saved")
        _check_range(int32(graph.roots, "roots"), 0, nodes, "roots")
        _check_range(np.frombuffer(graph.kind, np.uint8), 0, 3, "kind")
        edges = len(graph.gradient)
        if edges > 8 * self._limits.nodes:
            raise ProtocolError(f"a graph has {edges} edges")
        for name in ("source", "target"):
            _check_range(int32(getattr(graph, name), name, edges), 0, nodes, name)
        _check_range(int32(graph.slot, "slot", edges), -1, 2**31 - 1, "slot")
        _check_range(int32(graph.input, "input", edges), 0, 2**31 - 1, "input")
        _check_range(np.frombuffer(graph.gradient, np.uint8), 0, 2, "gradient")
        self._check_formulas(graph, nodes)
        self._check_origins(graph, nodes)
        _check_frames(graph, nodes)
        self._graphs.append((nodes, int(outputs.sum(dtype=np.int64)), edges, saved))

    def _check_formulas(self, graph: GraphEvent, nodes: int) -> None:
        if not graph.formula_graph and not graph.formula_node:
            return
        formula_graphs = int32(graph.formula_graph, "formula_graph", nodes)
        formula_nodes = int32(graph.formula_node, "formula_node", nodes)
        _check_range(formula_graphs, -1, len(self._graphs), "formula_graph")
        for other, node in zip(formula_graphs.tolist(), formula_nodes.tolist(), strict=True):
            if node < -1 or (node >= 0) != (other >= 0) or (other >= 0 and node >= self._graphs[other][0]):
                raise ProtocolError("a formula refers to a node that does not exist")

    def _check_pass(self, event: PassEvent) -> None:
        if event.index != self._passes or event.parent >= event.index > 0:
            raise ProtocolError("a pass's index is out of order")
        if event.graph >= len(self._graphs):
            raise ProtocolError("a pass refers to a graph that does not exist")
        self._check_origin(event.origin)
        self._passes += 1
        rows = check_table(event.tensors)
        nodes, outputs, edges, saved = self._graphs[event.graph] if event.graph >= 0 else (0, 0, 0, 0)
        _check_range(int32(event.order, "order"), 0, nodes, "order")
        if len(event.order) > 8 * nodes or event.failed >= nodes:
            raise ProtocolError("a pass ran more nodes than its graph has")
        for name, length in (("value", nodes), ("arrived", outputs), ("used", outputs), ("edge", edges), ("saved", saved)):
            _check_range(int32(getattr(event, name), name, length), -1, rows, name)

    def _check_step(self, step: StepEvent) -> None:
        if step.index != self._steps:
            raise ProtocolError("a step's index is out of order")
        if step.main >= self._passes or any(index >= self._passes for index in step.passes):
            raise ProtocolError("a step refers to a pass that does not exist")
        self._steps += 1
        table_rows = check_table(step.tensors)
        self._check_lines(step.values, table_rows)
        for origin in step.update_origins:
            self._check_origin(origin)
        rows = [step.loss_row, *step.losses.values()]
        for parameter in step.parameters:
            if parameter.parameter >= self._parameters:
                raise ProtocolError("a step refers to a parameter that does not exist")
            rows += (parameter.value, parameter.contribution, parameter.grad_before, parameter.grad_after)
            rows += (parameter.value_after, parameter.grad_used, parameter.update, *parameter.state.values())
        if any(index >= self._parameters for group in step.groups for index in group.parameters):
            raise ProtocolError("a parameter group refers to a parameter that does not exist")
        for rebind in step.rebinds:
            if rebind.parameter >= self._parameters or rebind.graph >= len(self._graphs):
                raise ProtocolError("a rebind refers to a parameter or graph that does not exist")
            rows.append(rebind.row)
        if max(rows) >= table_rows:
            raise ProtocolError("a step refers to a row that does not exist")

    def _check_lines(self, lines: Iterable[LineRow], rows: int) -> None:
        for line in lines:
            _check_no_file(line.file)
            if line.row >= rows or line.graph >= len(self._graphs):
                raise ProtocolError("a line refers to a row or graph that does not exist")

    def _check_signal(
        self, signal: PassFailed | LeafRebound | NonLeafGrad | RequiresGradLate | Broadcast | GradientModified
    ) -> None:
        if signal.step > self._steps:
            raise ProtocolError("a signal refers to a step that has not begun")
        match signal:
            case PassFailed():  # the event of the pass itself follows
                if max(signal.graph, signal.earlier) >= len(self._graphs):
                    raise ProtocolError("a signal refers to a graph that does not exist")
                if signal.node >= self._graphs[signal.graph][0]:
                    raise ProtocolError("a signal refers to a node that does not exist")
            case GradientModified():  # the event of the pass itself follows
                if signal.graph >= len(self._graphs):
                    raise ProtocolError("a signal refers to a graph that does not exist")
                if max(signal.node, signal.shared) >= self._graphs[signal.graph][0]:
                    raise ProtocolError("a signal refers to a node that does not exist")
            case NonLeafGrad() if signal.graph >= len(self._graphs):
                raise ProtocolError("a signal refers to a graph that does not exist")
            case LeafRebound() if signal.parameter >= self._parameters:
                raise ProtocolError("a signal refers to a parameter that does not exist")
            case _:
                pass

    def _check_answer(self, answer: Surface | Checked | Factors | Refused) -> None:
        if not self._replay:
            raise ProtocolError("an event answers a replay that was not requested")
        match answer:
            case Surface():
                axes = [len(_column(axis, 8, "axes")) // 8 for axis in answer.axes]
                points = int(np.prod(axes))
                if not len(axes) == len(answer.at) == len(answer.slope):
                    raise ProtocolError("a surface has a different number of axes and slopes")
                if not 0 < points <= MAX_POINTS:
                    raise ProtocolError(f"a surface has {points:,} points")
                _column(answer.losses, 8, "losses", points)
                _column(answer.failed, 1, "failed", points)
            case Checked():
                if answer.parameter >= self._parameters:
                    raise ProtocolError("a gradient check refers to a parameter that does not exist")
                count = len(answer.verdict)
                for name in ("elements", "recorded", "central", "left", "right", "tolerance"):
                    _column(getattr(answer, name), 8, name, count)
                _check_range(np.frombuffer(answer.elements, "<i8"), 0, 2**62, "elements")
                _check_range(np.frombuffer(answer.verdict, np.uint8), 0, 5, "verdict")
            case Factors():
                table_rows = check_table(answer.tensors)
                rows = [row.row for row in answer.factors]
                rows += [row for product in answer.products for row in (product.given, product.summed)]
                if max(rows, default=-1) >= table_rows:
                    raise ProtocolError("a factor refers to a row that does not exist")
            case Refused():
                pass


def _check_no_file(file: str | None) -> None:
    """Check the field for a file of an older tracer: the current one refers to :class:`ModuleFileEvent` instead."""
    if file is not None:
        raise ProtocolError("an event names a file")


def _check_frames(graph: GraphEvent, nodes: int) -> None:
    if not graph.made and not graph.frame:
        return
    _check_range(int32(graph.made, "made", nodes), -1, nodes, "made")
    count = len(graph.frame_kind)
    if count > MAX_FRAMES_PER_NODE * nodes:
        raise ProtocolError(f"a graph has {count} frames")
    _check_range(int32(graph.frame, "frame", nodes), -1, count, "frame")
    parent = int32(graph.frame_parent, "frame_parent", count)
    if bool((parent >= np.arange(count)).any()) or bool((parent < -1).any()):
        raise ProtocolError("a frame precedes the frame around it")
    _check_range(np.frombuffer(graph.frame_kind, np.uint8), 0, 3, "frame_kind")
    _check_range(int32(graph.frame_name, "frame_name", count), -1, len(graph.strings), "frame_name")
    _check_range(int32(graph.frame_line, "frame_line", count), -1, 2**31 - 1, "frame_line")
    _check_range(int32(graph.frame_turn, "frame_turn", count), -1, 2**31 - 1, "frame_turn")


def check_table(table: TensorTable) -> int:
    """Return the number of rows of a table; raise :class:`ProtocolError` if its columns do not fit together."""
    count = len(table.dtype)
    dtype = np.frombuffer(table.dtype, np.uint8)
    flags = np.frombuffer(table.flags, np.uint8)
    ndim = np.frombuffer(table.ndim, np.uint8)
    if not (len(flags) == len(ndim) == count and len(table.grad_fn) == 2 * count):
        raise ProtocolError("the columns of a tensor table differ in length")
    if count == 0:
        if table.dims or table.stats or table.counts or table.values:
            raise ProtocolError("a tensor table has numbers but no rows")
        return 0
    if int(dtype.max()) >= len(DTYPES):
        raise ProtocolError("a tensor has an unknown dtype")
    if int(np.frombuffer(table.grad_fn, "<u2").max()) > len(table.names):
        raise ProtocolError("a tensor's grad_fn has no name")
    if len(table.dims) != 8 * int(ndim.sum(dtype=np.int64)):
        raise ProtocolError("the shapes of tensors do not fit their numbers of dimensions")
    stats = int(np.count_nonzero(flags & HAS_STATS))
    if len(table.stats) != 32 * stats or len(table.counts) != 24 * stats:
        raise ProtocolError("the statistics of tensors do not fit their flags")
    numel = elements(table)
    has_values = (flags & HAS_VALUES) != 0
    # Check the largest row first: the sum over all rows could overflow to the expected size.
    if has_values.any() and int(numel[has_values].max()) > len(table.values):
        raise ProtocolError("the values of tensors do not fit their shapes")
    size = sum(
        int(numel[has_values & (dtype == code)].sum()) * np.dtype(PACKED[DTYPES[code]]).itemsize
        if DTYPES[code] in PACKED
        else -1
        for code in set(dtype[has_values].tobytes())
    )
    if len(table.values) != size:
        raise ProtocolError("the values of tensors do not fit their shapes")
    return count


def elements(table: TensorTable) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of elements of each row; raise :class:`ProtocolError` if a size is negative or absurdly large."""
    ndim = np.frombuffer(table.ndim, np.uint8)
    dims = np.frombuffer(table.dims, "<i8")
    if len(dims) == 0:
        return np.ones(len(ndim), np.int64)
    if int(dims.min()) < 0:
        raise ProtocolError("a tensor has a negative size")
    starts = np.concatenate(([0], np.cumsum(ndim, dtype=np.int64)[:-1]))
    padded = np.concatenate((dims.astype(np.float64), [1.0]))
    product = np.multiply.reduceat(padded, starts)
    product[ndim == 0] = 1.0
    if float(product.max()) > MAX_NUMEL:
        raise ProtocolError("a tensor has more elements than any machine can store")
    return product.astype(np.int64)


def int32(data: bytes, name: str, length: int | None = None) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return a view of the packed column ``name``; raise :class:`ProtocolError` if it does not have ``length`` entries."""
    return np.frombuffer(_column(data, 4, name, length), "<i4")


def _column(data: bytes, itemsize: int, name: str, length: int | None = None) -> bytes:
    if len(data) % itemsize or (length is not None and len(data) != itemsize * length):
        raise ProtocolError(f"the column {name} has {len(data):,} bytes")
    return data


def _check_range(column: np.ndarray[Any, Any], low: int, high: int, name: str) -> None:
    """Raise :class:`ProtocolError` unless ``low <= entry < high`` for every entry."""
    if len(column) and (int(column.min()) < low or int(column.max()) >= high):
        raise ProtocolError(f"the column {name} has an entry that is out of range")
