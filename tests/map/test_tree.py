"""Tests of the forward order of a graph and of its groups."""

from __future__ import annotations

import numpy as np
import pytest
from tapedeck import wire
from tapedeck.map.columns import StructureColumns
from tapedeck.map.order import forward_order
from tapedeck.map.parts import MOST_CHILDREN
from tapedeck.map.tree import GroupTree

from .recorded_trees import PROGRAMS, all_groups, recorded_graphs, tree_of, without_frames

EVERY = [
    (name, index, version)
    for name in PROGRAMS
    for index in range(2 if name == "second derivative" else 1)
    for version in ("today", "without frames", "without order")
]


def recorded_tree(name: str, index: int, version: str) -> GroupTree:
    event = recorded_graphs(name)[0][index]
    if version != "today":
        event = without_frames(event, order=version == "without frames")
    return GroupTree(StructureColumns(event))


@pytest.mark.parametrize(("name", "index", "version"), EVERY)
def test_an_operation_comes_after_the_operations_that_its_gradient_flows_to(name: str, index: int, version: str) -> None:
    tree = recorded_tree(name, index, version)
    graph, position = tree.graph, tree.order.position
    assert sorted(tree.order.nodes.tolist()) == np.flatnonzero((graph.kind == wire.OP) & ~graph.transposes).tolist()
    for source, target in zip(position[graph.source], position[graph.target], strict=True):
        assert target < source or target == -1


@pytest.mark.parametrize(("name", "index", "version"), EVERY)
def test_children_divide_their_group_and_every_id_leads_back_to_its_group(name: str, index: int, version: str) -> None:
    tree = recorded_tree(name, index, version)
    groups = all_groups(tree)
    assert len({group.id for group in groups}) == len(groups)
    for group in groups:
        children = tree.children(group)
        assert tree.find(group.id) is group
        assert len(children) <= MOST_CHILDREN or group.turns is not None
        assert (len(children) > 0) == (group.kind != "op")
        assert [child.start for child in children] == [group.start, *(child.end for child in children)][: len(children)]
        assert not children or children[-1].end == group.end
        assert all(child.parent is group for child in children)
    assert [group.start for group in groups if group.kind == "op"].__len__() == len(tree.order)


def test_nodes_are_sorted_if_their_numbers_are_not_a_topological_order() -> None:
    event = recorded_graphs("views written to")[0][0]
    graph = StructureColumns(event)
    made, ops = graph.made, graph.kind == wire.OP
    between = ops[graph.source] & ops[graph.target]
    assert (made[graph.source] < made[graph.target])[between].any()  # torch made a view's node anew
    assert len(set(forward_order(graph).nodes.tolist())) == int(ops.sum())


def test_a_cycle_in_a_forged_graph_causes_no_endless_loop() -> None:
    event = recorded_graphs("straight lines")[0][0]
    source = wire.int32(event.source, "source")
    forged = {name: getattr(event, name) for name in event.__struct_fields__} | {"target": source.tobytes()}
    assert len(forward_order(StructureColumns(wire.GraphEvent(**forged)))) == 241


def shape(tree: GroupTree, id_: str = "") -> list[str]:
    group = tree.find(id_)
    assert group is not None
    return [
        f"{child.id} {child.name}" + (f" × {len(child.turns)}" if child.turns is not None else "")
        for child in tree.children(group)
    ]


def test_a_transformer_is_its_modules_and_its_loop_over_blocks() -> None:
    tree = tree_of("transformer")
    assert shape(tree)[0] == "m:model model"
    assert shape(tree, "m:model") == ["m:model.embed embed", "m:model/x:26 h.0 – 13 × 14", "m:model.head head"]
    assert shape(tree, "m:model/x:26")[3] == "m:model.h.3 h.3"
    assert [line.split()[1] for line in shape(tree, "m:model.h.3")] == ["ln", "qkv", "q", "line", "mlp", "x"]
    assert tree.find("m:model/x:26/3") is tree.find("m:model.h.3")


def test_the_turns_of_a_recurrent_loop_are_grouped_if_there_is_no_module() -> None:
    tree = tree_of("recurrent")
    assert shape(tree) == ["x:8 line 8 × 40"]
    assert shape(tree, "x:8/39") == ["m:cell~40 cell", "x:8/39/l:10 line 10"]


def test_repetitions_are_grouped_without_recorded_frames() -> None:
    recurrent = GroupTree(StructureColumns(without_frames(recorded_graphs("recurrent")[0][0], order=True)))
    assert shape(recurrent) == ["f:cell cell × 40"]
    sequential = tree_of("sequential")
    assert shape(sequential, "m:m") == ["m:m/f:m.0 0 – 16 × 9"]
    assert shape(sequential, "m:m/f:m.0/2") == ["m:m.4 4", "m:m.5 5"]


def test_two_different_lines_are_never_grouped() -> None:
    tree = tree_of("straight lines")
    assert {group.kind for group in all_groups(tree)} == {"graph", "part", "statement", "op"}
    assert len(tree.children(tree.root)) == 18


def test_a_module_that_only_calls_another_is_one_group() -> None:
    tree = tree_of("wrapped")
    assert shape(tree)[0] == "m:m m.0.0"
    assert tree.find("m:m.0.0") is tree.find("m:m")
    assert shape(tree, "m:m") == ["m:m.0.0.0 0", "m:m.0.0.1 1"]


def test_a_loop_with_one_turn_is_left_out() -> None:
    assert [child.kind for child in tree_of("one turn").children(tree_of("one turn").root)] == ["op", "op"]


@pytest.mark.parametrize(
    "id_",
    ["m:nothing", "x:8/40", "x:8/-1", "x:8/x", "x:9", "n99999999", "n-1", "n", "l:10", "p:0-9", "p:99999999999-1", "/",
     "x:8//1", "m:cell~41", "m:cell~0", "m:cell+5", "~", "m:", "é", "x:8/39/l:10/n0/1", "x:" + "9" * 500],
)  # fmt: skip
def test_an_unknown_id_has_no_group(id_: str) -> None:
    assert tree_of("recurrent").find(id_) is None
