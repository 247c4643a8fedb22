"""Every number that is recorded is torch's own, and recording changes none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tapedeck import model, wire
from tapedeck.recording import Recording

from .alone import PROGRAMS, alone, record, recorded, tensors

CHANGED_LATER = {"data_updates", "functional_update", "transformer_layer"}
"""Programs that zero, clip or rebind what a step recorded, after it was recorded."""
WITHOUT_LOSS = {
    "transforms", "checkpoints", "compiled", "caught", "lbfgs", "second_derivative", "fails_saved_modified", "fails_not_scalar",
    "fails_inplace_views", "sparse_and_nested_graph",
}  # fmt: skip
"""Programs that fail, or leave no variable that holds the root of their last pass."""


@pytest.fixture(params=PROGRAMS, ids=lambda path: path.stem)
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_recorded_program_computes_the_same_bit_for_bit(program: Path) -> None:
    expected = alone(program.read_text())
    got, events, _ = recorded(program.read_text())
    assert not [event for event in events if isinstance(event, wire.Signal) and event.code == "recorder-failed"]
    assert got.error == expected.error
    assert (got.error is not None) == program.stem.startswith("fails_")
    assert got.stdout == expected.stdout
    if got.error is None:
        mine, theirs = tensors(got.variables), tensors(expected.variables)
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert _same_bits(mine[name], value), name


@pytest.mark.filterwarnings("ignore")
def test_every_node_is_tied_to_its_line(program: Path) -> None:
    _, _, recording = recorded(program.read_text())
    for graph in _graphs(recording):
        for node in graph.nodes:
            if node.kind == "op":
                assert node.line is not None, (graph.id, node)
                assert node.call is not None, (graph.id, node)


@pytest.mark.parametrize("program", [path for path in PROGRAMS if path.stem not in WITHOUT_LOSS], ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_the_last_graph_equals_an_independent_walk(program: Path) -> None:
    got, _, recording = recorded(program.read_text())
    variables = got.variables
    root = (
        variables["z"]
        if program.stem == "hooks"
        else variables.get("meta", variables.get("g_loss", variables.get("final", variables.get("loss", variables.get("y")))))
    )
    if root is None:
        root = variables["out"]
    ops, edges = _walk(root.grad_fn)
    graphs = [recording.graph(index) for index in _pass_graphs(recording)]
    assert (ops, edges) in [
        (
            Counter(node.op for node in graph.nodes if node.kind != "constant"),
            Counter(
                (_op(graph, edge.source), edge.slot, _op(graph, edge.target), edge.input)
                for edge in graph.edges
                if edge.gradient
            ),
        )
        for graph in graphs
    ]


@pytest.mark.filterwarnings("ignore")
def test_what_arrives_at_a_node_is_the_sum_of_its_edges(program: Path) -> None:
    _, _, recording = recorded(program.read_text())
    checked = 0
    for index in range(recording.log.counts()[1]):
        if recording.log.pass_(index).graph < 0:
            continue
        numbers = recording.numbers(index)
        roots = set(numbers.graph.roots)
        for place, node in enumerate(numbers.graph.nodes):
            for output in range(node.outputs):
                arrived = numbers.arrived(place, output)
                into = [at for at, edge in enumerate(numbers.graph.edges) if edge.target == node.id and edge.input == output]
                found = [numbers.edge(at) for at in into]
                values = [edge.values for edge in found if edge is not None and edge.values is not None]
                if node.id in roots or arrived is None or arrived.values is None or not values or len(values) < len(found):
                    continue
                total = sum(torch.tensor(value, dtype=torch.float64) for value in values)
                torch.testing.assert_close(total, torch.tensor(arrived.values, dtype=torch.float64), rtol=1e-5, atol=1e-6)
                checked += 1
    assert checked or program.stem.startswith("fails_") or program.stem in ("transforms", "second_derivative")


@pytest.mark.parametrize("program", [path for path in PROGRAMS if path.stem not in CHANGED_LATER], ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_the_last_gradient_of_each_parameter_is_the_one_torch_left(program: Path) -> None:
    expected = alone(program.read_text())
    leaves = tensors(expected.variables)
    _, _, recording = recorded(program.read_text())
    steps = recording.log.counts()[2]
    last: dict[str, model.ParameterStep] = {}
    for index in range(steps):
        last |= {row.name: row for row in recording.step(index).parameters if row.name}
    for name, row in last.items():
        value = leaves.get(name)
        if value is not None and row.value_after is not None and row.value_after.values is not None:
            assert _listed(value) == row.value_after.values, name
        gradient = leaves.get(f"{name}.grad")
        if (
            gradient is not None
            and row.grad_after is not None
            and row.grad_after.values is not None
            and "clip" not in program.read_text()
        ):
            assert _listed(gradient) == row.grad_after.values, name


@pytest.mark.parametrize("capture", ["norms", "graph"])
def test_a_lower_level_of_capture_keeps_the_structure_and_fewer_numbers(capture: Any) -> None:
    program = next(path for path in PROGRAMS if path.stem == "momentum").read_text()
    _, full = record(program)
    _, less = record(program, capture=capture)
    assert less.graph(0) == full.graph(0)
    edge = less.numbers(0).edge(0)
    assert edge is not None
    assert edge.values is None
    assert (edge.norm is not None) == (capture == "norms")


def test_the_seeds_numbers_are_torchs_own() -> None:
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


def _graphs(recording: Recording) -> list[model.Graph]:
    return [recording.graph(index) for index in range(recording.log.counts()[0])]


def _pass_graphs(recording: Recording) -> set[int]:
    return {recording.log.pass_(index).graph for index in range(recording.log.counts()[1])}


def _op(graph: model.Graph, node: str) -> str:
    return graph.nodes[int(node[1:])].op


def _walk(root: Any) -> tuple[Counter[str], Counter[tuple[str, int, str, int]]]:
    """The ops and edges that can be reached, found by a depth-first walk that shares nothing with ours."""
    seen = {root}
    waiting = [root]
    edges: Counter[tuple[str, int, str, int]] = Counter()
    while waiting:
        node = waiting.pop()
        for slot, (target, output) in enumerate(node.next_functions):
            if target is not None:
                edges[_name(node), slot, _name(target), output] += 1
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
    return Counter(_name(node) for node in seen), edges


def _name(node: Any) -> str:
    name: str = node.name()
    return "AccumulateGrad" if name.endswith("AccumulateGrad") else name


def _same_bits(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    if theirs.is_sparse:
        mine, theirs = mine.to_dense(), theirs.to_dense()
    return mine.dtype == theirs.dtype and torch.equal(torch.nan_to_num(mine), torch.nan_to_num(theirs))


def _listed(value: torch.Tensor) -> Any:
    return torch.view_as_real(value).tolist() if value.is_complex() else value.tolist()
