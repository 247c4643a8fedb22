"""Everything that a child sends is bounded: each field by the schema, and each reference by the events before it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, inspect
from tapedeck import wire
from tapedeck.errors import ProtocolError
from tapedeck.model import Limits
from tapedeck.wire import bounds

from .every_kind import AT_LIMITS, BEGINNING, EMPTY, KINDS, PROGRAM, REFUSED, bare_step, parameter_row, reader

LIMITS = Limits()


def unbounded(kind: inspect.Type, path: str, seen: set[type]) -> Iterator[str]:
    """Yield the path of each part of a type that may be arbitrarily large."""
    match kind:
        case inspect.StrType() | inspect.BytesType():
            if kind.max_length is None:
                yield path
        case inspect.IntType():
            if kind.ge is None or kind.le is None:
                yield path
        case inspect.ListType() | inspect.VarTupleType() | inspect.CollectionType():
            if kind.max_length is None:
                yield path
            yield from unbounded(kind.item_type, f"{path}[]", seen)
        case inspect.DictType():
            if kind.max_length is None:
                yield path
            yield from unbounded(kind.key_type, f"{path} keys", seen)
            yield from unbounded(kind.value_type, f"{path} values", seen)
        case inspect.TupleType():
            for item in kind.item_types:
                yield from unbounded(item, f"{path}[]", seen)
        case inspect.UnionType():
            for each in kind.types:
                yield from unbounded(each, path, seen)
        case inspect.StructType():
            if kind.cls not in seen:
                seen.add(kind.cls)
                for field in kind.fields:
                    yield from unbounded(field.type, f"{kind.cls.__name__}.{field.name}", seen)
        case inspect.NoneType() | inspect.BoolType() | inspect.FloatType() | inspect.LiteralType():
            pass
        case _:
            yield f"{path}: {kind}"


def test_every_part_of_every_event_has_a_bound() -> None:
    seen: set[type] = set()
    assert list(unbounded(inspect.type_info(wire.AnyEvent), "", seen)) == []
    assert {type(event) for event in KINDS} <= seen
    assert {wire.TensorTable, wire.LineRow, wire.ParameterRow, wire.GroupRow, wire.RebindRow} <= seen


def test_an_unbounded_part_would_be_found() -> None:
    class Loose(msgspec.Struct):
        text: str
        rows: Annotated[list[int], Meta(max_length=3)]
        pairs: dict[wire.NAME_LENGTH.__class__, None]
        free: Any

    found = list(unbounded(inspect.type_info(Loose), "", set()))
    assert [path.partition(":")[0] for path in found] == [
        "Loose.text", "Loose.rows[]", "Loose.pairs", "Loose.pairs keys", "Loose.free",
    ]  # fmt: skip


@pytest.mark.parametrize("event", KINDS, ids=lambda event: type(event).__name__)
def test_a_valid_event_of_each_kind_is_read_unchanged(event: wire.AnyEvent) -> None:
    message = wire.pack([event])
    assert wire.pack(list(reader(LIMITS).feed(wire.frames(message)))) == message


@pytest.mark.parametrize("events", AT_LIMITS.values(), ids=AT_LIMITS)
def test_an_event_at_its_limits_is_read_and_accounted_for(events: list[wire.AnyEvent]) -> None:
    made = reader(LIMITS)
    before = made.memory
    message = wire.pack(events)
    assert wire.pack(list(made.feed(wire.frames(message)))) == message
    assert made.memory - before == sum(map(wire.memory_of, events))


@pytest.mark.parametrize("events", REFUSED.values(), ids=REFUSED)
def test_an_event_that_contradicts_the_program_or_itself_is_refused(events: list[wire.AnyEvent]) -> None:
    with pytest.raises(ProtocolError) as refused:
        list(reader(LIMITS).feed(wire.frames(wire.pack(events))))
    assert not isinstance(refused.value, wire.Overflow)


def test_a_confined_program_names_no_file() -> None:
    with pytest.raises(ProtocolError, match="names a file"):
        list(wire.Reader(LIMITS).feed(wire.frames(wire.pack([wire.ModuleFileEvent(0, "layers.py")]))))


def test_without_a_program_its_lines_are_unknown() -> None:
    lines = wire.LinesEvent([wire.LineRow(10_000, None, "1")], EMPTY)
    assert len(list(wire.Reader(LIMITS).feed(wire.frames(wire.pack([lines]))))) == 1


def test_a_program_that_ends_too_early_fails_on_the_line_after_its_last() -> None:
    end = wire.EndEvent("failed", wire.ProgramFailure("SyntaxError", "", None, len(PROGRAM.splitlines()) + 1, ""), 1.0)
    assert list(reader(LIMITS).feed(wire.frames(wire.pack([end])))) == [end]


def peak(data: bytes) -> int:
    """Return the memory that refusing some frames takes at most, in bytes."""
    made = wire.Reader(LIMITS, program=PROGRAM)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            list(made.feed(data))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


NULLS = b"\xc0" * (2 << 20)


@pytest.mark.parametrize(
    "message",
    [
        b"\xdd" + len(NULLS).to_bytes(4) + NULLS,  # a list of millions of nulls
        b"\x91\xdd" + len(NULLS).to_bytes(4) + NULLS,  # an event of millions of nulls
        b"\x91\x93\xa5lines\xdd" + len(NULLS).to_bytes(4) + NULLS,  # millions of rows
        b"\x91\x93\xa5lines\xdd\x7f\xff\xff\xff",  # rows that are missing
    ],
    ids=["events", "fields", "rows", "missing rows"],
)
def test_a_forged_length_is_refused_before_memory_is_allocated_for_it(message: bytes) -> None:
    assert peak(wire.frames(message)) < 6 * len(NULLS)


def test_an_event_of_too_many_rows_ends_the_recording_before_it_is_decoded() -> None:
    step = bare_step(parameters=[parameter_row(state={"a": -1})] * 350_000)  # the decoded step would take more than 100 MB
    data = wire.frames(wire.pack([step]))
    assert bounds.STRUCTURE_BYTES < len(data) < 5 << 20
    made = wire.Reader(LIMITS, program=PROGRAM)
    with pytest.raises(wire.Overflow, match="4 MB of texts and rows"):
        list(made.feed(data))
    assert (made.events, made.memory) == (1, 0)


def test_packed_columns_do_not_count_as_structure() -> None:
    text = wire.OutputEvent("x" * 100)
    rows = 1_200_000
    flat = wire.TensorTable(bytes(rows), bytes(rows), bytes(2 * rows), [], bytes(rows))
    large = wire.LinesEvent([], flat)
    assert len(wire.pack([large])) > bounds.STRUCTURE_BYTES
    assert list(wire.Reader(LIMITS).feed(wire.frames(wire.pack([large, text]))))[1] == text


def test_many_rows_of_texts_end_the_recording_at_its_limit() -> None:
    rows = [wire.LineRow(line, None, "x" * 20_000) for line in range(250)]
    with pytest.raises(wire.Overflow, match="4 MB"):
        list(wire.Reader(LIMITS).feed(wire.frames(wire.pack([wire.LinesEvent(rows, EMPTY)]))))


def test_a_recording_ends_when_its_events_take_too_much_memory() -> None:
    limits = msgspec.structs.replace(LIMITS, recording_bytes=1 << 20)
    made = reader(limits, *BEGINNING, *(wire.ParameterEvent(index, None, [], "f", 1) for index in range(1, 2_000)))
    rows = [parameter_row(index) for index in range(2_000)]
    steps = b"".join(wire.frames(wire.pack([bare_step(index=index, parameters=rows)])) for index in range(1, 20))
    with pytest.raises(wire.Overflow, match="1 MB"):
        list(made.feed(steps))
    assert made.memory > 4 << 20
    assert made.total < 1 << 20
