"""Events of every kind that a child may send, small and at their limits, and forged ones that must be refused."""

from __future__ import annotations

import struct
from typing import Any, get_args

import msgspec
from msgspec.structs import replace
from tapedeck import wire
from tapedeck.wire import bounds

from ..handmade_events import FIT, GRAPH, pass_, step, table

PROGRAM = FIT
"""The program whose recording the events belong to. It has 13 lines."""
NAME = "n" * wire.NAME_LENGTH
TEXT = "t" * bounds.TEXT_LENGTH
EMPTY = wire.TensorTable()


def ints(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def doubles(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


BEGINNING: list[wire.AnyEvent] = [
    wire.StartedEvent("2.13.0", "3.11.7"), wire.ParameterEvent(0, "m", [], "float32", 4), GRAPH, pass_(0, 1.0),
    step(0, 1.0, -9.0),
]  # fmt: skip
"""The events of a first step. The events of :data:`KINDS` may refer to them."""

SIGNALS: list[wire.AnyEvent] = [
    wire.Caught(line=8, error="RuntimeError", message="no", handler=9),
    wire.PassFailed(
        line=8, error="RuntimeError", message="no", step=1, pass_=1, graph=0, node=2, raised=-1, earlier=-1, saved="self",
        changed=6,
    ),
    wire.LeafRebound(line=10, step=1, parameter=0, name="m", grad_fn="SubBackward0"),
    wire.KeptByReference(line=10, step=1, kept=3, name="m", loads=True),
    wire.NonLeafGrad(line=10, step=1, graph=0, name="y"),
    wire.RequiresGradLate(line=4, step=0, name="m", passes=1),
    wire.Broadcast(line=7, step=0, shapes=([4, 1], [4])),
    wire.UnusedParameter(line=4, name="b", optimizer="SGD", steps=3),
    wire.GradientModified(line=8, step=1, pass_=1, graph=0, node=2, in_formula=True, shared=1),
    wire.ImplicitPass(line=13, scalar=True),
    wire.ImplicitPassFailed(line=13, message="no"),
    wire.GraphTooLarge(line=8, limit=250_000),
    wire.StdoutTruncated(limit=1_000),
    wire.RecorderFailed(message="KeyError: 3"),
    wire.StepsSummarized(step=1, every=100, slow=True),
    wire.StepsUnrecorded(step=1),
    *(
        kind(line=3)
        for kind in (
            wire.NumbersLeftOut, wire.PlottingStandIn, wire.SavedTensorsUnread, wire.Batched, wire.ForwardModeUsed,
            wire.CompiledEagerly, wire.TracedUnrecorded, wire.SeveralThreads,
        )
    ),
]  # fmt: skip

ANSWERS: list[wire.AnyEvent] = [
    wire.Surface(0, [1.0], 2.0, [3.0], [doubles(0.0, 1.0)], doubles(2.0, 3.0), b"\0\1"),
    wire.Checked(
        0, 0, "float64", struct.pack("<q", 0), *[doubles(1.0)] * 5, b"\0", ["Square"], "float32", ["relu at 0"]
    ),
    wire.Factors(0, 1, [wire.FactorRow(0, 0, 1)], [wire.ProductRow(0, 0, 1)], table(1.0, 2.0)),
    wire.Distributions(
        0, 1, wire.DistributionRow([2, 2], -1.0, 3.0, [2, 1], [(3, 3.0), (0, -1.0)], (1, float("inf"))), [None]
    ),
    wire.Dependence(0, 1, 0, 2, [wire.DependenceRow(2, [2, 3], 0, ints(0, 1), bytes([1, 0, 1, 1]), 1, False)]),
    wire.ExpressionValues(ints(0, 0), ints(1, 1), bytes([0, 3]), doubles(1.0, 0.0), ["NameError: x"], 3),
    wire.ExpressionUnreadable("The expression is not valid Python."),
    wire.CountedSteps(1, ints(1, 2), doubles(1.0, float("nan"))),
    wire.CountedLeaves(0, ints(0, -1), ints(1, -1), b"", table(1.0, 2.0)),
    wire.CountLost(),
    wire.Refused(0, "A hook changed it."),
]  # fmt: skip

KINDS: list[wire.AnyEvent] = [
    wire.StartedEvent("2.13.0", "3.11.7"),
    wire.OutputEvent("done\n", 0, "stderr"),
    wire.ProgressEvent(2, 10),
    wire.CellEvent(0, "tensor(1.)"),
    wire.ModuleFileEvent(0, "package/layers.py"),
    wire.LinesEvent([wire.LineRow(7, None, "1.0", 0, 0), wire.LineRow(13, None, None, 1, at=0)], table(1.0, [2.0, 3.0])),
    replace(GRAPH, index=1, formula_graph=ints(0, -1, -1, -1, -1), formula_node=ints(4, -1, -1, -1, -1)),
    pass_(1, 1.0),
    wire.ParameterEvent(1, "b", [3, 4], "float32", 5),
    replace(
        step(1, 1.0, -9.0),
        passes=[0],
        main=0,
        rebinds=[wire.RebindRow("m", 10, 0, 2, 0, True, False)],
        optimizer={"name": "SGD", "lr": 0.1, "nesterov": True, "momentum": None, "steps": 3, "betas": [0.9, None]},
        groups=[wire.GroupRow("SGD", [0], {"lr": 0.1}), wire.GroupRow("SGD", [], {"lr": 0.2})],
        losses={"aux": 1},
        ended=wire.StatementPosition(12, 7, True),
    ),
    wire.StoppedAt(13),
    wire.EndEvent("failed", wire.ProgramFailure("ValueError", "no", None, 13, "Traceback", (0, 4)), 12.5),
    *SIGNALS,
    *ANSWERS,
]  # fmt: skip
"""One valid event of each kind, after :data:`BEGINNING`."""


def reader(limits: Any, *beginning: wire.AnyEvent) -> wire.Reader:
    """Return a reader of the recording of :data:`PROGRAM`, unconfined, that has read the events of a beginning."""
    made = wire.Reader(limits, program=PROGRAM, replay=True, confined=False)
    list(made.feed(wire.frames(wire.pack(beginning or BEGINNING))))
    return made


def chain(nodes: int, index: int = 0, **columns: Any) -> wire.GraphEvent:
    """Return a graph of operations in a row."""
    none, zero = ints(*[-1] * nodes), bytes(4 * nodes)
    common = dict.fromkeys(("call", "name", "file", "module", "line", "start_column", "end_column", "parameter"), none)
    edges = max(0, nodes - 1)
    return replace(
        wire.GraphEvent(
            index, ["Mul"], kind=bytes(nodes), op=zero, outputs=ints(*[1] * nodes), saved_count=zero, saved=b"", roots=ints(0),
            source=ints(*range(edges)), slot=bytes(4 * edges), target=ints(*range(1, nodes)), input=bytes(4 * edges),
            gradient=bytes(edges), **common,
        ),
        **columns,
    )  # fmt: skip


def bare_step(**fields: Any) -> wire.StepEvent:
    """Return step 1 without any rows."""
    return replace(wire.StepEvent(1, None, [], [], [], [], [], -1, [], -1, None, [], [], None, EMPTY), **fields)


def parameter_row(parameter: int = 0, **fields: Any) -> wire.ParameterRow:
    return replace(wire.ParameterRow(parameter, None, -1, -1, -1, -1, -1), **fields)


DISTRIBUTION = wire.DistributionRow(
    [bounds.INT64] + [1] * (bounds.DIMENSIONS - 1), -1e300, 1e300,
    [2**55] * bounds.BINS, [(bounds.INT64 - 1, 1e300)] * bounds.LARGEST,
    (bounds.INT64 - 1, 1e300),
)  # fmt: skip

DEPENDENCE = wire.DependenceRow(
    300, [bounds.ROWS] + [bounds.INT64] * (bounds.DIMENSIONS - 1), 0, ints(*range(bounds.PROBES)),
    bytes(bounds.PROBES * bounds.ROWS), bounds.INT32,
)  # fmt: skip

AT_LIMITS: dict[str, list[wire.AnyEvent]] = {
    "a name": [wire.StartedEvent(NAME, NAME)],
    "a text": [wire.CellEvent(0, TEXT)],
    "printed text": [wire.OutputEvent("é" * bounds.OUTPUT_LENGTH)],
    "lines": [wire.LinesEvent([wire.LineRow(line, None, TEXT, at=0) for line in range(14)], EMPTY)],
    "a shape": [wire.ParameterEvent(1, NAME, [bounds.INT32] * bounds.DIMENSIONS, NAME, 1)],
    "shapes": [wire.Broadcast(line=1, step=0, shapes=([bounds.INT64] * bounds.DIMENSIONS,) * 2)],
    "texts of a graph": [chain(100, 1, strings=[f"{NAME[:290]}{index}" for index in range(500)])],
    "options": [bare_step(optimizer={f"{index}{NAME}"[:300]: [0.5] * bounds.OPTION_ITEMS for index in range(bounds.OPTIONS)})],
    "groups": [bare_step(groups=[wire.GroupRow(NAME, [0], {}) for _ in range(bounds.GROUPS)])],
    "a state": [bare_step(parameters=[parameter_row(state={f"{index}{NAME}"[:300]: -1 for index in range(bounds.OPTIONS)})])],
    "rebinds": [bare_step(rebinds=[wire.RebindRow(NAME, 1, 0, -1, 0, True, True)] * bounds.REBINDS)],
    "losses": [bare_step(losses={f"{index}{NAME}"[:300]: -1 for index in range(bounds.LOSSES)})],
    "a failure": [wire.EndEvent("failed", wire.ProgramFailure(NAME, TEXT, None, 14, TEXT, (2, 1)), 1e300)],
    "a surface": [wire.Surface(0, [0.0] * 2, 0.0, [0.0] * 2, [bytes(800)] * 2, bytes(80_000), bytes(10_000))],
    "a check": [wire.Checked(0, 0, NAME, *[bytes(80_000)] * 6, bytes(10_000), [NAME] * 100, NAME, [NAME] * 100)],
    "factors": [wire.Factors(0, 0, [wire.FactorRow(300, 300, -1)] * 10_000, [wire.ProductRow(300, -1, -1)] * 10_000, EMPTY)],
    "distributions": [wire.Distributions(0, 0, DISTRIBUTION, [DISTRIBUTION] * bounds.HISTOGRAMS)],
    "dependences": [wire.Dependence(0, 0, 0, bounds.ROWS, [DEPENDENCE] * bounds.DEPENDENCES)],
}
"""Valid events, each with a part as large as the schema allows. Each may follow :data:`BEGINNING`."""


def _changed(**columns: Any) -> list[wire.AnyEvent]:
    return [chain(3, 1, **columns)]


REFUSED: dict[str, list[wire.AnyEvent]] = {
    "a line beyond the program": [wire.LinesEvent([wire.LineRow(14, None, "1")], EMPTY)],
    "a line of another file": [wire.LinesEvent([wire.LineRow(1, "/etc/passwd", "1")], EMPTY)],
    "a line with two values": [wire.LinesEvent([wire.LineRow(1, None, "1")] * 2, EMPTY)],
    "a step's line beyond the program": [bare_step(forward=[14])],
    "a step's line of another file": [bare_step(values=[wire.LineRow(1, "other.py", "1")])],
    "a loop beyond the program": [bare_step(iteration=(14, 0))],
    "a line twice in a phase": [bare_step(update=[3, 3])],
    "a pass twice in a step": [bare_step(passes=[0, 0])],
    "a pass on a line beyond the program": [replace(pass_(1, 1.0), line=14)],
    "a pass of a step to come": [replace(pass_(1, 1.0), step=2)],
    "a parameter beyond the program": [wire.ParameterEvent(1, "b", [], "float32", 14)],
    "a parameter that exists": [wire.ParameterEvent(0, "b", [], "float32", 1)],
    "a parameter twice in a step": [bare_step(parameters=[parameter_row(0)] * 2)],
    "a parameter that does not exist": [bare_step(parameters=[parameter_row(1)])],
    "a parameter twice in a group": [bare_step(groups=[wire.GroupRow("SGD", [0, 0], {})])],
    "a rebind beyond the program": [bare_step(rebinds=[wire.RebindRow("m", 14, 0, -1, 0, True, True)])],
    "a signal beyond the program": [wire.ForwardModeUsed(line=14)],
    "a handler beyond the program": [wire.Caught(line=8, error="E", message="", handler=14)],
    "a stop beyond the program": [wire.StoppedAt(15)],
    "a failure beyond the program": [wire.EndEvent("failed", wire.ProgramFailure("E", "", None, 15, ""), 1.0)],
    "a failure in another file": [wire.EndEvent("failed", wire.ProgramFailure("E", "", "other.py", 1, ""), 1.0)],
    "a node on a line beyond the program": _changed(line=ints(14, -1, -1)),
    "a node in another file": _changed(file=ints(0, -1, -1)),
    "a file outside its folder": [wire.ModuleFileEvent(0, "../layers.py")],
    "a file out of order": [wire.ModuleFileEvent(1, "layers.py")],
    "a node in a file that was not named": _changed(origin_file=ints(0, -1, -1), origin_line=ints(1, -1, -1)),
    "a pass in a file that was not named": [replace(pass_(1, 1.0), origin=wire.OriginRow(0, 1))],
    "a parameter in a file that was not named": [wire.ParameterEvent(1, "b", [], "f", 1, wire.OriginRow(0, 1))],
    "an update in a file that was not named": [bare_step(update_origins=[wire.OriginRow(0, 1)])],
    "an operation with a parameter": _changed(parameter=ints(0, -1, -1)),
    "an edge to a node that does not exist": _changed(target=ints(1, 3)),
    "an edge to an output that does not exist": _changed(input=ints(0, 1)),
    "an edge that starts at a leaf": _changed(kind=bytes([0, wire.LEAF, wire.LEAF])),
    "a cycle": _changed(target=ints(1, 0)),
    "a cycle of one node": _changed(target=ints(1, 1)),
    "a root twice": _changed(roots=ints(0, 0)),
    "texts that no node refers to": _changed(strings=["Mul"] * 16),
    "a frame that does not exist": _changed(made=ints(0, 1, 2), frame=ints(0, -1, -1)),
    "a frame inside itself": _changed(
        made=ints(0, 1, 2), frame=ints(0, -1, -1), frame_parent=ints(0), frame_name=ints(0), frame_line=ints(1),
        frame_turn=ints(-1), frame_kind=b"\0",
    ),
    "a loop's frame beyond the program": _changed(
        made=ints(0, 1, 2), frame=ints(0, -1, -1), frame_parent=ints(-1), frame_name=ints(-1), frame_line=ints(14),
        frame_turn=ints(-1), frame_kind=b"\1",
    ),
    "columns that disagree": _changed(op=bytes(8)),
    "counts that disagree": _changed(saved_count=ints(0, 1, 0)),
    "a table with names but no rows": [wire.LinesEvent([], wire.TensorTable(names=["AddBackward0"]))],
    "a table with more names than rows": [wire.LinesEvent([], replace(table(1.0), names=["AddBackward0"] * 2))],
    "a row that does not exist": [bare_step(loss_row=0)],
}  # fmt: skip
"""Events that fit the schema, but whose parts contradict each other or :data:`BEGINNING`."""


def packed(value: Any) -> bytes:
    """Return a message with a value that need not be an event, as frames."""
    return wire.frames(msgspec.msgpack.encode(value))


assert {type(event) for event in KINDS} == {kind for part in get_args(wire.AnyEvent) for kind in (get_args(part) or (part,))}, (
    "one event of each kind"
)
