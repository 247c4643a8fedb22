"""Packed events are unpacked without losing a bit, and are small."""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tapedeck import wire
from tapedeck.store.block import EventBlock, pack_block, split_into_blocks
from tapedeck.store.columns import StoredMatrix, pack_columns, unpack_columns

from ..handmade_events import GRAPH, fit, pass_, step, table
from ..tracer.run_twice import record

PROGRAMS = Path(__file__).parent.parent / "programs"


def packed_and_unpacked(events: list[wire.AnyEvent]) -> list[wire.AnyEvent]:
    """Pack events into blocks, and return them unpacked."""
    found: list[wire.AnyEvent] = []
    for part in split_into_blocks(events):
        block = EventBlock(pack_block(part))
        assert len(block) == len(part)
        found += [block.event(position) for position in range(len(block))]
    return found


def same(one: list[wire.AnyEvent], other: list[wire.AnyEvent]) -> bool:
    return wire.pack(one) == wire.pack(other)


@given(
    st.sampled_from(["<u1", "<u2", "<u4", "<u8"]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6))
    )
)
def test_any_matrix_is_unpacked_unchanged(matrix: np.ndarray[Any, Any]) -> None:
    if len(matrix):
        packed = pack_columns(matrix)
        found = unpack_columns(packed)
        assert found.dtype == matrix.dtype
        assert np.array_equal(found, matrix)
        for start, stop in itertools.combinations(range(matrix.shape[1] + 1), 2):
            assert np.array_equal(unpack_columns(packed, slice(start, stop)), matrix[:, start:stop])


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
def test_columns_that_follow_from_others_take_no_bytes(dtype: str) -> None:
    rows = 50
    noise = np.random.default_rng(0).integers(0, 2**63, (rows, 3)).astype(dtype)
    steady, delayed, line, curve = np.full(rows, 7), np.append([5], noise[:-1, 0]), np.arange(rows) * 3, np.arange(rows) ** 2
    matrix = np.column_stack((noise, noise[:, 1], steady, delayed, line, curve)).astype(dtype)
    packed = pack_columns(matrix)
    assert np.array_equal(unpack_columns(packed), matrix)
    for column in range(matrix.shape[1]):
        assert np.array_equal(unpack_columns(packed, slice(column, column + 1)), matrix[:, column : column + 1])
    assert np.count_nonzero(np.frombuffer(packed.left, np.uint8)) <= noise.nbytes + 20


def test_a_run_is_unpacked_unchanged() -> None:
    events = fit(700)
    assert same(packed_and_unpacked(events), events)


def test_reading_steps_unpacks_no_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = 0

    def counted(columns: StoredMatrix, which: slice) -> Any:
        nonlocal unpacked
        unpacked += which.stop - which.start
        return unpack_columns(columns, which)

    monkeypatch.setattr("tapedeck.store.block.unpack_columns", counted)
    block = EventBlock(pack_block(fit(50)))
    (steps,) = block.step_groups(0, 50)
    assert len(steps) == 50
    of_steps = unpacked
    list(block.step_groups(10, 20))
    assert unpacked == of_steps
    for position in block.positions(wire.PassEvent):
        block.event(position)
    assert unpacked > 3 * of_steps


def test_an_event_that_is_read_again_is_not_joined_again() -> None:
    events = fit(3)
    block = EventBlock(pack_block(events))
    (*_, position) = block.positions(wire.PassEvent)
    assert block.event(position) is block.event(position)
    assert same([block.event(0), block.event(position)], [events[0], events[position]])


@pytest.mark.parametrize("position", range(30))
def test_events_split_at_any_position_are_unpacked_unchanged(position: int) -> None:
    events = fit(10)
    assert same(packed_and_unpacked(events[:position]) + packed_and_unpacked(events[position:]), events)


@pytest.mark.parametrize(
    "name", ["gan", "momentum", "lbfgs", "micro_batches", "metalearning", "sparse_and_complex", "transformer_layer", "hooks"]
)
@pytest.mark.filterwarnings("ignore")
def test_the_events_of_a_program_are_unpacked_unchanged(name: str) -> None:
    events, _ = record((PROGRAMS / f"{name}.py").read_text())
    assert same(packed_and_unpacked(events), events)


@pytest.mark.parametrize("values", [0, 64])
@pytest.mark.parametrize("capture", ["full", "norms", "graph"])
def test_the_events_of_every_capture_level_are_unpacked_unchanged(capture: str, values: int) -> None:
    events, _ = record((PROGRAMS / "micro_batches.py").read_text(), capture=capture, values=values)
    assert same(packed_and_unpacked(events), events)


def test_numbers_that_are_not_finite_are_unpacked_unchanged() -> None:
    odd = (math.nan, math.inf, -math.inf, -0.0, 1e-45, 3.4e38)
    tables = [table([one, other, 1.0], one) for one in odd for other in odd]
    events = [msgspec.structs.replace(step(index, 1.0, 1.0), tensors=each) for index, each in enumerate(tables)]
    assert same(packed_and_unpacked([*events]), [*events])


def test_statistics_that_do_not_follow_from_the_elements_are_unpacked_unchanged() -> None:
    events: list[wire.AnyEvent] = [GRAPH]
    for index in range(5):
        event = pass_(index, 1.0)
        count = len(event.tensors.stats) // 32
        stats = struct.pack(f"<{4 * count}d", *(index * 0.1 + number for number in range(4 * count)))
        counts = struct.pack(f"<{3 * count}q", *(range(index, 3 * count + index)))
        tensors = msgspec.structs.replace(event.tensors, stats=stats, counts=counts)
        events.append(msgspec.structs.replace(event, tensors=tensors))
    assert same(packed_and_unpacked(events), events)


def test_a_graph_that_changes_in_each_step_is_unpacked_unchanged() -> None:
    program = (
        "import torch\nm = torch.tensor(1.0, requires_grad=True)\nfor step in range(40):\n    loss = m\n"
        "    for _ in range(step % 7):\n        loss = loss * 1.1\n    loss.backward()\n    with torch.no_grad():\n"
        "        m -= 0.1 * m.grad\n    m.grad = None\n"
    )
    events, recording = record(program)
    assert recording.log.counts()[0] == 7
    assert same(packed_and_unpacked(events), events)


def test_lines_with_only_empty_tensors_are_unpacked_unchanged() -> None:
    events, _ = record("import torch\nx = torch.zeros(0)\ny = torch.zeros(3, 0)\n")
    assert same(packed_and_unpacked(events), events)


LINE = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
for step in range(300):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.001 * m.grad
    m.grad = None
"""


def test_a_step_similar_to_the_one_before_takes_few_bytes() -> None:
    events, _ = record(LINE)
    size = sum(len(pack_block(part)) for part in split_into_blocks(events))
    assert size / 300 < 60


def test_a_large_graph_has_a_block_of_its_own() -> None:
    nodes = 20_000
    large = msgspec.structs.replace(GRAPH, kind=bytes(nodes), gradient=bytes(nodes))
    parts = list(split_into_blocks([*fit()[:2], large, *fit()[3:]]))
    assert [len(part) for part in parts] == [3, len(fit()) - 3]
    assert isinstance(parts[0][-1], wire.GraphEvent)
