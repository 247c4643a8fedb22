"""Tests of the leaves and constants of boxes: each is counted once in a box, as the edges of the graph say."""

from __future__ import annotations

import pytest
from tapedeck.map.columns import StructureColumns
from tapedeck.map.inputs import MOST_LISTED, SMALL_BOX, inputs_of
from tapedeck.map.read import read_map
from tapedeck.map.tree import GroupTree
from tapedeck.map.view import first_view, read_view
from tapedeck.recording.structure import read_graph

from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START, recorded_graphs


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_inputs_of_boxes_are_counted_as_their_edges_say(name: str) -> None:
    event = recorded_graphs(name)[0][-1]
    tree, graph = GroupTree(StructureColumns(event)), read_graph(event)
    for view in (read_view(tree, ""), first_view(tree)):
        boxes = [set(tree.order.nodes[box.start : box.end].tolist()) for box in view.boxes]
        used: list[dict[int, int]] = [{} for _ in boxes]
        for edge in graph.edges:
            source, target = int(edge.source[1:]), int(edge.target[1:])
            if graph.nodes[target].kind != "op":
                at = next(index for index, nodes in enumerate(boxes) if source in nodes)
                used[at][target] = used[at].get(target, 0) + 1
        users = {node: sum(node in each for each in used) for nodes in used for node in nodes}
        found = inputs_of(tree, [(box.start, box.end) for box in view.boxes])
        for box, nodes, inputs in zip(boxes, used, found, strict=True):
            assert inputs.own == sum(users[node] == 1 for node in nodes)
            assert inputs.shared == len(nodes) - inputs.own
            listed = len(box) <= SMALL_BOX
            assert {use.node: (use.edges, use.shared) for use in inputs.listed}.items() <= {
                node: (count, users[node] > 1) for node, count in nodes.items()
            }.items()
            assert len(inputs.listed) == (min(len(nodes), MOST_LISTED) if listed else 0)


def test_a_leaf_in_its_module_has_its_name_there() -> None:
    _, recording = record(START + "m = nn.Sequential(nn.Linear(3, 3), nn.Tanh())\nm(x).sum().backward()\n")
    (linear,) = [box for box in read_map(recording, 0, 0, "m:m").boxes if box.name == "0"]
    assert {(each.name, each.shared) for each in linear.inputs} >= {("weight", False), ("bias", False)}
