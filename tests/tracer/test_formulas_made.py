"""Nodes that a pass makes with ``create_graph`` are tied to the nodes whose formulas made them."""

from __future__ import annotations

import torch
from tapedeck.drawing.account import account

from .alone import record

PROGRAM = """\
import torch
x = torch.tensor(2.0, requires_grad=True)
y = torch.tensor(3.0, requires_grad=True)
z = x ** 3 * y + x.exp() + x
(g,) = torch.autograd.grad(z, x, create_graph=True)
h = g ** 2
h.backward()
"""


def test_each_node_of_a_second_order_graph_names_the_node_whose_formula_made_it() -> None:
    recording = record(PROGRAM)[1]
    first, second = recording.numbers(0).graph, recording.numbers(1).graph
    assert all(node.backward_of is None for node in first.nodes)
    made = [
        (node.op, first_op(first, node.backward_of.node))
        for node in second.nodes
        if node.backward_of is not None and node.backward_of.graph == first.id
    ]
    assert sorted(made) == [
        ("AddBackward0", "AccumulateGrad"),  # the three gradients that meet at x
        ("AddBackward0", "AccumulateGrad"),
        ("MulBackward0", "ExpBackward0"),  # grad * exp(x)
        ("MulBackward0", "MulBackward0"),  # grad * y
        ("MulBackward0", "PowBackward0"),  # grad * (3 * x ** 2)
        ("MulBackward1", "PowBackward0"),
        ("PowBackward0", "PowBackward0"),
    ]
    others = {node.op for node in second.nodes if node.backward_of is None}
    assert others == {"PowBackward0", "ExpBackward0", "AccumulateGrad"}  # h, the exp that is used again, and the leaves


def first_op(graph: object, node: str) -> str:
    return next(each.op for each in graph.nodes if each.id == node)  # type: ignore[attr-defined]


def test_what_a_formula_computes_is_told_at_its_nodes() -> None:
    recording = record(PROGRAM)[1]
    numbers = recording.numbers(1)
    (place,) = [at for at, node in enumerate(numbers.graph.nodes) if node.name == "g"]
    x = torch.tensor(2.0)
    value = numbers.value(place)
    assert value is not None
    assert value.values == (3 * x**2 * 3.0 + x.exp() + 1).item()


def test_a_sum_belongs_to_the_node_that_it_arrives_at_whatever_runs_in_between() -> None:
    program = """\
import torch
x = torch.tensor([1.0, 2.0], requires_grad=True)
a = x * 2
b = a.sin() + a.cos() * a
(g,) = torch.autograd.grad(b.sum(), x, create_graph=True)
g.sum().backward()
"""
    recording = record(program)[1]
    first, second = recording.numbers(0).graph, recording.numbers(1).graph
    sums = [node for node in second.nodes if node.op == "AddBackward0"]
    places = {node.id: node for node in first.nodes}
    assert len(sums) == 2
    for node in sums:
        assert node.backward_of is not None
        assert places[node.backward_of.node].name == "a"


def test_inner_passes_of_a_loop_share_their_second_order_graph() -> None:
    program = """\
import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(3):
    loss = (w ** 3).sum()
    (g,) = torch.autograd.grad(loss, w, create_graph=True)
    g.square().sum().backward()
    with torch.no_grad():
        w -= 0.001 * w.grad
    w.grad = None
"""
    recording = record(program)[1]
    graphs = [recording.numbers(index).graph.id for index in range(6)]
    assert graphs == ["g0", "g1"] * 3


def test_the_account_says_whose_formula_a_node_comes_from() -> None:
    recording = record(PROGRAM)[1]
    numbers = recording.numbers(1)
    told = account(numbers.graph, numbers, program=PROGRAM)
    assert "n1  g = torch.autograd.grad(z, x, create_graph=True)  AddBackward0  line 5  backward of n2 in g0" in told
