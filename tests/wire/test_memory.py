"""The estimate of an event's memory is what Python allocates for it, and what the process grows by."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc

import pytest
from tapedeck import wire

from ..handmade_events import fit
from .every_kind import AT_LIMITS, BEGINNING, EMPTY, KINDS, bare_step, chain, ints, parameter_row

ROWS = dict.fromkeys(("value", "contribution", "grad_before", "grad_after", "value_after", "grad_used", "update"), 300)
MANY = {
    "rows of lines": wire.LinesEvent([wire.LineRow(line, None, "ab", -1, 300, 300) for line in range(300, 3_000)], EMPTY),
    "rows of parameters": bare_step(parameters=[parameter_row(index, **ROWS) for index in range(300, 3_000)]),
    "states": bare_step(
        parameters=[parameter_row(index, **ROWS, state={"exp_avg": 300, "step": 400}) for index in range(300, 3_000)]
    ),
    "texts": chain(1_000, strings=[f"{index}" for index in range(1_000)]),
    "numbers": bare_step(forward=list(range(1_000, 3_000)), passes=list(range(1_000, 3_000))),
    "columns": chain(2_000, saved=ints(*range(2_000))),
    "rebinds": bare_step(rebinds=[wire.RebindRow("name", 300, 300, 300, 300, True, True) for _ in range(2_000)]),
}


def allocated(events: list[wire.AnyEvent]) -> int:
    """Return the bytes that Python allocates to decode events."""
    message = wire.pack(events)
    wire.unpack(message)
    gc.disable()  # a collection takes seconds in a process that has run other tests
    tracemalloc.start()
    try:
        decoded = wire.unpack(message)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(decoded) == len(events)
    return size - 72 - 8 * len(events)


@pytest.mark.parametrize("event", MANY.values(), ids=MANY)
def test_an_event_with_many_rows_takes_what_is_estimated(event: wire.AnyEvent) -> None:
    assert 0.6 < allocated([event]) / wire.memory_of(event) < 1.02


@pytest.mark.parametrize("events", AT_LIMITS.values(), ids=AT_LIMITS)
def test_an_event_at_its_limits_takes_at_most_what_is_estimated(events: list[wire.AnyEvent]) -> None:
    assert allocated(events) < 1.02 * sum(map(wire.memory_of, events))


def test_a_recording_takes_what_is_estimated() -> None:
    events = fit(300)
    assert 0.5 < allocated(events) / sum(map(wire.memory_of, events)) < 1.02


@pytest.mark.parametrize("event", [*BEGINNING, *KINDS], ids=lambda event: type(event).__name__)
def test_an_event_of_each_kind_takes_at_most_what_is_estimated(event: wire.AnyEvent) -> None:
    assert allocated([event] * 50) / 50 < 1.02 * wire.memory_of(event)


GROWTH = """\
import resource
from tapedeck import wire

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

row = wire.ParameterRow(300, "weight", 301, 302, 303, 304, 305, {"exp_avg": 306})
step = wire.StepEvent(0, None, [], [], [], [], [], -1, [], -1, None, [row] * 20_000, [], None, wire.TensorTable())
message = wire.pack([step])
wire.unpack(message)
before = resident()
kept = [wire.unpack(message)[0] for _ in range(5)]
print((resident() - before) / sum(map(wire.memory_of, kept)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_process_grows_by_what_is_estimated() -> None:
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert 0.6 < float(done.stdout) < 1.1
