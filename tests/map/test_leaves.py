"""Tests of the leaves that a map shows: those that several of its boxes share."""

from __future__ import annotations

from typing import Any

import pytest
from tapedeck.map.columns import StructureColumns
from tapedeck.map.first_view import first_view
from tapedeck.map.leaves import MOST_LEAVES, MOST_STUBS, SMALL, shown_leaves
from tapedeck.map.read import read_map
from tapedeck.map.tree import GroupTree
from tapedeck.map.view import read_view

from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START, as_shown, recorded_graphs

SHARED = """w = torch.ones(3, requires_grad=True)
a = (x * w).sin().sum()
b = (w * 2).cos().sum()
(a + b + w.sum()).backward()
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_shown_leaves_are_those_with_users_in_several_boxes(name: str) -> None:
    event = recorded_graphs(name)[0][-1]
    tree = GroupTree(StructureColumns(event))
    graph = as_shown(event)
    for view in (read_view(tree, ""), first_view(tree)):
        box = {
            f"n{node}": index
            for index, each in enumerate(view.boxes)
            for node in tree.order.nodes[each.start : each.end].tolist()
        }
        expected: dict[str, set[int]] = {}
        for edge in graph.edges:
            if graph.nodes[int(edge.target[1:])].kind == "leaf" and edge.source in box:
                expected.setdefault(edge.target, set()).add(box[edge.source])
        found = shown_leaves(tree, view.boxes)
        shared = {node: sorted(boxes) for node, boxes in expected.items() if len(boxes) > 1}
        assert {f"n{leaf.node}": leaf.boxes for leaf in found}.items() <= shared.items()
        assert len(found) == min(len(shared), MOST_LEAVES)
        for leaf in found:
            sizes = [view.boxes[index].end - view.boxes[index].start for index in leaf.boxes]
            assert leaf.stubs == (len(sizes) <= MOST_STUBS and max(sizes) <= SMALL)


def test_the_gradient_of_a_shared_leaf_is_the_sum_that_torch_computes() -> None:
    names: dict[str, Any] = {}
    exec(START + SHARED, names)
    shown = read_map(record(START + SHARED)[1], 0, 0)
    (leaf,) = shown.leaves
    assert (leaf.name, leaf.parameter is not None, leaf.stubs) == ("w", True, True)
    assert leaf.arrives.value == pytest.approx(float(names["w"].grad.norm()))
    ids = [box.id for box in shown.boxes]
    assert leaf.boxes == sorted(leaf.boxes, key=ids.index)
    assert len(leaf.boxes) == 3


def test_without_a_pass_a_shared_leaf_has_no_gradient() -> None:
    (leaf,) = read_map(record(START + SHARED)[1], 0).leaves
    assert leaf.arrives.value is None
