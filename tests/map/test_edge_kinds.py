"""Tests of the kinds of edges between boxes of a map."""

from __future__ import annotations

import asyncio

import pytest
from tapedeck.drawing import picture
from tapedeck.map.read import read_map

from ..drawing.map_programs import MODELS
from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START


@pytest.mark.parametrize(
    ("program", "some"),
    [(MODELS["gan"], True), (START + PROGRAMS["second derivative"], False), (START + PROGRAMS["several roots"], False)],
)
def test_edges_out_of_a_derivative_have_a_kind_of_their_own(program: str, some: bool) -> None:
    _, recording = record(program)
    last = recording.log.pass_(recording.log.counts()[1] - 1)
    nodes = {node.id: node for node in recording.graph(last.graph).nodes}
    open_ = ",".join(id_ for id_, node in nodes.items() if node.kind == "op")
    shown = read_map(recording, last.graph, last.index, open_)
    of_node = {box.node: box.id for box in shown.boxes if box.node is not None}
    assert len(of_node) == len(shown.boxes)
    expected = {
        (of_node[edge.source], of_node[edge.target])
        for edge in recording.graph(last.graph).edges
        if edge.target in of_node and nodes[edge.source].backward_of is not None and nodes[edge.target].backward_of is None
    }
    assert {(edge.source, edge.target) for edge in shown.edges if edge.kind == "formula"} == expected
    assert bool(expected) == some
    svg = asyncio.run(picture.render(recording, last.index, "svg", view=shown.view, layout="rows")).decode()
    assert svg.count('stroke-dasharray="7 3"') == svg.count("out of a derivative") == len(expected)
