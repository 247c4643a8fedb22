"""What is packed comes back to the last bit, and takes little room."""

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
from tapedeck.store.block import EventBlock, cut, pack_block
from tapedeck.store.columns import PackedMatrix, pack_columns, unpack_columns

from ..handmade_events import GRAPH, fit, pass_, step, table
from ..tracer.run_twice import record

PROGRAMS = Path(__file__).parent.parent / "programs"


def again(events: list[wire.AnyEvent]) -> list[wire.AnyEvent]:
    """Events, packed and taken out again."""
    found: list[wire.AnyEvent] = []
    for part in cut(events):
        block = EventBlock(pack_block(part))
        assert len(block) == len(part)
        found += [block.event(place) for place in range(len(block))]
    return found


def same(one: list[wire.AnyEvent], other: list[wire.AnyEvent]) -> bool:
    return wire.pack(one) == wire.pack(other)


@given(
    st.sampled_from(["<u1", "<u2", "<u4", "<u8"]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6))
    )
)
def test_any_matrix_comes_back(matrix: np.ndarray[Any, Any]) -> None:
    if len(matrix):
        packed = pack_columns(matrix)
        found = unpack_columns(packed)
        assert found.dtype == matrix.dtype
        assert np.array_equal(found, matrix)
        for start, stop in itertools.combinations(range(matrix.shape[1] + 1), 2):
            assert np.array_equal(unpack_columns(packed, slice(start, stop)), matrix[:, start:stop])


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
def test_columns_that_follow_from_others_come_back_and_cost_nothing(dtype: str) -> None:
    rows = 50
    noise = np.random.default_rng(0).integers(0, 2**63, (rows, 3)).astype(dtype)
    steady, later, line, curve = np.full(rows, 7), np.append([5], noise[:-1, 0]), np.arange(rows) * 3, np.arange(rows) ** 2
    matrix = np.column_stack((noise, noise[:, 1], steady, later, line, curve)).astype(dtype)
    packed = pack_columns(matrix)
    assert np.array_equal(unpack_columns(packed), matrix)
    for place in range(matrix.shape[1]):
        assert np.array_equal(unpack_columns(packed, slice(place, place + 1)), matrix[:, place : place + 1])
    assert np.count_nonzero(np.frombuffer(packed.left, np.uint8)) <= noise.nbytes + 20


def test_a_run_comes_back() -> None:
    events = fit(700)
    assert same(again(events), events)


def test_who_reads_the_steps_unpacks_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = 0

    def counted(columns: PackedMatrix, which: slice) -> Any:
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
    for place in block.places(wire.PassEvent):
        block.event(place)
    assert unpacked > 3 * of_steps


@pytest.mark.parametrize("place", range(30))
def test_events_cut_anywhere_come_back(place: int) -> None:
    events = fit(10)
    assert same(again(events[:place]) + again(events[place:]), events)


@pytest.mark.parametrize(
    "name", ["gan", "momentum", "lbfgs", "micro_batches", "metalearning", "sparse_and_complex", "transformer_layer", "hooks"]
)
@pytest.mark.filterwarnings("ignore")
def test_what_a_program_tells_comes_back(name: str) -> None:
    events, _ = record((PROGRAMS / f"{name}.py").read_text())
    assert same(again(events), events)


@pytest.mark.parametrize("values", [0, 64])
@pytest.mark.parametrize("capture", ["full", "norms", "graph"])
def test_at_every_level_of_capture(capture: str, values: int) -> None:
    events, _ = record((PROGRAMS / "micro_batches.py").read_text(), capture=capture, values=values)
    assert same(again(events), events)


def test_numbers_that_are_not_finite_come_back() -> None:
    odd = (math.nan, math.inf, -math.inf, -0.0, 1e-45, 3.4e38)
    tables = [table([one, other, 1.0], one) for one in odd for other in odd]
    events = [msgspec.structs.replace(step(at, 1.0, 1.0), tensors=each) for at, each in enumerate(tables)]
    assert same(again([*events]), [*events])


def test_statistics_that_do_not_follow_from_the_elements_come_back() -> None:
    events: list[wire.AnyEvent] = [GRAPH]
    for at in range(5):
        told = pass_(at, 1.0)
        count = len(told.tensors.stats) // 32
        stats = struct.pack(f"<{4 * count}d", *(at * 0.1 + place for place in range(4 * count)))
        counts = struct.pack(f"<{3 * count}q", *(range(at, 3 * count + at)))
        events.append(msgspec.structs.replace(told, tensors=msgspec.structs.replace(told.tensors, stats=stats, counts=counts)))
    assert same(again(events), events)


def test_a_graph_that_changes_each_step_comes_back() -> None:
    program = (
        "import torch\nm = torch.tensor(1.0, requires_grad=True)\nfor step in range(40):\n    loss = m\n"
        "    for _ in range(step % 7):\n        loss = loss * 1.1\n    loss.backward()\n    with torch.no_grad():\n"
        "        m -= 0.1 * m.grad\n    m.grad = None\n"
    )
    events, recording = record(program)
    assert recording.log.counts()[0] == 7
    assert same(again(events), events)


def test_lines_whose_tensors_are_all_empty_come_back() -> None:
    events, _ = record("import torch\nx = torch.zeros(0)\ny = torch.zeros(3, 0)\n")
    assert same(again(events), events)


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


def test_a_step_that_follows_the_one_before_takes_few_bytes() -> None:
    events, _ = record(LINE)
    size = sum(len(pack_block(part)) for part in cut(events))
    assert size / 300 < 60
