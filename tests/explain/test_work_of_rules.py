"""Test that the work of every rule is proportional to the recording, on graphs and runs that are made to cause more work.

Work is the number of executed lines, so the test does not depend on the machine.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest
from tapedeck import model, wire
from tapedeck.explain.findings import of_rules
from tapedeck.recording import MemoryLog, Recording

from ..handmade_events import FIT, fit, ints, step, table

NAN, INF = float("nan"), float("inf")
SMALL, FACTOR = 100, 4
SLACK = 1.6
"""A test fails if the work grows by more than this factor beyond proportional growth. Quadratic growth gives 4."""

Events = list[wire.AnyEvent]


def work(events: Events, program: str) -> int:
    """Return the number of lines that all rules execute."""
    recording = Recording(MemoryLog(events), program)
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in of_rules(recording, model.Program(program, "program", [(1, program.count("\n") + 1)])):
            pass
    finally:
        sys.settrace(before)
    return count


def recorded(
    values: list[Any],
    gradients: list[Any],
    *,
    edges: list[tuple[int, int]] | None = None,
    ops: Callable[[int], str] = lambda index: "MulBackward0",
    leaves: int = 1,
) -> Events:
    """Return the events of one pass. Without ``edges``, its nodes are a chain. The last ``leaves`` nodes are leaves."""
    count = len(values)
    ends = edges if edges is not None else [(index, index + 1) for index in range(count - 1)]
    kinds = [wire.OP] * (count - leaves) + [wire.LEAF] * leaves
    names = [ops(index) if kind == wire.OP else "AccumulateGrad" for index, kind in enumerate(kinds)]
    strings = sorted({*names})
    none, ones = ints(*[-1] * count), ints(*[1] * count)
    graph = wire.GraphEvent(
        index=0, strings=strings, kind=bytes(kinds), op=ints(*map(strings.index, names)), call=none, name=none, file=none,
        module=none, line=ints(*[6] * count), start_column=none, end_column=none, outputs=ones,
        parameter=ints(*[0 if kind == wire.LEAF else -1 for kind in kinds]), saved_count=ints(*[0] * count), saved=b"",
        roots=ints(0), source=ints(*[source for source, _ in ends]), slot=ints(*[0] * len(ends)),
        target=ints(*[target for _, target in ends]), input=ints(*[0] * len(ends)), gradient=bytes([1]) * len(ends),
    )  # fmt: skip
    own, arrived = ints(*range(count)), ints(*range(count, 2 * count))
    pass_ = wire.PassEvent(
        index=0, step=0, kind="backward", parent=-1, graph=0, line=8, order=own, value=own, arrived=arrived, used=arrived,
        edge=ints(*[count + source for source, _ in ends]), saved=b"", tensors=table(*values, *gradients),
    )  # fmt: skip
    return [
        wire.StartedEvent("2.13.0", "3.11.7"), wire.ParameterEvent(0, "m", [], "float32", 4),
        graph, pass_, step(0, 1.0, 1.0), wire.EndEvent("done", None, 1.0),
    ]  # fmt: skip


def alternating(count: int) -> Events:
    values = [NAN if index % 2 else 1.0 for index in range(count)]
    return recorded(values, [NAN if index % 2 == 0 else 1.0 for index in range(count - 1)] + [NAN])


def ladder(count: int) -> Events:
    edges = [(index, min(index + jump, count - 1)) for index in range(count - 1) for jump in (1, 2)]
    return recorded([NAN] * count, [NAN] * count, edges=edges)


def hub(count: int) -> Events:
    edges = [(0, index) for index in range(1, count - 1)] + [(index, count - 1) for index in range(count - 1)]
    return recorded([INF] * count, [NAN] * count, edges=edges)


def cycle(count: int) -> Events:
    return recorded([NAN] * count, [NAN] * count, edges=[(index, (index + 1) % count) for index in range(count)])


def relus(count: int) -> Events:
    return recorded(
        [[0.0, 0.0]] * count,
        [1.0] + [[0.0, 0.0]] * (count - 1),
        ops=lambda index: "ReluBackward0" if index % 2 else "AddmmBackward0",
    )


def leaves(count: int) -> Events:
    return recorded([1.0] * count, [NAN] * count, edges=[(0, index) for index in range(1, count)], leaves=count - 1)


def columns(count: int) -> Events:
    """A chain of columns. Each of them meets the same row, and all the results go into one mean."""
    meetings = count // 2 - 1
    first = 1 + meetings
    last = first + meetings
    edges = [(0, 1 + at) for at in range(meetings)]
    edges += [(1 + at, first + at) for at in range(meetings)] + [(1 + at, last) for at in range(meetings)]
    edges += [(first + at, first + at + 1) for at in range(meetings - 1)]
    ops = ["MeanBackward0", *["SubBackward0"] * meetings, *["NegBackward0"] * (meetings - 1), "ViewBackward0", "AccumulateGrad"]
    shapes = [[], *[[2, 2]] * meetings, *[[2, 1]] * meetings, [2]]
    events = recorded([1.0] * len(ops), [1.0] * len(ops), edges=edges, ops=ops.__getitem__)
    return [
        msgspec.structs.replace(event, tensors=shaped(shapes * 2)) if isinstance(event, wire.PassEvent) else event
        for event in events
    ]


def shaped(shapes: list[list[int]]) -> wire.TensorTable:
    """Return a table of tensors without numbers."""
    dims = b"".join(struct.pack("<q", size) for shape in shapes for size in shape)
    return wire.TensorTable(
        dtype=bytes(len(shapes)), flags=bytes(len(shapes)), grad_fn=bytes(2 * len(shapes)), ndim=bytes(map(len, shapes)),
        dims=dims, stats=b"", counts=b"", values=b"",
    )  # fmt: skip


def before_the_end(*events: wire.AnyEvent, status: str = "done") -> Events:
    *first, end = fit()
    return [*first, *events, end]


def signals(count: int) -> Events:
    made: Events = []
    for line in range(1, count):
        made += [
            wire.GraphTooLarge(line=line, limit=100),
            wire.NonLeafGrad(line=line, step=0, graph=0, name=f"y{line}"),
            wire.RequiresGradLate(line=line, step=0, name="x", passes=0),
            wire.LeafRebound(line=line, step=0, parameter=0, name=f"m{line}", grad_fn=None),
            wire.Caught(line=line, error="RuntimeError", message=f"modified by an inplace operation {line}", handler=line),
            wire.GradientModified(line=line, step=0, pass_=0, graph=0, node=1, in_formula=False),
            wire.UnusedParameter(line=line, name="w", optimizer="SGD", steps=100),
        ]
    return before_the_end(*made)


def failed_passes(count: int) -> Events:
    """Passes that are nested in one another, and that all failed with the same exception."""
    *first, end = fit()
    passes = [event for event in first if isinstance(event, wire.PassEvent)]
    made: Events = []
    for index in range(2, count):
        failed = wire.PassFailed(
            line=8, error="RuntimeError", message="it failed", step=0, pass_=index, graph=0, node=1, raised=-1, earlier=-1,
            saved=None, changed=-1,
        )  # fmt: skip
        made += [failed, msgspec.structs.replace(passes[0], index=index, parent=index - 1)]
    return [*first, *made, end]


def rebinds(count: int) -> Events:
    """Steps in which many names move away from their parameters."""
    *first, end = fit()
    made = [
        wire.RebindRow(name=f"m[{index}]", line=index % 10 + 1, parameter=0, row=-1, graph=-1, uses_gradient=True, leaf=False)
        for index in range(count)
    ]
    return [
        *(msgspec.structs.replace(event, rebinds=made) if isinstance(event, wire.StepEvent) else event for event in first),
        end,
    ]


RECORDINGS = [alternating, ladder, hub, cycle, relus, leaves, columns, signals, failed_passes, rebinds, fit]


@pytest.mark.parametrize("make", RECORDINGS, ids=lambda make: make.__name__)
def test_the_work_of_all_rules_grows_with_the_recording(make: Callable[[int], Events]) -> None:
    small, large = (work(make(size), FIT) for size in (SMALL, FACTOR * SMALL))
    assert large <= SLACK * FACTOR * small


def updating(lines: list[int]) -> Events:
    """A run whose step updates on these lines, and which ended with an exception on the last one."""
    *first, _ = fit()
    failure = wire.ProgramFailure(
        "RuntimeError", "a leaf Variable that requires grad is being used in an in-place operation.", None, lines[-1], ""
    )
    return [
        *(msgspec.structs.replace(event, update=lines) if isinstance(event, wire.StepEvent) else event for event in first),
        wire.EndEvent("failed", failure, 1.0),
    ]


PROGRAMS: dict[str, Callable[[int], str]] = {
    "updates through data": lambda at: f"w{at}.data -= 0.1 * w{at}.grad",
    "updates in place": lambda at: f"w{at} -= 0.1 * w{at}.grad",
    "updates under their own names": lambda at: f"g{at} = g{at - 1} + w{at}.grad; w{at}.sub_(g{at})",
    "nested calls": lambda at: f"x = f(g(h(x.detach(), {at})))",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_work_of_all_rules_grows_with_the_program(name: str) -> None:
    def of(count: int) -> int:
        lines = ["import torch", *map(PROGRAMS[name], range(count)), "loss.backward()"]
        loop = "for step in range(3):\n" + "\n".join(f"    {line}" for line in lines)
        return work(updating(list(range(2, count + 2))), loop)

    assert of(FACTOR * SMALL) <= SLACK * FACTOR * of(SMALL)


def test_a_position_in_a_long_line_is_found_without_reading_the_line() -> None:
    def of(count: int) -> int:
        return work(updating([1]), "; ".join(f"w{at} -= w{at}.grad" for at in range(count)))

    assert of(FACTOR * SMALL) <= SLACK * FACTOR * of(SMALL)
