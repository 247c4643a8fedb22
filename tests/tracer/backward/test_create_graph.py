"""Nodes that a pass makes with ``create_graph`` are linked to the nodes whose formulas made them."""

from __future__ import annotations

import torch
from tapedeck.drawing import labels
from tapedeck.drawing.description import describe
from tapedeck.drawing.sheet import Sheet
from tapedeck.model import Node

from ..run_twice import record

PROGRAM = """\
import torch
x = torch.tensor(2.0, requires_grad=True)
y = torch.tensor(3.0, requires_grad=True)
z = x ** 3 * y + x.exp() + x
(g,) = torch.autograd.grad(z, x, create_graph=True)
h = g ** 2
h.backward()
"""


def test_each_node_of_a_second_order_graph_refers_to_the_node_whose_formula_made_it() -> None:
    recording = record(PROGRAM)[1]
    first, second = recording.numbers(0).graph, recording.numbers(1).graph
    assert all(node.backward_of is None for node in first.nodes)
    made = [
        (node.op, node.backward_of.node.op)
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
    assert others == {"PowBackward0", "ExpBackward0", "AccumulateGrad"}  # h, the reused result of exp, and the leaves


def test_the_values_that_a_formula_computes_are_recorded_at_its_nodes() -> None:
    recording = record(PROGRAM)[1]
    numbers = recording.numbers(1)
    (index,) = [at for at, node in enumerate(numbers.graph.nodes) if node.name == "g"]
    x = torch.tensor(2.0)
    value = numbers.value(index)
    assert value is not None
    assert value.values == (3 * x**2 * 3.0 + x.exp() + 1).item()


def test_a_sum_of_gradients_belongs_to_the_node_at_which_it_arrives() -> None:
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
    assert len(sums) == 2
    for node in sums:
        assert node.backward_of is not None
        assert node.backward_of.node == next(each for each in first.nodes if each.name == "a")


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


def test_the_description_names_the_node_whose_formula_made_a_node() -> None:
    recording = record(PROGRAM)[1]
    numbers = recording.numbers(1)
    text = describe(Sheet(numbers.graph, numbers, PROGRAM))
    assert "n1  g = torch.autograd.grad(z, x, create_graph=True)  AddBackward0  line 5  from n2 in g0" in text
    assert "n9  backward of x ** 3  PowBackward0  line 5  from n5 in g0" in text


def test_higher_orders_refer_to_formulas_of_formulas_up_to_a_depth_of_three() -> None:
    program = """\
import torch
x = torch.tensor(1.5, requires_grad=True)
y = x.sin()
for order in range(6):
    (y,) = torch.autograd.grad(y, x, create_graph=True)
"""
    recording = record(program)[1]
    (made,) = [node for node in recording.numbers(1).graph.nodes if node.op == "CosBackward0"]
    source = labels.ProgramText(program)
    assert source.title(made) == "backward of y = x.sin()"
    last = recording.numbers(5).graph
    deepest = max(orders(node) for node in last.nodes)
    assert deepest == 3
    assert any(source.title(node).startswith("backward of backward of") for node in last.nodes)


def test_a_graph_of_a_high_order_is_read_without_the_earlier_graphs() -> None:
    program = """\
import torch
x = torch.tensor(0.5, requires_grad=True)
y = x.exp()
for order in range(300):
    (y,) = torch.autograd.grad(y, x, create_graph=True)
"""
    graph = record(program)[1].numbers(299).graph
    assert {node.backward_of.graph for node in graph.nodes if node.backward_of is not None} == {"g298"}


def orders(node: Node) -> int:
    return 0 if node.backward_of is None else 1 + orders(node.backward_of.node)
