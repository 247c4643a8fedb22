"""Tests of the leaves and constants of boxes: each is counted once in a box, as the edges of the graph say."""

from __future__ import annotations

import numpy as np
import pytest
from tapedeck.map.columns import StructureColumns
from tapedeck.map.first_view import first_view
from tapedeck.map.inputs import MOST_LISTED, SMALL_BOX, inputs_of
from tapedeck.map.read import read_map
from tapedeck.map.tree import GroupTree
from tapedeck.map.view import read_view, reveal

from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START, as_shown, recorded_graphs


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_inputs_of_boxes_are_counted_as_their_edges_say(name: str) -> None:
    event = recorded_graphs(name)[0][-1]
    tree, graph = GroupTree(StructureColumns(event)), as_shown(event)
    for view in (read_view(tree, ""), first_view(tree)):
        boxes = [set(tree.order.nodes[box.start : box.end].tolist()) for box in view.boxes]
        used: list[dict[int, int]] = [{} for _ in boxes]
        for edge in graph.edges:
            source, target = int(edge.source[1:]), int(edge.target[1:])
            if graph.nodes[target].kind != "op" and tree.order.position[source] >= 0:
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


TRANSPOSED = """
w = torch.ones(3, 2, requires_grad=True)
y = x @ w                # no transpose
z = nn.Linear(3, 2)(x)   # one that the program does not see
named = w.t()
(y.sum() + z.sum() + (x.t() @ x).sum() + named.sum() + (w.t() @ x.t()).sum()).backward()
"""


def test_an_operation_that_only_transposes_a_parameter_belongs_to_the_edge() -> None:
    event = record(START.replace(", requires_grad=True", "") + TRANSPOSED)[1].log.graph(0)
    graph = StructureColumns(event)
    hidden = np.flatnonzero(graph.transposes).tolist()
    assert [graph.text("op", node) for node in hidden] == ["TBackward0"] * 2
    assert [graph.line[node] for node in hidden] in ([8, 10], [10, 8])
    tree = GroupTree(graph)
    through = graph.target[graph.transposes[graph.recorded_target]]
    assert (graph.parameter[through] >= 0).all()
    assert not set(hidden) & set(tree.order.nodes.tolist())
    for node in hidden:
        (user,) = graph.source[graph.recorded_target == node].tolist()
        assert f"n{user}" in [box.id for box in reveal(tree, read_view(tree, ""), node).boxes]


def test_a_graph_that_no_pass_reached_hides_the_same_transposes() -> None:
    program = "m = nn.Linear(3, 2)\n(x * 2).sum().backward()\ny = m(x)\ny\n"
    graph = StructureColumns(record(START + program)[1].log.graph(1))
    assert (graph.parameter < 0).any()
    assert [graph.text("op", node) for node in np.flatnonzero(graph.transposes)] == ["TBackward0"]
