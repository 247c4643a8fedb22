"""Tests of the kinds of turns: two turns are of one kind if and only if their structures are equal."""

from __future__ import annotations

import pytest
from tapedeck import model
from tapedeck.map.columns import StructureColumns
from tapedeck.map.read import read_map
from tapedeck.map.tree import Group, GroupTree

from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START, all_groups, as_shown, recorded_graphs


def structure(tree: GroupTree, graph: model.Graph, users: dict[str, set[int]], group: Group, index: int) -> object:
    """Return the structure of a turn, node by node. It is equal for equal turns."""
    assert group.turns is not None
    start = int(group.turns[index])
    end = int(group.turns[index + 1]) if index + 1 < len(group.turns) else group.end
    found = []
    for position in range(start, end):
        node = graph.nodes[int(tree.order.nodes[position])]
        edges = []
        for edge in sorted((edge for edge in graph.edges if edge.source == node.id), key=lambda edge: edge.slot):
            target = int(tree.order.position[int(edge.target[1:])])
            kind = graph.nodes[int(edge.target[1:])].kind
            if kind == "op":
                edges.append((edge.slot, position - target if start <= target < end else None))
            else:
                edges.append((edge.slot, (kind, users[edge.target] <= set(range(start, end)))))
        found.append((node.op, node.line, node.columns, node.outputs, sorted(edges, key=repr)))
    return found


@pytest.mark.parametrize("name", [*PROGRAMS])
def test_turns_of_one_kind_have_equal_structures(name: str) -> None:
    event = recorded_graphs(name)[0][-1]
    tree, graph = GroupTree(StructureColumns(event)), as_shown(event)
    users: dict[str, set[int]] = {}
    for edge in graph.edges:
        users.setdefault(edge.target, set()).add(int(tree.order.position[int(edge.source[1:])]))
    for group in [each for each in all_groups(tree) if each.turns is not None][:20]:
        assert group.turns is not None
        known: list[object] = []
        expected = []
        for index in range(len(group.turns)):
            found = structure(tree, graph, users, group, index)
            if found not in known:
                known.append(found)
            expected.append(known.index(found))
        assert tree.kinds(group) == expected, group.id


def test_a_first_turn_without_a_state_is_of_its_own_kind() -> None:
    program = (
        "h = torch.zeros(2, 3)\nfor turn in range(30):\n    h = h * 2 + x\n"
        "    if turn == 20:\n        h = h.sin()\nh.sum().backward()\n"
    )
    _, recording = record(START + program)
    (loop,) = [box for box in read_map(recording, 0, 0, "").boxes if box.kind == "loop"]
    assert (loop.turns, loop.kinds) == (30, 3)
    opened = read_map(recording, 0, 0, "x:6/20").boxes
    assert {box.name: box.kinds for box in opened if box.kind == "turns"} == {"turns 21 – 29": 1, "turns 0 – 19": 2}
