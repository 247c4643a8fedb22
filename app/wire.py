"""Turn events into bytes and back: the trust boundary between a program's process and ours.

What records a program is inside its process, so whatever arrives is a stranger's data. Decoding checks the length before
it buffers, the schema, every text's length, every count and every index, and raises :class:`ProtocolError` at the first
thing amiss. Numbers cross as packed little-endian arrays, never as a value per object.

A **message** is a msgpack list of events. It travels as one or more **frames**: a 4-byte little-endian header, whose top
bit says that more of the message follows and whose other bits are the length, then at most :data:`FRAME_BYTES` bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct

from .errors import ProtocolError
from .model import Capture, Limits, PassKind

FRAME_BYTES: Final = 1 << 20
_HEADER: Final = struct.Struct("<I")
_MORE: Final = 1 << 31

DTYPES: Final = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128", "complex32", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
    "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "other",
)  # fmt: skip
"""The place of a dtype in this table is its code on the wire."""

PACKED: Final = {
    "float32": "<f4", "float64": "<f8", "float16": "<f2", "bfloat16": "<f4", "int64": "<i8", "int32": "<i4", "int16": "<i2",
    "int8": "<i1", "uint8": "<u1", "bool": "?", "complex64": "<c8", "complex128": "<c16", "complex32": "<c8", "uint16": "<u2",
    "uint32": "<u4", "uint64": "<u8", "float8_e4m3fn": "<f4", "float8_e5m2": "<f4", "float8_e4m3fnuz": "<f4",
    "float8_e5m2fnuz": "<f4", "float8_e8m0fnu": "<f4",
}  # fmt: skip
"""How values of a dtype are packed: narrow floats that numpy lacks are widened, which is exact."""

REQUIRES_GRAD, IS_LEAF, HAS_VALUES, HAS_STATS = 1, 2, 4, 8
"""Bits of :attr:`Tensors.flags`."""

OP, LEAF, CONSTANT = 0, 1, 2
"""Codes of :attr:`Graph.kind`."""

Index = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=300)]
Text = Annotated[str, Meta(max_length=20_000)]
LongText = Annotated[str, Meta(max_length=200_000)]
Packed = bytes


class Tensors(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Summaries of tensors, a row each, by columns. Other events point at rows; -1 is no tensor.

    ``dtype`` uint8, ``flags`` uint8, ``grad_fn`` uint16 (place in ``names`` plus one, 0 for none), ``ndim`` uint8,
    ``dims`` int64 (all shapes end to end); ``stats`` float64 (min, max, mean, L2 norm) and ``counts`` int64 (zeros,
    NaN, Inf) for the rows flagged ``HAS_STATS``; ``values`` the elements, packed as in :data:`PACKED`, of the rows
    flagged ``HAS_VALUES``. A row with one value and no stats has its value as every statistic.
    """

    dtype: Packed = b""
    flags: Packed = b""
    grad_fn: Packed = b""
    names: Annotated[Sequence[Name], Meta(max_length=20_000)] = ()
    ndim: Packed = b""
    dims: Packed = b""
    stats: Packed = b""
    counts: Packed = b""
    values: Packed = b""


