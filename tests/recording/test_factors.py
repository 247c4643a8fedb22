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


MORE = """\
import torch
import torch.nn.functional as F
torch.manual_seed(1)
a, b, c = (torch.rand(3, dtype=torch.float64).add_(0.2).requires_grad_() for _ in range(3))
W = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
d = torch.log2(a) + torch.reciprocal(b) + torch.rsqrt(c)
e = F.leaky_relu(d, 0.1) + torch.log1p(b) + 2 ** c
f = torch.atan2(a, b) + a ** 0.5 + (a - a) + torch.expm1(e) + e.sin().tan()
g = F.mse_loss(f, c) + torch.dot(a, b) + F.softplus(f).sum() + (1 - f).abs().mean()
h = torch.deg2rad(f) + f ** 1 + f.square()
loss = g + (W @ a).sum() + h.mean() + torch.addcmul(a, b, c).sum()
loss.backward()
"""


@pytest.mark.parametrize(
    ("program", "some"),
    [
        (PROGRAM, {"× a, then Σ", "× 2", "÷ c", "× −b ÷ c²", "× −1", "× 1", "× a", "× (1 − tanh²)", "× σ (1 − σ)",
                   "× 3 (1 − t)²", "× 2 t", "× 1 if u > 0, else 0", "× ⅓", "@ Wᵀ", "@ W", "Vᵀ @", "× 2 u"}),
        (MORE, {"÷ (a log(2))", "× 1 if d > 0, else 0.1", "÷ (b + 1)", "× 0.5 a^−0.5", "× b", "× 2 (f − c) ÷ 3", "Wᵀ @", "× c",
                "× π ÷ 180", "× σ", "× sign(1 − f)"}),
    ],
)  # fmt: skip
def test_each_factor_times_the_gradient_is_the_gradient_that_was_sent(program: str, some: set[str]) -> None:
    recording = record(program)[1]
    names = dict[str, torch.Tensor]()
    exec(program, names)
    graph, numbers = recording.graph(0), recording.numbers(0)
    lines = program.splitlines()
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
    assert some <= {*found}, sorted({*found})


UPDATED = """\
import torch
w = torch.tensor(0.5, requires_grad=True)
v = torch.tensor(0.7, requires_grad=True)
h = w
for layer in range(3):
    h = torch.sigmoid(h)
h = h * 3
h += 1
h *= v
loss = h ** 2
loss.backward()
"""


def test_a_leaf_under_another_name_and_an_update_have_factors_but_none_with_an_overwritten_value() -> None:
    recording = record(UPDATED)[1]
    graph, numbers = recording.graph(0), recording.numbers(0)
    found = {}
    for index, edge in enumerate(graph.edges):
        ends = graph.nodes[int(edge.source[1:])], graph.nodes[int(edge.target[1:])]
        factor = edge_factor(UPDATED.splitlines(), ends, numbers.edge(index), numbers.used(int(edge.source[1:])))
        found[ends[0].op, ends[0].line, ends[1].name] = factor and factor.text
    assert found == {
        ("PowBackward0", 10, "h"): "× 2 h",
        ("MulBackward0", 9, "h"): "× v",
        ("MulBackward0", 9, "v"): None,  # the old `h`
        ("AddBackward0", 8, "h"): "× 1",
        ("MulBackward0", 7, "h"): "× 3",
        ("SigmoidBackward0", 6, "h"): "× σ (1 − σ)",
        ("SigmoidBackward0", 6, "w"): "× σ (1 − σ)",
    }


@pytest.mark.parametrize(
    "text", ["y = x.mean(dim=0)", "y = x.view(3)", "y = torch.softmax(x, 0)", "n = 2; y = x ** n", "y = x - x"]
)
def test_an_operation_that_is_not_certain_has_no_factor(text: str) -> None:
    program = f"import torch\nx = torch.rand(1, 3, requires_grad=True)\n{text}\ny.sum().backward()\n"
    recording = record(program)[1]
    graph, numbers = recording.graph(0), recording.numbers(0)
    made = {(node.id, node.line) for node in graph.nodes}
    for index, edge in enumerate(graph.edges):
        ends = graph.nodes[int(edge.source[1:])], graph.nodes[int(edge.target[1:])]
        if (edge.source, 3) in made:
            assert edge_factor(program.splitlines(), ends, numbers.edge(index), numbers.used(int(edge.source[1:]))) is None
