"""Whatever a child sends, the reader of frames yields valid events or raises ``ProtocolError``."""

from __future__ import annotations

import contextlib
import itertools
import struct
from array import array

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapedeck import wire
from tapedeck.errors import ProtocolError
from tapedeck.model import Limits

LIMITS = Limits(message_bytes=3 << 20, recording_bytes=4 << 20, events=1000, nodes=1000)


def ints(*numbers: int) -> bytes:
    return array("i", numbers).tobytes()


def table(rows: int = 1) -> wire.TensorTable:
    """Return a table of float32 scalars with the values 0, 1, …"""
    flags = bytes([wire.HAS_VALUES] * rows)
    return wire.TensorTable(
        bytes(rows), flags, bytes(2 * rows), [], bytes(rows), b"", b"", b"", struct.pack(f"<{rows}f", *range(rows))
    )


def graph(nodes: int = 2) -> wire.GraphEvent:
    none, zero = ints(*[-1] * nodes), ints(*[0] * nodes)
    columns = dict.fromkeys(("call", "name", "file", "module", "line", "start_column", "end_column", "parameter"), none)
    edges = {"source": ints(0), "slot": ints(0), "target": ints(1), "input": ints(0), "gradient": b"\1"}
    rest = {"op": zero, "outputs": ints(*[1] * nodes), "saved_count": zero, "saved": b"", "roots": ints(0)}
    return wire.GraphEvent(0, ["MulBackward0"], kind=bytes(nodes), **rest, **columns, **edges)


def a_pass(rows: int = 1) -> wire.PassEvent:
    return wire.PassEvent(
        0, 0, "backward", -1, 0, 3, ints(0, 1), ints(0, -1), ints(0, 0), ints(0, 0), ints(0), b"", table(rows)
    )  # fmt: skip


VALID = [
    wire.StartedEvent("2.13.0", "3.11.7"),
    wire.OutputEvent("héllo <script>\n"),
    wire.ProgressEvent(1),
    wire.LinesEvent([wire.LineRow(1, None, "1", 0)], table()),
    graph(),
    a_pass(),
    wire.ParameterEvent(0, "m", [], "float32", 3),
    wire.StdoutTruncated(limit=3),
    wire.EndEvent("done", None, 1.5),
]
GRAPH_COLUMNS = ["kind", "op", "call", "line", "outputs", "saved_count", "saved", "roots", "source", "target", "gradient"]
STREAM = wire.frames(wire.pack(VALID[:4])) + wire.frames(wire.pack(VALID[4:]))


def read(data: bytes, cuts: list[int] | None = None) -> list[wire.AnyEvent]:
    reader = wire.Reader(LIMITS)
    positions = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    return [event for start, end in itertools.pairwise(positions) for event in reader.feed(data[start:end])]


def test_valid_events_are_read_unchanged() -> None:
    assert read(STREAM) == VALID


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_the_chunks_of_the_pipe_do_not_matter(cuts: list[int]) -> None:
    assert read(STREAM, cuts) == VALID


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_incomplete(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert read(data) == []


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_stream_with_changed_bytes_is_valid_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(STREAM)
    for index, value in changes:
        data[index] = value
    try:
        events = read(bytes(data))
    except ProtocolError:
        return
    assert all(isinstance(event, wire.Event) for event in events)


ATOMS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
)


def nests(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4)


@settings(max_examples=300)
@given(st.recursive(ATOMS, nests, max_leaves=20))
def test_a_message_of_any_shape_is_valid_or_refused(message: object) -> None:
    try:
        read(wire.frames(msgspec.msgpack.encode([message])))
    except ProtocolError:
        return


@settings(max_examples=300)
@given(
    st.sampled_from([*GRAPH_COLUMNS, "formula_graph", "formula_node"]),
    st.binary(max_size=40),
)
def test_a_graph_with_a_changed_column_is_valid_or_refused(column: str, value: bytes) -> None:
    changed = msgspec.structs.replace(graph(), **{column: value})
    try:
        read(wire.frames(wire.pack([changed, a_pass()])))
    except ProtocolError:
        return


