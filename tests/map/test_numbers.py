"""Tests of sums over groups: each equals the sum over nodes and edges, computed one by one."""

from __future__ import annotations

import math

import pytest
from tapedeck import model, wire
from tapedeck.map.columns import StructureColumns
from tapedeck.map.first_view import first_view
from tapedeck.map.numbers import BoxEdge, PassSums
from tapedeck.map.tree import GroupTree
from tapedeck.map.view import View, read_view
from tapedeck.recording.pass_numbers import PassNumbers

from .recorded_trees import PROGRAMS, all_groups, as_shown, recorded_graphs


def the_pass(name: str) -> tuple[GroupTree, PassSums, PassNumbers, model.Graph]:
    graphs, passes = recorded_graphs(name)
    event = passes[-1]
    structure = as_shown(graphs[event.graph])
    tree = GroupTree(StructureColumns(graphs[event.graph]))
    return tree, PassSums(tree, event), PassNumbers(event, structure), structure


def edges_of(sums: PassSums, view: View) -> list[BoxEdge]:
    return sums.over([(box.start, box.end) for box in view.boxes]).edges


def norm_of(summary: model.TensorSummary | None) -> float:
    assert summary is not None
    assert isinstance(summary.norm, float)
    return summary.norm


def root_of_squares(norms: list[float]) -> float | None:
    return math.sqrt(sum(norm * norm for norm in norms)) if norms else None


def close(first: float | None, second: float | None) -> bool:
    return first == second or (first is not None and second is not None and math.isclose(first, second, rel_tol=1e-12))


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_that_arrive_at_a_group_and_its_parameters_are_summed_over_distinct_tensors(name: str) -> None:
    tree, sums, numbers, graph = the_pass(name)
    position = tree.order.position
    roots = {int(root[1:]) for root in graph.roots}
    for group in all_groups(tree):
        inside = {node for node in range(len(graph.nodes)) if group.start <= position[node] < group.end}
        arriving = {
            (int(edge.target[1:]), edge.input)
            for edge in graph.edges
            if int(edge.target[1:]) in inside and int(edge.source[1:]) not in inside and edge.gradient
        } | {(root, 0) for root in roots & inside}
        expected = [norm_of(summary) for each in arriving if (summary := numbers.arrived(*each)) is not None]
        assert close(sums.over([(group.start, group.end)]).arriving[0].value, root_of_squares(expected)), group.id
        leaves = {int(edge.target[1:]) for edge in graph.edges if int(edge.source[1:]) in inside}
        leaves = {node for node in leaves if graph.nodes[node].kind == "leaf"}
        expected = [norm_of(summary) for leaf in leaves if (summary := numbers.arrived(leaf)) is not None]
        assert close(sums.over([(group.start, group.end)]).parameters[0].value, root_of_squares(expected)), group.id


@pytest.mark.parametrize("name", PROGRAMS)
def test_edges_between_boxes_are_the_edges_between_their_nodes(name: str) -> None:
    tree, sums, numbers, graph = the_pass(name)
    position = tree.order.position
    for view in (read_view(tree, ""), first_view(tree)):
        nodes = [tree.order.nodes[box.start : box.end].tolist() for box in view.boxes]
        box = {node: index for index, inside in enumerate(nodes) for node in inside}
        expected: dict[tuple[int, int], list[int]] = {}
        for index, edge in enumerate(graph.edges):
            source, target = int(edge.source[1:]), int(edge.target[1:])
            if min(position[source], position[target]) >= 0 and box[source] != box[target]:
                expected.setdefault((box[source], box[target]), []).append(index)
        found = {(edge.source, edge.target): edge for edge in edges_of(sums, view)}
        assert found.keys() == expected.keys()
        assert all(source > target for source, target in found)  # no sum of edges makes a cycle
        for pair, edges in expected.items():
            assert found[pair].count == len(edges)
            assert found[pair].tensors == len({(graph.edges[edge].target, graph.edges[edge].input) for edge in edges})
            if found[pair].count == found[pair].tensors:
                norms = [norm for edge in edges if (norm := numbers.edge_norm(edge)) is not None]
                assert close(found[pair].norm.value, root_of_squares(norms))


def test_gradients_that_cancel_are_added_as_vectors_where_all_come_from_one_group() -> None:
    graphs, passes = recorded_graphs("transformer")
    tree = GroupTree(StructureColumns(graphs[0]))
    sums = PassSums(tree, passes[0])
    block = next(edge for edge in edges_of(sums, read_view(tree, "m:model")) if edge.count == 2 and edge.tensors == 1)
    assert block.norm.exact
    opened = edges_of(sums, read_view(tree, "m:model.h.3"))
    assert all(edge.norm.exact for edge in opened if edge.count == edge.tensors == 1)


