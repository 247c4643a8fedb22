"""Printed text is read by stream, by cell, and in order."""

from __future__ import annotations

from tapedeck import model, wire
from tapedeck.recording import MemoryLog, Recording, printed

TEXTS = [
    wire.OutputEvent("a"),
    wire.OutputEvent("b"),
    wire.OutputEvent("c", 0, "stderr"),
    wire.OutputEvent("d", 1, "stderr"),
    wire.OutputEvent("e", 1),
    wire.OutputEvent("f", 1, "stderr"),
    wire.OutputEvent("g", 1),
]


def test_each_stream_is_read_by_itself_and_by_cell() -> None:
    recording = Recording(MemoryLog(TEXTS), "x\ny")
    assert (recording.stdout(), recording.stderr()) == ("abeg", "cdf")
    program = model.Program("x\ny", "notebook", ((1, 1), (2, 2)))
    assert [(cell.stdout, cell.stderr) for cell in recording.cells(program)] == [("ab", "c"), ("eg", "df")]


def test_both_streams_are_joined_in_order() -> None:
    assert printed.in_order(MemoryLog(TEXTS)) == [
        model.Printed("stdout", "ab", 0),
        model.Printed("stderr", "c", 0),
        model.Printed("stderr", "d", 1),
        model.Printed("stdout", "e", 1),
        model.Printed("stderr", "f", 1),
        model.Printed("stdout", "g", 1),
    ]


def test_text_after_the_bound_is_joined_by_stream() -> None:
    texts = printed.in_order(MemoryLog(TEXTS), 3)
    assert [(each.stream, each.text, each.cell) for each in texts[3:]] == [("stdout", "eg", 1), ("stderr", "f", 1)]
    assert printed.in_order(MemoryLog(TEXTS[:2]), 1) == [model.Printed("stdout", "ab", 0)]


def test_output_that_was_recorded_without_a_stream_is_stdout() -> None:
    old = wire.pack([wire.OutputEvent("old", 2)])
    assert b"stdout" in old
    without = b"\x91\x93\xa6output\xa3old\x02"
    assert list(wire.unpack(without)) == [wire.OutputEvent("old", 2, "stdout")]