class Event(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Something that happened in a program, told in the order in which it happened."""


class Started(Event, tag="started", frozen=True):
    """The program is about to run."""

    torch: Name
    python: Name


class Output(Event, tag="output", frozen=True):
    """Text that the program printed; ``cell`` printed it."""

    text: LongText
    cell: Count = 0


class Progress(Event, tag="progress", frozen=True):
    """How far a loop of steps is; ``of`` is -1 where it is not known."""

    done: Count
    of: Index = -1


class Cell(Event, tag="cell", frozen=True):
    """A cell has run to its end; ``output`` is what a notebook shows under it."""

    index: Count
    output: Text | None


class LineRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The value of a line. ``text`` is its repr; ``None`` leaves it to be written from the tensor."""

    line: Count
    file: Name | None
    text: Text | None
    row: Index = -1
    graph: Index = -1


class Lines(Event, tag="lines", frozen=True):
    """The last values of lines, newer ones replacing older."""

    rows: Annotated[list[LineRow], Meta(max_length=20_000)]
    tensors: Tensors


class Graph(Event, tag="graph", frozen=True):
    """A structure not seen before. Columns are int32, ``kind`` and ``gradient`` uint8; texts are places in ``strings`` or -1.

    ``saved_count`` has an entry for each node and ``saved`` all names of slots end to end. ``source``, ``target`` and
    ``roots`` are places of nodes. ``line``, ``parameter`` and the columns are -1 where there is none.
    """

    index: Count
    strings: Annotated[list[Name], Meta(max_length=500_000)]
    kind: Packed
    op: Packed
    call: Packed
    name: Packed
    file: Packed
    module: Packed
    line: Packed
    start_column: Packed
    end_column: Packed
    outputs: Packed
    parameter: Packed
    saved_count: Packed
    saved: Packed
    roots: Packed
    source: Packed
    slot: Packed
    target: Packed
    input: Packed
    gradient: Packed


class Pass(Event, tag="pass", frozen=True):
    """One call into the engine: ``order`` int32 places of nodes; the rest int32 rows of ``tensors``.

    ``value`` has an entry for each node, ``arrived`` and ``used`` one for each output of each node, ``edge`` one for
    each edge, ``saved`` one for each saved slot, all in the order of the graph. ``failed`` is the node that raised.
    """

    index: Count
    step: Count
    kind: PassKind
    parent: Index
    graph: Index
    line: Index
    order: Packed
    value: Packed
    arrived: Packed
    used: Packed
    edge: Packed
    saved: Packed
    tensors: Tensors
    failed: Index = -1


class Parameter(Event, tag="parameter", frozen=True):
    """A leaf took part in a pass for the first time, or has a new name."""

    index: Count
    name: Name | None
    shape: Annotated[list[Count], Meta(max_length=64)]
    dtype: Name
    line: Index


class ParameterRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A parameter over a step, as rows of the step's tensors."""

    parameter: Count
    name: Name | None
    value: Index
    contribution: Index
    grad_before: Index
    grad_after: Index
    value_after: Index
    state: Annotated[dict[Name, Index], Meta(max_length=64)] = {}


class RebindRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The name ``name`` of a parameter moved to another tensor; ``uses_gradient``: which was computed from its ``.grad``.

    ``leaf``: the new tensor is itself a leaf that requires grad. ``graph`` is the new tensor's.
    """

    name: Name
    line: Index
    parameter: Count
    row: Index
    graph: Index
    uses_gradient: bool
    leaf: bool


class Step(Event, tag="step", frozen=True):
    """A step has ended. ``update`` and its like are lines; ``optimizer`` has the name and the scalar options."""

    index: Count
    iteration: tuple[Index, Index] | None
    forward: Annotated[list[Count], Meta(max_length=10_000)]
    loss: Annotated[list[Count], Meta(max_length=10_000)]
    backward: Annotated[list[Count], Meta(max_length=10_000)]
    update: Annotated[list[Count], Meta(max_length=10_000)]
    values: Annotated[list[LineRow], Meta(max_length=20_000)]
    main: Index
    passes: Annotated[list[Count], Meta(max_length=100_000)]
    loss_row: Index
    loss_name: Name | None
    parameters: Annotated[list[ParameterRow], Meta(max_length=50_000)]
    rebinds: Annotated[list[RebindRow], Meta(max_length=10_000)]
    optimizer: Annotated[dict[Name, str | int | float | bool | None], Meta(max_length=64)] | None
    tensors: Tensors


class Signal(Event, tag="signal", frozen=True):
    """A fact that only the tracer can see and that a finding may be made of."""

    code: Name
    file: Name | None = None
    line: Index = -1
    step: Index = -1
    node: Index = -1
    parameter: Index = -1
    detail: Annotated[dict[Name, str | int | float | bool | None], Meta(max_length=32)] = {}


class Failure(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The exception that ended a program."""

    type: Name
    message: Text
    file: Name | None
    line: Index
    traceback: Text
    columns: tuple[Index, Index] | None = None


class End(Event, tag="end", frozen=True):
    """Nothing follows. ``status`` is a :data:`~tapedeck.model.Status`; a program itself can only say ``done`` or ``failed``."""

    status: Name
    failure: Failure | None
    duration_ms: float


AnyEvent = Started | Output | Progress | Cell | Lines | Graph | Pass | Parameter | Step | Signal | End


class Job(Struct, frozen=True):
    """What a child is given to run: the text, the lines of its cells (1-based, inclusive) and how to record it."""

    program: str
    cells: list[tuple[int, int]]
    seed: int = 0
    capture: Capture = "full"
    values: int = 64
    nodes: int = 250_000
    """Nodes that one graph may have."""
    stdout_bytes: int = 256 * 1024
    """Printed text that is sent; the rest is dropped there."""
    notebook: bool = False
    path: str | None = None
    """Of a script that runs as a user's own: ``__file__`` and the folder that its imports are found in."""
    arguments: list[str] = []


def encode_job(job: Job) -> bytes:
    """Pack a job for a child's pipe."""
    return msgspec.msgpack.encode(job)


def decode_job(data: bytes) -> Job:
    """Unpack a job: the program's side of the pipe trusts the server."""
    return msgspec.msgpack.decode(data, type=Job)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])
_envelope = msgspec.msgpack.Decoder(list[msgspec.Raw])
_event_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)


def pack(events: Sequence[Event]) -> bytes:
    """Encode events as one message, without frames: the form in which the store keeps them."""
    return _encoder.encode(events)


def unpack(message: bytes) -> list[AnyEvent]:
    """Decode a message that was checked when it came in."""
    return _decoder.decode(message)


def frames(message: bytes) -> bytes:
    """Cut a message into frames, as it goes over a pipe.

    >>> frames(b"abc")
    b'\\x03\\x00\\x00\\x00abc'
    """
    parts: list[bytes] = []
    for start in range(0, max(len(message), 1), FRAME_BYTES):
        chunk = message[start : start + FRAME_BYTES]
        more = _MORE if start + FRAME_BYTES < len(message) else 0
        parts += (_HEADER.pack(len(chunk) | more), chunk)
    return b"".join(parts)


