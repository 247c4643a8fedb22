"""The local derivative on an edge is what the gradient is multiplied by, and is missing where that is not certain."""

from __future__ import annotations

import pytest
import torch
from tapedeck.recording.factors import edge_factor

from ..tracer.run_twice import record

PROGRAM = """\
import torch
torch.manual_seed(0)
a, b, c = (torch.rand(3, dtype=torch.float64).add_(0.2).requires_grad_() for _ in range(3))
s = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
W = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
n = 3
p = s * a
q = 2 * p + b / c
r = q - a * a
e = torch.exp(r / 9).log().sqrt() if False else torch.exp(r / 9)
t = torch.tanh(e) + torch.sigmoid(b) + (b * e).sin() + c.cos()
u = (1 - t) ** 3 + t ** 2
v = u ** n + u.relu()
w = torch.sqrt(torch.log(e) ** 2 + 4).abs()
V = v.reshape(1, 3)
x = (V @ W) @ W.T
loss = (-x).sum() + w.mean() + u.sum(0) + torch.square(u).mean()
loss.backward()
"""


def test_each_factor_times_the_gradient_is_the_gradient_that_was_sent() -> None:
    recording = record(PROGRAM)[1]
    names = dict[str, torch.Tensor]()
    exec(PROGRAM, names)
    graph, numbers = recording.graph(0), recording.numbers(0)
    lines = PROGRAM.splitlines()
    found = []
    for index, edge in enumerate(graph.edges):
        source, target = int(edge.source[1:]), int(edge.target[1:])
        sent, arrived = numbers.edge(index), numbers.used(source)
        factor = edge_factor(lines, (graph.nodes[source], graph.nodes[target]), sent, arrived)
        if factor is None:
            continue
        assert sent is not None
        assert arrived is not None
        grad = torch.tensor(arrived.values, dtype=torch.float64)
        computed = eval(factor.code, {**names, "grad": grad})
        expected = torch.tensor(sent.values, dtype=torch.float64)
        if factor.text.endswith(", then Σ"):
            computed = computed.sum_to_size(expected.shape)
        torch.testing.assert_close(computed.expand_as(expected), expected, msg=f"{factor}")
        found.append(factor.text)
    assert {"× a, then Σ", "× 2", "÷ c", "× −b ÷ c²", "× −1", "× 1", "× a", "× (1 − tanh²)", "× σ (1 − σ)", "× 3 (1 − t)²",
            "× 2 t", "× 1 if u > 0, else 0", "× ⅓", "@ Wᵀ", "@ W", "Vᵀ @", "× 2 u"} <= {*found}, sorted({*found})  # fmt: skip


@pytest.mark.parametrize("text", ["y = x.mean(dim=0)", "y = x.view(3)", "y = torch.softmax(x, 0)", "n = 2; y = x ** n"])
def test_an_operation_that_is_not_certain_has_no_factor(text: str) -> None:
    program = f"import torch\nx = torch.rand(1, 3, requires_grad=True)\n{text}\ny.sum().backward()\n"
    recording = record(program)[1]
    graph, numbers = recording.graph(0), recording.numbers(0)
    made = {(node.id, node.line) for node in graph.nodes}
    for index, edge in enumerate(graph.edges):
        ends = graph.nodes[int(edge.source[1:])], graph.nodes[int(edge.target[1:])]
        if (edge.source, 3) in made:
            assert edge_factor(program.splitlines(), ends, numbers.edge(index), numbers.used(int(edge.source[1:]))) is None
