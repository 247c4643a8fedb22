"""Every recorded number equals torch's own, and recording changes none."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tapedeck import model, wire
from tapedeck.recording.pass_numbers import PassNumbers
from tapedeck.recording.tensors import Tensors

from . import run_twice as runs
from .graph_truth import failures, paired
from .independent_observer import Bits, Watched
from .run_twice import PROGRAMS, Outcome, all_bits, record
from .run_twice import recorded_program as recorded

WITHOUT_LINE = {
    "UndefinedGradBackward",  # made by gradcheck, outside of any call
}
WITHOUT_NUMBERS = {
    ("MkldnnRnnLayerBackward0", "result3"),  # an uninitialized workspace
}


@pytest.fixture(params=PROGRAMS, ids=lambda path: path.stem, scope="module")
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@lru_cache(maxsize=2)  # the tests of one program run in sequence
def unrecorded(program: Path) -> Outcome:
    return runs.unrecorded(program.read_text())


@lru_cache(maxsize=2)
def watched(program: Path) -> list[Watched]:
    return runs.watched(program.read_text())


@pytest.mark.filterwarnings("ignore")
def test_a_recorded_program_computes_the_same_bit_for_bit(program: Path) -> None:
    expected = unrecorded(program)
    got, events, _ = recorded(program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert got.error == expected.error
    assert (got.error is not None) == program.stem.startswith("fails_")
    assert got.stdout == expected.stdout
    mine, theirs = all_bits(got.variables), all_bits(expected.variables)
    assert mine.keys() == theirs.keys()
    for variable, value in theirs.items():
        assert mine[variable] == value, variable


@pytest.mark.filterwarnings("ignore")
def test_every_node_has_a_line_and_a_call(program: Path) -> None:
    _, _, recording = recorded(program)
    for graph in map(recording.graph, range(recording.log.counts()[0])):
        for node in graph.nodes:
            if node.kind == "op" and node.op not in WITHOUT_LINE:
                assert node.line is not None, (graph.id, node)
                assert node.call is not None, (graph.id, node)


@pytest.mark.filterwarnings("ignore")
def test_every_pass_equals_the_one_of_the_independent_observer(program: Path) -> None:
    _, _, recording = recorded(program)
    passes = [event for event in map(recording.log.pass_, range(recording.log.counts()[1])) if event.kind != "implicit"]
    expected = watched(program)
    assert [event.kind for event in passes] == [seen.kind for seen in expected]
    for event, seen in zip(passes, expected, strict=True):
        numbers = recording.numbers(event.index)
        nodes = numbers.graph.nodes
        assert Counter(node.op for node in nodes if node.kind != "constant") == seen.ops
        assert _edges(numbers.graph) == seen.edges
        order = [nodes[index].op for index in wire.int32(event.order, "order")]
        if seen.failed:
            assert order == seen.order[: len(order)]
            continue
        assert order == seen.order
        assert _without_workspaces(_saved(numbers)) == _without_workspaces(seen.saved)
        assert _used(numbers) == seen.used
        assert Counter(_bits(numbers.tensors, row) for row in _rows(numbers, "leaf")) == seen.leaves


@pytest.mark.filterwarnings("ignore")
def test_the_gradient_that_arrives_at_a_node_is_the_sum_over_its_edges(program: Path) -> None:
    _, _, recording = recorded(program)
    for index in range(recording.log.counts()[1]):
        numbers = recording.numbers(index)
        roots = set(numbers.graph.roots)
        for index, node in enumerate(numbers.graph.nodes):
            for output in range(node.outputs):
                arrived = numbers.arrived(index, output)
                into = [at for at, edge in enumerate(numbers.graph.edges) if edge.target == node.id and edge.input == output]
                found = [numbers.edge(at) for at in into]
                values = [edge.values for edge in found if edge is not None and edge.values is not None]
                if node.id in roots or arrived is None or arrived.values is None or not values or len(values) < len(found):
                    continue
                total = sum(_number(value) for value in values)
                torch.testing.assert_close(total, _number(arrived.values), rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.filterwarnings("ignore")
def test_a_step_has_the_gradients_that_its_last_pass_left(program: Path) -> None:
    _, _, recording = recorded(program)
    seen = watched(program)
    for step in map(recording.log.step, range(recording.log.counts()[2])):
        taken = [recording.log.pass_(index) for index in step.passes]
        last = next((event for event in reversed(taken) if event.kind == "backward"), None)
        if last is None or seen[last.index].failed:
            continue
        leaves = {node.parameter for node in recording.graph(last.graph).nodes}
        tensors = Tensors(step.tensors)
        rows = [row.grad_after for row in step.parameters if f"p{row.parameter}" in leaves and row.grad_after >= 0]
        assert Counter(_bits(tensors, row) for row in rows) == seen[last.index].gradients


CHANGED_BETWEEN = {"copies"}
"""Programs that write to a leaf between the end of a step and the next pass."""


@pytest.mark.filterwarnings("ignore")
def test_the_value_after_a_step_is_the_value_at_the_next_pass_or_at_the_end(program: Path) -> None:
    if program.stem in CHANGED_BETWEEN:
        pytest.skip("writes to a leaf between steps")
    _, _, recording = recorded(program)
    left = all_bits(unrecorded(program).variables)
    after: dict[int, tuple[str | None, Bits]] = {}
    for step in map(recording.log.step, range(recording.log.counts()[2])):
        tensors = Tensors(step.tensors)
        for row in step.parameters:
            if row.parameter in after:
                assert _bits(tensors, row.value) == after[row.parameter][1], row.name
        for row in step.parameters:
            after.pop(row.parameter, None)  # reinserted, so that the last parameter of a name wins
            after[row.parameter] = row.name, _bits(tensors, row.value_after)
        for moved in step.rebinds:
            after.pop(moved.parameter, None)
    for variable, value in dict(after.values()).items():
        if variable in left and value is not None:  # the elements of a transform's wrapper cannot be read
            assert left[variable] == value, variable


@pytest.mark.parametrize("capture", ["norms", "graph"])
def test_a_lower_capture_level_keeps_the_structure_with_fewer_numbers(capture: Any) -> None:
    program = next(path for path in PROGRAMS if path.stem == "momentum").read_text()
    _, full = record(program)
    _, less = record(program, capture=capture)
    assert less.graph(0) == full.graph(0)
    edge = less.numbers(0).edge(0)
    assert edge is not None
    assert edge.values is None
    assert (edge.norm is not None) == (capture == "norms")


def test_the_recorded_gradient_equals_the_one_that_torch_computes() -> None:
    program = (
        "import torch\nx = torch.tensor([0.8894, -0.1854, -1.1037], requires_grad=True)\n"
        "y = x + 2\nz = (2 * y ** 2).mean()\nz.backward()\nx.grad\n"
    )
    _, recording = record(program)
    x = torch.tensor([0.8894, -0.1854, -1.1037], requires_grad=True)
    (2 * (x + 2) ** 2).mean().backward()
    assert x.grad is not None
    (row,) = recording.step(0).parameters
    assert row.grad_after is not None
    assert row.grad_after.values == x.grad.tolist()
    assert [round(value, 4) for value in row.grad_after.values] == [3.8525, 2.4195, 1.1951]


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_a_data_pointer_are_not_confused() -> None:
    program = (
        "import torch\na = torch.eye(3).to_sparse_csr().requires_grad_()\nb = torch.rand(3, 3, requires_grad=True)\n"
        "out = torch.sparse.sampled_addmm(a, b, b)\nloss = out.to_dense().sum()\nloss.backward()\n"
    )
    expected = runs.unrecorded(program)
    got, events, recording = runs.recorded(program)
    assert not failures(events)
    assert torch.equal(got.variables["b"].grad, expected.variables["b"].grad)
    assert paired(recording.graph(0), [expected.variables["loss"].grad_fn])


def _edges(graph: model.Graph) -> Counter[tuple[str, int, str, int]]:
    ops = {node.id: node.op for node in graph.nodes}
    return Counter((ops[edge.source], edge.slot, ops[edge.target], edge.input) for edge in graph.edges if edge.gradient)


def _used(numbers: PassNumbers) -> Counter[tuple[str, int, Bits]]:
    """Return the gradients that every node was given."""
    rows = iter(wire.int32(numbers.event.used, "used").tolist())
    found = [(node.op, output, next(rows)) for node in numbers.graph.nodes for output in range(node.outputs)]
    return Counter((op, output, _bits(numbers.tensors, row)) for op, output, row in found if row >= 0)


def _saved(numbers: PassNumbers) -> Counter[tuple[str, str, Bits]]:
    """Return the saved tensors of every node."""
    rows = iter(wire.int32(numbers.event.saved, "saved").tolist())
    found = [(node.op, slot, next(rows)) for node in numbers.graph.nodes for slot in node.saved]
    return Counter((op, slot, _bits(numbers.tensors, row)) for op, slot, row in found if row >= 0)


def _without_workspaces(saved: Counter[tuple[str, str, Bits]]) -> Counter[tuple[str, str, Bits]]:
    return Counter({key: count for key, count in saved.items() if key[:2] not in WITHOUT_NUMBERS})


def _rows(numbers: PassNumbers, kind: str) -> list[int]:
    """Return the rows of the forward values of all nodes of a kind."""
    rows = wire.int32(numbers.event.value, "value").tolist()
    return [row for node, row in zip(numbers.graph.nodes, rows, strict=True) if node.kind == kind]


def _bits(tensors: Tensors, row: int) -> Bits:
    array = tensors.array(row)
    return None if array is None else (tensors.summary(row).dtype, array.shape, array.tobytes())  # type: ignore[union-attr]


def _number(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values).astype(np.float64))  # astype also converts "NaN" and "Infinity"
