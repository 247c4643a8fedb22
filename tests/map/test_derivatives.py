"""Operations of a derivative, which a pass with ``create_graph`` made, are a group that is named after its module."""

from __future__ import annotations

import pytest
from tapedeck.map.tree import Group, GroupTree
from tapedeck.map.trees import known_graph

from ..tracer.run_twice import record
from .recorded_trees import START, all_groups

CRITIC = """
D = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
slope, = torch.autograd.grad(D(x).sum(), x, create_graph=True)
penalty = (slope.norm() - 1) ** 2
"""
TWICE = """
D = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
y = D(x).pow(3).sum()
first, = torch.autograd.grad(y, x, create_graph=True)
second, = torch.autograd.grad(first.sum(), x, create_graph=True)
second.sum().backward()
"""


def last_tree(program: str) -> GroupTree:
    _, recording = record(START + program)
    event = recording.log.graph(recording.log.pass_(recording.log.counts()[1] - 1).graph)
    return known_graph(recording.log, event).tree


def derivatives(tree: GroupTree) -> list[Group]:
    return [group for group in all_groups(tree) if group.kind == "derivative"]


def test_a_derivative_is_named_after_its_module_and_divided_by_the_modules_inside() -> None:
    tree = last_tree(CRITIC + "penalty.backward()\n")
    outer, *inner = derivatives(tree)
    assert (outer.name, outer.id, outer.parent) == ("gradient of D", "d:D", tree.root)
    assert [group.name for group in inner] == ["2", "1", "0"], "a derivative is computed from the last module to the first"
    assert {group.parent for group in inner} == {outer}
    of_outer = tree.order.nodes[outer.start : outer.end]
    assert of_outer.tolist() == [node for node in tree.order.nodes.tolist() if tree.graph.formula_node[node] >= 0]
    assert all(tree.find(group.id) is group for group in [outer, *inner])


def test_derivatives_of_equal_layers_fold_as_the_layers_do() -> None:
    tree = last_tree(
        CRITIC.replace("nn.Linear(3, 4), nn.Tanh()", "nn.Linear(3, 4), *[nn.Linear(4, 4) for _ in range(9)]")
        + "penalty.backward()\n"
    )
    (outer,) = [group for group in derivatives(tree) if group.parent is tree.root]
    assert [group.name for group in tree.children(outer) if group.turns is not None] == ["10 – 0"]


def test_each_derivative_of_a_loop_is_in_its_turn() -> None:
    first, *rest = CRITIC.strip().splitlines()
    body = "".join(f"    {line}\n" for line in [*rest, "total = total + penalty"])
    tree = last_tree(f"{first}\ntotal = 0\nfor turn in range(4):\n{body}total.backward()\n")
    outer = [group for group in derivatives(tree) if group.name == "gradient of D"]
    assert len(outer) == 4
    assert len({group.parent for group in outer}) == 4
    assert {group.parent.kind for group in outer if group.parent} == {"turn"}


def test_a_derivative_of_several_modules_or_of_none_is_named_after_its_line() -> None:
    tree = last_tree(TWICE)
    outer = [group for group in derivatives(tree) if group.parent and group.parent.kind != "derivative"]
    assert [group.name for group in outer] == ["gradient on line 8", "gradient on line 9"]
    assert "D" in [group.name for group in derivatives(tree)]


@pytest.mark.parametrize("program", [CRITIC + "penalty.backward()\n", TWICE])
def test_trees_of_equal_graphs_with_other_modules_are_not_confused(program: str) -> None:
    names = {tuple(group.name for group in derivatives(last_tree(text))) for text in (program, program.replace("D", "E"))}
    assert len(names) == 2