@pytest.mark.parametrize(("graphs", "nodes"), [((0, -1), (0, -1)), ((1, -1), (0, -1)), ((-1, -1), (0, -1)), ((0,), (0,))])
def test_a_formula_must_refer_to_an_earlier_graph(graphs: tuple[int, ...], nodes: tuple[int, ...]) -> None:
    changed = msgspec.structs.replace(graph(), formula_graph=ints(*graphs), formula_node=ints(*nodes))
    with pytest.raises(ProtocolError):
        read(wire.frames(wire.pack([changed])))
    second = msgspec.structs.replace(graph(), index=1, formula_graph=ints(0, -1), formula_node=ints(1, -1))
    assert read(wire.frames(wire.pack([graph(), second])))[1] == second
    beyond = msgspec.structs.replace(second, formula_node=ints(2, -1))
    with pytest.raises(ProtocolError):
        read(wire.frames(wire.pack([graph(), beyond])))


@settings(max_examples=300)
@given(st.sampled_from(["dtype", "flags", "grad_fn", "ndim", "dims", "stats", "counts", "values"]), st.binary(max_size=40))
def test_a_table_with_a_changed_column_is_valid_or_refused(column: str, value: bytes) -> None:
    changed = msgspec.structs.replace(table(2), **{column: value})
    try:
        read(wire.frames(wire.pack([wire.LinesEvent([wire.LineRow(1, None, None, 1)], changed)])))
    except ProtocolError:
        return


@pytest.mark.parametrize("rows", [1, 16, 17, 64])
def test_a_table_whose_sizes_overflow_is_refused(rows: int) -> None:
    # Each row has 2**60 elements. The sum over sixteen rows is 2**64, which overflows int64 to zero.
    dims = struct.pack("<q", 1 << 60) * rows
    flags = bytes([wire.HAS_VALUES] * rows)
    huge = wire.TensorTable(bytes(rows), flags, bytes(2 * rows), [], bytes([1] * rows), dims, b"", b"", b"")
    with pytest.raises(ProtocolError):
        read(wire.frames(wire.pack([wire.LinesEvent([], huge)])))


OUT_OF_BOUNDS = {
    "a frame that is too long": struct.pack("<I", (1 << 20) + 1),
    "an empty frame that is not the last": struct.pack("<I", 1 << 31),
    "a short frame that is not the last": struct.pack("<I", 10 | 1 << 31) + bytes(10),
    "a message that never ends": (struct.pack("<I", 1 << 20 | 1 << 31) + bytes(1 << 20)) * 4,
    "an empty message": wire.frames(b""),
    "deeply nested lists": wire.frames(b"\x91" * 100_000),
    "a status that only the server may set": wire.frames(wire.pack([wire.EndEvent("interrupted", None, 1.0)])),
    "a long text": wire.frames(wire.pack([wire.OutputEvent("x" * 200_001)])),
    "many events": wire.frames(wire.pack([wire.ProgressEvent(1)] * 1001)),
    "an unknown field": wire.frames(b"\x91\x94\xa8progress\x01\x02\x03"),
}


@pytest.mark.parametrize("data", OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS)
def test_data_beyond_a_limit_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


SIGNALS = {
    "a step that has not begun": wire.Broadcast(line=1, step=1, shapes=([2, 1], [2])),
    "a graph that does not exist": wire.NonLeafGrad(line=1, step=0, graph=1, name="y"),
    "a parameter that does not exist": wire.LeafRebound(line=1, step=0, parameter=1, name="m", grad_fn=None),
}
FAILED = wire.PassFailed(
    line=1, error="ValueError", message="no", step=0, pass_=1, graph=0, node=1, raised=-1, earlier=-1, saved=None, changed=-1
)


@pytest.mark.parametrize("reason", SIGNALS)
def test_a_signal_that_refers_to_something_missing_is_refused(reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        read(wire.frames(wire.pack([*VALID[:-1], SIGNALS[reason]])))


@pytest.mark.parametrize(("field", "index"), [("step", 1), ("graph", 1), ("earlier", 1), ("node", 2)])
def test_a_failed_pass_must_refer_to_a_step_a_graph_and_a_node_that_exist(field: str, index: int) -> None:
    assert read(wire.frames(wire.pack([*VALID[:-1], FAILED]))) == [*VALID[:-1], FAILED]
    with pytest.raises(ProtocolError):
        read(wire.frames(wire.pack([*VALID[:-1], msgspec.structs.replace(FAILED, **{field: index})])))


@pytest.mark.parametrize(
    "message", [["signal", "caught", None, 1, -1, -1, -1, {}], ["caught", 1, "E" * 301, "", 2], ["caught", 1]]
)
def test_a_signal_of_another_shape_is_refused(message: list[object]) -> None:
    with pytest.raises(ProtocolError):
        read(wire.frames(msgspec.msgpack.encode([message])))