class Reader:
    """Put frames together and decode them, checking everything: one reader for the life of one child.

    ``total`` counts the bytes seen, ``events`` the events; both are held to the limits by :meth:`feed`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._message = bytearray()
        self._check = _Check(limits)
        self.total = 0
        self.events = 0

    def feed(self, data: bytes) -> Iterator[AnyEvent]:
        """Take in what came from the pipe; yield the events that are complete and sound.

        Raises :class:`ProtocolError` for anything malformed and :class:`Overflow` past a limit: either way the child is
        done for.
        """
        self.total += len(data)
        if self.total > self._limits.recording_bytes:
            raise Overflow(f"The recording is larger than {self._limits.recording_bytes >> 20} MB.")
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (header,) = _HEADER.unpack_from(self._buffer)
            length = header & ~_MORE
            # All frames of a message but the last are full: empty ones without end would cost more to read than to send.
            if length > FRAME_BYTES or (header & _MORE and length != FRAME_BYTES):
                raise ProtocolError(f"a frame of {length} bytes")
            if len(self._buffer) < _HEADER.size + length:
                return
            self._message += self._buffer[_HEADER.size : _HEADER.size + length]
            del self._buffer[: _HEADER.size + length]
            if len(self._message) > self._limits.message_bytes:
                raise ProtocolError("a message that never ends")
            if not header & _MORE:
                message, self._message = bytes(self._message), bytearray()
                yield from self._decode(message)

    def _decode(self, message: bytes) -> Iterator[AnyEvent]:
        try:
            # One event at a time: decoding holds the interpreter, and a large message would hold it for seconds.
            for raw in _envelope.decode(message):
                self.events += 1
                if self.events > self._limits.events:
                    raise Overflow(f"More than {self._limits.events:,} events were recorded.")
                event = _event_decoder.decode(raw)
                self._check.event(event)
                yield event
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a message that is not one of events: {error}") from error


class Overflow(ProtocolError):
    """A recording is above a limit of size: not a lie, only too much."""


def int32(data: bytes, what: str, length: int | None = None) -> np.ndarray[Any, np.dtype[np.int32]]:
    """View a packed column; raises :class:`ProtocolError` if its length is not what it must be."""
    if len(data) % 4 or (length is not None and len(data) != 4 * length):
        raise ProtocolError(f"the column {what} has {len(data)} bytes")
    return np.frombuffer(data, "<i4")


class _Check:
    """What a schema cannot say: that columns agree with each other and every index points somewhere."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._graphs: list[tuple[int, int, int, int]] = []  # nodes, outputs, edges, saved slots
        self._passes = 0
        self._steps = 0
        self._parameters = 0

    def event(self, event: AnyEvent) -> None:
        match event:
            case Graph():
                self._graph(event)
            case Pass():
                self._pass(event)
            case Step():
                self._step(event)
            case Lines():
                rows = self.tensors(event.tensors)
                self._line_rows(event.rows, rows)
            case Parameter():
                if event.index > self._parameters:
                    raise ProtocolError("a parameter out of turn")
                self._parameters = max(self._parameters, event.index + 1)
            case End() if event.status not in ("done", "failed"):
                raise ProtocolError("an end that a program cannot know of")
            case _:
                pass

    def tensors(self, table: Tensors) -> int:
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
            for code in np.unique(dtype[kept]).tolist()
        )
        if len(table.values) != size:
            raise ProtocolError("values that do not fit their tensors")
        return count

    def _graph(self, graph: Graph) -> None:
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
        self._graphs.append((nodes, int(outputs.sum(dtype=np.int64)), edges, saved))

    def _pass(self, event: Pass) -> None:
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

    def _step(self, step: Step) -> None:
        if step.index != self._steps or step.main >= self._passes or any(place >= self._passes for place in step.passes):
            raise ProtocolError("a step out of turn, or of passes that were not told")
        self._steps += 1
        rows = self.tensors(step.tensors)
        self._line_rows(step.values, rows)
        places = [step.loss_row]
        for parameter in step.parameters:
            if parameter.parameter >= self._parameters:
                raise ProtocolError("a parameter that was not told")
            places += (parameter.value, parameter.contribution, parameter.grad_before, parameter.grad_after)
            places += (parameter.value_after, *parameter.state.values())
        for rebind in step.rebinds:
            if rebind.parameter >= self._parameters or rebind.graph >= len(self._graphs):
                raise ProtocolError("a rebind of nothing that was told")
            places.append(rebind.row)
        if max(places) >= rows:
            raise ProtocolError("a row that is not there")

    def _line_rows(self, lines: Iterable[LineRow], rows: int) -> None:
        for line in lines:
            if line.row >= rows or line.graph >= len(self._graphs):
                raise ProtocolError("a line's value that is not there")


def elements(table: Tensors) -> np.ndarray[Any, np.dtype[np.int64]]:
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


def _within(column: np.ndarray[Any, Any], low: int, high: int, what: str) -> None:
    if len(column) and (int(column.min()) < low or int(column.max()) >= high):
        raise ProtocolError(f"the column {what} points outside")
