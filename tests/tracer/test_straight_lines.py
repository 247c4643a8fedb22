"""A program of many lines without a loop is recorded in linear time, and each line has a graph."""

from __future__ import annotations

import ast
import re

import pytest
from tapedeck import wire
from tapedeck.recording import Recording
from tapedeck.recording.default_graph import default_graph
from tapedeck.tracer.backward import graphs

from .run_twice import record

START = "import torch\nw = torch.ones(3, requires_grad=True)\nx = w * 1\n"
SHOWN = START + "x = x * 1.5\nx\n" * 300
HEADS = START + "".join(f"x = x * 1.5\nh{index} = x.sum()\n" for index in range(300))
APART = "import torch\n" + "".join(
    f"w{index} = torch.ones(1, requires_grad=True)\nx{index} = w{index} * 2\n" + f"x{index} = x{index} * 2\n" * 60
    for index in range(30)
)
SEVERAL_PASSES = START + "x = x * 1.5\nx\n" * 150 + "x.sum().backward()\n" + "y = w * 2\n" + "y = y * 1.5\ny\n" * 150


def nodes_of_graphs(events: list[wire.AnyEvent]) -> list[int]:
    return [len(event.kind) for event in events if isinstance(event, wire.GraphEvent)]


def lines_of(recording: Recording) -> dict[int, int]:
    """Return the graph of each line that has one."""
    return {each.line: int(each.graph[1:]) for each in recording.lines() if each.graph}


@pytest.mark.parametrize(("program", "most"), [(SHOWN, 400), (HEADS, 1_500), (APART, 2_300), (SEVERAL_PASSES, 700)])
def test_the_graphs_of_many_lines_have_few_nodes_together(program: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "OWN_NODES", 200)
    events, recording = record(program)
    assert sum(nodes_of_graphs(events)) <= most
    lines = program.splitlines()
    found = lines_of(recording)
    assert {
        number for number, line in enumerate(lines, 1) if re.search("^[hxy]", line) and "backward" not in line
    } == found.keys()
    for line, graph in found.items():
        computed = line - (lines[line - 1] in ("x", "y"))
        assert computed in {node.line for node in recording.graph(graph).nodes}


def test_lines_of_unconnected_graphs_have_different_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "OWN_NODES", 200)
    found = lines_of(record(APART)[1])
    assert len({found[line] for line in (3, 65, 127)}) == 3
    assert found[3] == found[10]


def test_the_lines_of_a_short_program_have_graphs_of_their_own() -> None:
    events, recording = record(START + "x\nx = x * 2\nx\n")
    assert lines_of(recording)[4] != lines_of(recording)[6]
    assert sorted(nodes_of_graphs(events)) == [2, 3]


def test_the_roots_of_a_shared_graph_are_the_values_that_no_other_value_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graphs, "OWN_NODES", 5)
    _, recording = record(START + "a = x * 2\nb = x * 3\nc = b + 1\nd = b.sum()\n")
    shared = lines_of(recording)[4]
    found = recording.graph(shared)
    roots = {node.line for node in found.nodes if node.id in found.roots}
    assert roots == {4, 6}  # the graph of line 7 is that of the implicit pass on `d`


def test_small_graphs_are_recorded_beside_one_that_is_too_large() -> None:
    program = START + "for _ in range(40):\n    x = x * 1.5\ny = w * 2\nz = y + 1\n"
    for limit in (20, 10):
        recording = record(program, nodes=limit)[1]
        found = lines_of(recording)
        assert 5 not in found
        assert {6, 7} <= found.keys()


def test_the_graph_that_is_shown_first_contains_the_newest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "OWN_NODES", 5)
    program = "import torch\na = torch.ones(2, requires_grad=True)\nb = torch.ones(2, requires_grad=True)\n"
    program += "y = a * 2\ny = y * 2\nz = b * 2\nz = z * 2\nraise ValueError\n"
    _, recording = record(program)
    chosen = default_graph(recording)
    assert chosen is not None
    assert chosen.kind == "graph"
    assert lines_of(recording)[7] == chosen.index


def test_the_text_of_a_program_is_searched_once_for_the_names_of_its_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    walk = ast.walk
    monkeypatch.setattr(ast, "walk", lambda node: walked.append(node) or walk(node))
    program = START + "".join(f"x = x * torch.full((3,), {index})\n" for index in range(50)) + "x.sum().backward()\n"
    _, recording = record(program)
    names = {node.name for node in recording.graph(0).nodes if node.kind == "constant"}
    assert "torch.full((3,), 7)" in names
    assert sum(isinstance(each, ast.Module) for each in walked) <= 3
    assert len(walked) < 150
