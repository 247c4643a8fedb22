"""Pack many whole steps by columns, so that the page can play a recording without a request for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from ... import model, wire
from ...recording import Recording, Tensors, line_text, phase, shown_lines, table_layout
from ...recording.recording import MOST_PASSES
from ...recording.room import chosen_passes

BYTES: Final = 4 * 1024 * 1024
"""Size in bytes at which a response of packed steps ends. The remaining steps are left for the next response."""

_encode = msgspec.msgpack.Encoder().encode


class PackedRow(Struct, frozen=True, array_like=True):
    """The description of a tensor, the same in every step.

    ``packed`` is the NumPy dtype of its packed elements, or null if they were not kept. ``stats`` is true if statistics are
    packed. A tensor of one element may have no statistics: its minimum, maximum and mean are the element itself, and its norm
    is the element's magnitude.
    """

    shape: list[int]
    dtype: str
    requires_grad: bool
    is_leaf: bool
    grad_fn: str | None
    packed: str | None
    stats: bool


class PackedTable(Struct, frozen=True):
    """Tensors, one per row, and their numbers in every step.

    The numbers are little-endian, step after step, with the rows in order. ``values`` has the elements of
    rows with a ``packed`` dtype. ``stats`` are the minimum, maximum, mean and norm of the rows that have statistics, as
    float64; ``counts`` their zeros, NaN and infinities, as int32. ``counts`` is empty if all counts are zero.
    """

    rows: list[PackedRow]
    values: bytes
    stats: bytes
    counts: bytes


class SpanPass(Struct, frozen=True):
    """A pass that every step has. Fields of bytes are packed int32.

    ``order`` contains indices of nodes. The other fields contain rows of the pass's table, -1 for none. ``value`` has one row
    for each node, ``arrived`` and ``used`` one for each output of each node, and ``edge`` one for each edge. ``value`` is null
    if the numbers are too large for a response: request ``frames`` instead.
    """

    kind: str
    graph: str
    line: int | None
    failed: str | None
    order: bytes
    outputs: list[int]
    value: bytes | None
    arrived: bytes
    used: bytes
    edge: bytes
    table: PackedTable


class SpanStep(Struct, frozen=True):
    """The parts of one step that differ from other steps of its span, without numbers.

    ``texts`` are the texts of the span's ``values``, in order. ``passes`` has the indices of the passes, ``parents`` the
    indices of the passes around them, and ``origins`` the origins of the passes.
    """

    index: int
    iteration: model.Iteration | None
    main: int
    texts: list[str]
    passes: list[int]
    parents: list[int | None]
    optimizer: dict[str, Any] | None
    groups: list[model.OptimizerGroup]
    origins: list[model.FileLine | None]
    update_origins: list[model.FileLine]


class SpanParameter(Struct, frozen=True):
    """A parameter in every step. Its numbers are rows of the steps' table."""

    id: str
    name: str | None
    value: int
    contribution: int
    grad_before: int
    grad_after: int
    value_after: int
    state: dict[str, int]
    grad_used: int
    update: int


class SpanRebind(Struct, frozen=True, rename={"source": "from"}):
    """A name that every step binds to a new tensor. ``to`` is a row of the steps' table."""

    name: str
    line: int
    source: str
    to: int
    graph: str | None
    uses_gradient: bool


class StepSpan(Struct, frozen=True):
    """Steps that differ only in their numbers, and the parts that they share.

    ``values`` are lines with their rows of the table and the phases in which they ran. ``loss`` is a row of the table.
    ``summary`` is true for summarized steps.
    """

    steps: list[SpanStep]
    lines: dict[str, list[int]]
    values: list[tuple[int, int, model.Phase]]
    loss: int
    loss_name: str | None
    losses: dict[str, int]
    parameters: list[SpanParameter]
    rebinds: list[SpanRebind]
    passes: list[SpanPass]
    table: PackedTable
    summary: bool = False


class PackedSteps(Struct, frozen=True):
    """Whole steps, grouped into spans of similar steps, for msgpack. Pass ``next`` as ``start`` to get the rest.

    A span contains the parts that its steps share, and the other parts step by step. Tensors are rows of the span's table, or
    of the table of a pass. ``earlier`` has, for each line that ran before the first of these steps, its last value. For later
    steps, derive these values from ``earlier`` and from the values of the steps in between.
    """

    spans: list[StepSpan]
    next: int | None
    earlier: dict[str, model.EarlierValue] = {}


def packed(recording: Recording, start: int, count: int) -> PackedSteps:
    """Return at most ``count`` steps in order, packed."""
    available = recording.log.counts()[2]
    groups: dict[bytes, list[tuple[wire.StepEvent, list[wire.PassEvent]]]] = {}
    size, index = 0, start
    while index < min(available, start + count) and (size < BYTES or not groups):
        step = recording.log.step(index)
        passes = [recording.log.pass_(each) for each in chosen_passes(step.passes, step.main, MOST_PASSES)]
        groups.setdefault(_shared(step, passes), []).append((step, passes))
        size += sum(len(line.text) for line in step.values if line.text is not None)
        size += sum(len(table.values) + len(table.stats) for table in (step.tensors, *(each.tensors for each in passes)))
        index += 1
    spans = [_span(recording, group) for group in groups.values()]
    return PackedSteps(spans, index if index < available else None, recording.earlier(start) if spans else {})


