"""Build the events of small training loops by hand, for tests that need no PyTorch."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec
from tapedeck import wire

FIT = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
for step in range(2):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.01 * m.grad
        m.grad = None
print("done")
m
"""
"""The program whose events :func:`fit` returns."""


def ints(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def table(*rows: float | Sequence[float], requires_grad: bool = False) -> wire.TensorTable:
    """Return a table of float32 tensors: a scalar for each number, a vector for each sequence."""
    lists = [list(row) if isinstance(row, Sequence) else [row] for row in rows]
    vectors = [isinstance(row, Sequence) for row in rows]
    full = [values for values, vector in zip(lists, vectors, strict=True) if vector]
    stats = b"".join(
        struct.pack("<4d", min(v), max(v), sum(v) / len(v), sum(x * x for x in v) ** 0.5) for v in full
    )  # fmt: skip
    return wire.TensorTable(
        dtype=bytes(len(rows)),
        flags=bytes(
            wire.HAS_VALUES | wire.IS_LEAF | (wire.HAS_STATS if vector else 0) | (wire.REQUIRES_GRAD if requires_grad else 0)
            for vector in vectors
        ),
        grad_fn=bytes(2 * len(rows)),
        ndim=bytes(vectors),
        dims=b"".join(struct.pack("<q", len(v)) for v in full),
        stats=stats,
        counts=b"".join(struct.pack("<3q", v.count(0), 0, 0) for v in full),
        values=b"".join(struct.pack(f"<{len(v)}f", *v) for v in lists),
    )


STRINGS = ["MeanBackward0", "loss", "PowBackward0", "self", "SubBackward0", "MulBackward0", "y_pred", "AccumulateGrad", "m"]

GRAPH = wire.GraphEvent(
    index=0,
    strings=STRINGS,
    kind=bytes([wire.OP, wire.OP, wire.OP, wire.OP, wire.LEAF]),
    op=ints(0, 2, 4, 5, 7),
    call=ints(-1, -1, -1, -1, -1),
    name=ints(1, -1, -1, 6, 8),
    file=ints(-1, -1, -1, -1, -1),
    module=ints(-1, -1, -1, -1, -1),
    line=ints(7, 7, 7, 6, 4),
    start_column=ints(11, 12, 13, 13, -1),
    end_column=ints(38, 30, 23, 18, -1),
    outputs=ints(1, 1, 1, 1, 1),
    parameter=ints(-1, -1, -1, -1, 0),
    saved_count=ints(0, 1, 0, 0, 0),
    saved=ints(3),
    roots=ints(0),
    source=ints(0, 1, 2, 3),
    slot=ints(0, 0, 0, 0),
    target=ints(1, 2, 3, 4),
    input=ints(0, 0, 0, 0),
    gradient=bytes([1, 1, 1, 1]),
)


def pass_(index: int, m: float) -> wire.PassEvent:
    """Return the pass of ``loss.backward()``, with the numbers that PyTorch computes for this ``m``."""
    x, y = (1.0, 2.0, 3.0), (2.0, 4.0, 6.0)
    error = [m * a - b for a, b in zip(x, y, strict=True)]
    loss = sum(e * e for e in error) / 3
    third = [1 / 3] * 3
    slope = [2 * e / 3 for e in error]
    grad = sum(s * a for s, a in zip(slope, x, strict=True))
    rows = table(loss, [e * e for e in error], error, [m * a for a in x], m, 1.0, third, slope, slope, grad)
    return wire.PassEvent(
        index=index,
        step=index,
        kind="backward",
        parent=-1,
        graph=0,
        line=8,
        order=ints(0, 1, 2, 3, 4),
        value=ints(0, 1, 2, 3, 4),
        arrived=ints(5, 6, 7, 8, 9),
        used=ints(5, 6, 7, 8, 9),
        edge=ints(6, 7, 8, 9),
        saved=ints(2),
        tensors=rows,
    )


def step(index: int, m: float, grad: float) -> wire.StepEvent:
    after = m - 0.01 * grad
    return wire.StepEvent(
        index=index,
        iteration=(5, index),
        forward=[6],
        loss=[7],
        backward=[8],
        update=[10, 11],
        values=[wire.LineRow(6, None, None, 4), wire.LineRow(7, None, "tensor(4.6667)", 0)],
        main=index,
        passes=[index],
        loss_row=0,
        loss_name="loss",
        parameters=[wire.ParameterRow(0, "m", 1, 2, -1, 2, 3)],
        rebinds=[],
        optimizer=None,
        tensors=table(14 / 3, m, grad, after, [m, 2 * m, 3 * m]),
    )


def fit(steps: int = 2) -> list[wire.AnyEvent]:
    """Return the events of :data:`FIT`, with ``steps`` steps."""
    events: list[wire.AnyEvent] = [
        wire.StartedEvent("2.13.0", "3.11.7"),
        wire.ParameterEvent(0, "m", [], "float32", 4),
        GRAPH,
    ]
    m = 1.0
    for index in range(steps):
        grad = 28 / 3 * (m - 2)
        events += [pass_(index, m), step(index, m, grad), wire.ProgressEvent(index + 1, steps)]
        m -= 0.01 * grad
    return [
        *events,
        wire.OutputEvent("done\n"),
        wire.LinesEvent([wire.LineRow(7, None, "tensor(4.6667, grad_fn=<MeanBackward0>)", 0, 0)], table(14 / 3)),
        wire.LinesEvent([wire.LineRow(13, None, "tensor(1.1776, requires_grad=True)", 0)], table(m, requires_grad=True)),
        wire.CellEvent(0, "tensor(1.1776, requires_grad=True)"),
        wire.EndEvent("done", None, 12.5),
    ]


TURNS = """\
d = leaf()
g = leaf()
for epoch in range(2):
    a = d * 2
    a.backward()
    b = g * 3
    b.backward()
print(a)
"""


def turns() -> list[wire.AnyEvent]:
    """Return the events of :data:`TURNS`: two steps per iteration. Lines 4 and 6 alternate, with the values 1.0 to 4.0."""

    def one(index: int, line: int, value: float, *more: wire.LineRow) -> wire.StepEvent:
        values = [*more, wire.LineRow(line, None, None, 0, at=0)]
        return msgspec.structs.replace(
            step(index, 1.0, 1.0), iteration=(3, index // 2), forward=[line], loss=[], backward=[line + 1], update=[],
            values=sorted(values, key=lambda row: row.line), tensors=table(value, 1.0, 1.0, 1.0, [1.0]),
        )  # fmt: skip

    def backward(index: int, line: int) -> wire.PassEvent:
        return msgspec.structs.replace(pass_(index, 1.0), line=line)

    first, second = wire.LineRow(1, None, "leaf", at=0), wire.LineRow(3, None, "epoch = 0", at=0)
    ends = [(1, 0), (4, 2), (6, 3), (8, -1)]
    last = [wire.LineRow(line, None, f"{line} at the end", at=at) for line, at in ends]
    return [
        wire.StartedEvent("2.13.0", "3.11.7"), wire.ParameterEvent(0, "d", [], "float32", 1), GRAPH,
        backward(0, 5), one(0, 4, 1.0, first, second), backward(1, 7), one(1, 6, 2.0),
        backward(2, 5), one(2, 4, 3.0), backward(3, 7), one(3, 6, 4.0),
        wire.LinesEvent(last, wire.TensorTable()), wire.CellEvent(0, None), wire.EndEvent("done", None, 1.0),
    ]  # fmt: skip