def test_a_loop_has_one_series_for_each_tensor_that_it_carries() -> None:
    graphs, passes = recorded_graphs("recurrent")
    tree = GroupTree(StructureColumns(graphs[0]))
    sums = PassSums(tree, passes[0])
    loop = tree.find("x:8")
    assert loop is not None
    series = sums.carried(loop)
    assert [each.name for each in series][-1] == "loss"  # its gradient is 1 in every turn
    assert series[-1].norms.tolist() == [1.0] * 39
    assert {each.name for each in series} >= {"h", "loss"}
    structure = as_shown(graphs[0])
    numbers = PassNumbers(passes[0], structure)
    h = next(each for each in series if each.name == "h")
    node = int(tree.order.nodes[tree.turn(loop, 7).start + h.position])
    assert h.norms[7] == norm_of(numbers.arrived(node))
    assert len(sums.carried(loop, 3, 9)[0].norms) == 7


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_loop_that_carries_nothing_shows_what_arrives_at_each_turn(name: str) -> None:
    tree, sums, _, _ = the_pass(name)
    for group in all_groups(tree):
        series = sums.carried(group)
        assert bool(series) == (group.turns is not None and len(group.turns) > 1)
        if series and series[0].position < 0:
            turns = [(turn.start, turn.end) for turn in tree.children(group)]
            expected = [sums.over([turn]).arriving[0].value for turn in turns]
            assert [None if norm == -1.0 else norm for norm in series[0].norms] == pytest.approx(expected)
            assert series[0].name == "gradient"
    if name == "comprehension":
        assert any(series.position < 0 for group in all_groups(tree) for series in sums.carried(group))


def test_without_a_pass_there_are_counts_and_no_norms() -> None:
    graphs, _ = recorded_graphs("transformer")
    tree = GroupTree(StructureColumns(graphs[0]))
    sums = PassSums(tree, None)
    edges = edges_of(sums, read_view(tree, ""))
    assert [(edge.count, edge.norm.value) for edge in edges] == [(1, None)]
    assert sums.over([(0, len(tree.order))]).arriving[0].value is None
    assert wire.int32(graphs[0].made, "made").max() == len(tree.order) + int(tree.graph.transposes.sum()) - 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_group_ran_from_its_first_operation_to_its_last_in_the_order_of_the_engine(name: str) -> None:
    _, passes = recorded_graphs(name)
    order = wire.int32(passes[-1].order, "order").tolist()
    tree, sums, _, _ = the_pass(name)
    position = tree.order.position
    for group in all_groups(tree):
        ranks = [rank for rank, node in enumerate(order) if group.start <= position[node] < group.end]
        assert sums.ran(group.start, group.end) == ((ranks[0], ranks[-1]) if ranks else None), group.id


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_that_a_group_passes_on_are_those_of_its_edges_to_operations_outside(name: str) -> None:
    tree, sums, numbers, graph = the_pass(name)
    position = tree.order.position
    ends = [(int(edge.source[1:]), int(edge.target[1:]), edge.input) for edge in graph.edges]
    received: dict[tuple[int, int], int] = {(int(root[1:]), 0): 1 for root in graph.roots}
    for _, target, at in ends:
        received[target, at] = received.get((target, at), 0) + 1
    for group in all_groups(tree):
        leaving: dict[tuple[int, int], list[int]] = {}
        for index, (source, target, at) in enumerate(ends):
            inside = [group.start <= position[node] < group.end for node in (source, target)]
            if inside == [True, False] and position[target] >= 0:
                leaving.setdefault((target, at), []).append(index)
        squares = []
        for (target, at), edges in leaving.items():
            arrived = numbers.arrived(target, at)
            if len(edges) == received[target, at] and arrived is not None:
                squares.append(norm_of(arrived))
            else:
                squares += [norm for edge in edges if (norm := numbers.edge_norm(edge)) is not None]
        found = sums.over([(group.start, group.end)]).passed_on[0]
        assert close(found.value, root_of_squares(squares)), group.id
        assert found.exact == all(len(edges) in (1, received[tensor]) for tensor, edges in leaving.items())


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_sums_of_a_box_do_not_depend_on_the_other_boxes_of_a_view(name: str) -> None:
    tree, sums, _, _ = the_pass(name)
    boxes = [(box.start, box.end) for box in first_view(tree).boxes]
    together = sums.over(boxes)
    for index, box in enumerate(boxes):
        alone = sums.over([box])
        for found, expected in (
            (together.arriving[index], alone.arriving[0]),
            (together.passed_on[index], alone.passed_on[0]),
            (together.parameters[index], alone.parameters[0]),
        ):
            assert close(found.value, expected.value)
            assert found.exact == expected.exact


def test_the_series_of_a_loop_is_computed_once_for_all_of_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs, passes = recorded_graphs("recurrent")
    tree = GroupTree(StructureColumns(graphs[0]))
    sums = PassSums(tree, passes[0])
    loop = tree.find("x:8")
    assert loop is not None
    whole = sums.carried(loop)
    monkeypatch.setattr(type(tree.edges), "inside", lambda *_: pytest.fail("The edges were read again."))
    for first in range(0, 36, 4):
        part = sums.carried(loop, first, first + 3)
        assert [each.name for each in part] == [each.name for each in whole]
        assert [each.norms.tolist() for each in part] == [each.norms[first : first + 4].tolist() for each in whole]