def _shared(step: wire.StepEvent, passes: Sequence[wire.PassEvent]) -> bytes:
    """Return a key that is equal for steps that can share a span."""
    return _encode(
        (
            (step.forward, step.loss, step.backward, step.update),
            (step.loss_row, step.loss_name, step.losses, step.parameters, step.rebinds),
            [(line.line, line.row, line.at) for line in shown_lines(step)],
            _layout(step.tensors),
            step.summary,
            [
                (each.kind, each.graph, each.line, each.failed, each.order, each.value, each.arrived, each.used, each.edge)
                for each in passes
            ],
            [_layout(each.tensors) for each in passes],
        )
    )


def _layout(table: wire.TensorTable) -> tuple[Any, ...]:
    return *table_layout(table), table.grad_fn, table.names


def _span(recording: Recording, group: Sequence[tuple[wire.StepEvent, list[wire.PassEvent]]]) -> StepSpan:
    first, passes = group[0]
    with_numbers = recording.passes_with_numbers(first)
    return StepSpan(
        steps=[_own(recording, step, own) for step, own in group],
        lines={"forward": first.forward, "loss": first.loss, "backward": first.backward, "update": first.update},
        values=[(line.line, line.row, phase(line, first)) for line in shown_lines(first)],
        loss=first.loss_row,
        loss_name=first.loss_name,
        losses=first.losses,
        parameters=[
            SpanParameter(
                f"p{row.parameter}", row.name, row.value, row.contribution, row.grad_before, row.grad_after,
                row.value_after, row.state, row.grad_used, row.update,
            )
            for row in first.parameters
        ],
        rebinds=[
            SpanRebind(
                row.name, row.line, f"p{row.parameter}", row.row, f"g{row.graph}" if row.graph >= 0 else None,
                row.uses_gradient,
            )
            for row in first.rebinds
        ],
        passes=[
            _pass(recording, event, [own[at].tensors for _, own in group], event.index in with_numbers)
            for at, event in enumerate(passes)
        ],
        table=_table([step.tensors for step, _ in group]),
        summary=first.summary,
    )  # fmt: skip


def _own(recording: Recording, step: wire.StepEvent, passes: Sequence[wire.PassEvent]) -> SpanStep:
    tensors = Tensors(step.tensors)
    return SpanStep(
        index=step.index,
        iteration=model.Iteration(*step.iteration) if step.iteration else None,
        main=step.main,
        texts=[line_text(line, tensors) for line in shown_lines(step)],
        passes=[each.index for each in passes],
        parents=[each.parent if each.parent >= 0 else None for each in passes],
        optimizer=step.optimizer,
        groups=[
            model.OptimizerGroup(group.optimizer, [f"p{parameter}" for parameter in group.parameters], group.options)
            for group in step.groups
        ],
        origins=[recording.origin(each.origin) for each in passes],
        update_origins=[found for each in step.update_origins if (found := recording.origin(each)) is not None],
    )


def _pass(recording: Recording, event: wire.PassEvent, tables: Sequence[wire.TensorTable], with_numbers: bool) -> SpanPass:
    small = event.graph < 0 or with_numbers
    numbers = small and event.graph >= 0
    return SpanPass(
        kind=event.kind,
        graph=f"g{event.graph}" if event.graph >= 0 else "",
        line=event.line if event.line >= 0 else None,
        failed=f"n{event.failed}" if event.failed >= 0 else None,
        order=event.order if event.graph >= 0 else b"",
        outputs=[node.outputs for node in recording.graph(event.graph).nodes] if numbers else [],
        value=(event.value if numbers else b"") if small else None,
        arrived=event.arrived if numbers else b"",
        used=event.used if numbers else b"",
        edge=event.edge if numbers else b"",
        table=_table(tables if numbers else []),
    )


def _table(tables: Sequence[wire.TensorTable]) -> PackedTable:
    if not tables:
        return PackedTable([], b"", b"", b"")
    first = tables[0]
    tensors = Tensors(first)
    names = np.frombuffer(first.grad_fn, "<u2").tolist()
    rows = []
    for index, (code, flags, name) in enumerate(zip(first.dtype, first.flags, names, strict=True)):
        dtype = wire.DTYPES[code]
        rows.append(
            PackedRow(
                shape=tensors.shape(index),
                dtype=dtype,
                requires_grad=bool(flags & wire.REQUIRES_GRAD),
                is_leaf=bool(flags & wire.IS_LEAF),
                grad_fn=first.names[name - 1] if name else None,
                packed=wire.PACKED[dtype] if flags & wire.HAS_VALUES else None,
                stats=bool(flags & wire.HAS_STATS),
            )
        )
    counts = np.frombuffer(b"".join([table.counts for table in tables]), "<i8")
    return PackedTable(
        rows,
        b"".join([table.values for table in tables]),
        b"".join([table.stats for table in tables]),
        counts.clip(max=2**31 - 1).astype("<i4").tobytes() if counts.any() else b"",
    )
