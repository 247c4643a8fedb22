"""Training that goes wrong without an error is reported, and training that only looks similar is not."""

from __future__ import annotations

import pytest

from ...tracer.run_twice import record
from ..test_findings import findings

LINE = """\
import torch
torch.manual_seed(0)
x = torch.linspace(-3, 3, 20)
y = 2 * x + 1
w = torch.tensor(0., requires_grad=True)
b = torch.tensor(0., requires_grad=True)
"""
BY_HAND = """\
for step in range(40):
    loss = ((w * x + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.5 * w.grad
        b -= 0.5 * b.grad
        w.grad = b.grad = None
"""
BY_SGD = """\
optimizer = torch.optim.SGD([w, b], lr=0.5, momentum=0.5)
for step in range(40):
    optimizer.zero_grad()
    loss = ((w * x + b - y) ** 2).mean()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.parametrize("loop", [BY_HAND, BY_SGD], ids=["by hand", "by an optimizer"])
def test_a_diverging_loss_is_reported_at_its_update(loop: str) -> None:
    text = LINE + loop
    (finding,) = findings(text)
    assert (finding.code, finding.severity) == ("diverging", "warning")
    line = next(number for number, each in enumerate(text.split("\n"), 1) if "no_grad" in each or "optimizer.step" in each)
    assert finding.line == line
    losses = record(text)[1].series(["loss"]).values["loss"]
    assert losses[-1] > 1e4 * losses[0]
    assert f"{losses[-1]:.4g} in step 39" in finding.message
    assert [finding.code for finding in findings(text.replace("0.5", "0.05"))] == []


STEADY = {
    "a reward that grows": "for i in range(40):\n    loss = (w + 1) ** 2\n    loss.backward()\n    with torch.no_grad():\n"
    "        w += w.grad\n    w.grad = None",
    "maximised": "optimizer = torch.optim.SGD([w], lr=1., maximize=True)\nfor i in range(40):\n"
    "    optimizer.zero_grad()\n    loss = (w + 1) ** 2\n    loss.backward()\n    optimizer.step()",
    "a scale that is grown": "optimizer = torch.optim.SGD([w], lr=0.01)\nfor step in range(40):\n    optimizer.zero_grad()\n"
    "    loss = 2 ** step * (w - 1) ** 2\n    loss.backward()\n    w.grad /= 2 ** step\n    optimizer.step()",
    "a spike": "optimizer = torch.optim.SGD([w], lr=0.01)\nfor step in range(40):\n    optimizer.zero_grad()\n"
    "    loss = (1e6 if step == 30 else 1) * (w - 1) ** 2\n    loss.backward()\n    w.grad.clamp_(-1, 1)\n    optimizer.step()",
}


@pytest.mark.parametrize("body", STEADY.values(), ids=STEADY.keys())
def test_intended_growth_is_not_reported_as_diverging(body: str) -> None:
    assert [finding.code for finding in findings(f"{LINE}{body}\n")] == []


def net(layers: str, *, begin: str = "", steps: int = 25, rate: float = 0.1, loss: str = "((net(x) - y) ** 2).mean()") -> str:
    return (
        "import torch\nfrom torch import nn\ntorch.manual_seed(0)\nx = torch.randn(16, 4)\ny = x.sum(1, keepdim=True)\n"
        f"net = nn.Sequential({layers})\n{begin}optimizer = torch.optim.SGD(net.parameters(), lr={rate})\n"
        f"for step in range({steps}):\n    optimizer.zero_grad()\n    loss = {loss}\n    loss.backward()\n"
        "    optimizer.step()\n"
    )


SIGMOIDS = "nn.Linear(4, 8), nn.Sigmoid(), " + "nn.Linear(8, 8), nn.Sigmoid(), " * 7 + "nn.Linear(8, 1)"


def test_gradients_that_vanish_layer_by_layer_are_reported() -> None:
    (finding,) = findings(net(SIGMOIDS))
    assert (finding.code, finding.severity, finding.line, finding.step) == ("vanishing", "warning", 10, 0)
    assert finding.message.endswith(" in `net.0.weight`.")
    assert finding.node is not None


@pytest.mark.parametrize("layer", ["Tanh()", "ReLU()", "LayerNorm(8), nn.Sigmoid()"])
def test_gradients_that_reach_the_first_layer_are_not_reported(layer: str) -> None:
    assert findings(net(SIGMOIDS.replace("Sigmoid()", layer))) == []


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_gradients_that_fall_by_ten_orders_in_a_few_steps_are_noted(steps: int) -> None:
    deep = "nn.Linear(4, 8), nn.Sigmoid(), " + "nn.Linear(8, 8), nn.Sigmoid(), " * 16 + "nn.Linear(8, 1)"
    (finding,) = findings(net(deep, steps=steps))
    assert (finding.code, finding.severity, finding.line, finding.step) == ("vanishing", "note", 10, 0)
    assert finding.why.startswith("The run is too short to be sure: it has ")
    assert findings(net(deep.replace("Sigmoid", "ReLU"), steps=steps)) == []


def test_a_satisfied_hinge_is_not_noted_if_another_term_of_the_loss_learns() -> None:
    loss = "torch.relu(-100 - net(x)).mean() + ((net(x) - y) ** 2).mean()"
    assert findings(net("nn.Linear(4, 1)", loss=loss, steps=1)) == []


def test_gradients_that_recover_later_are_not_reported() -> None:
    weighed = net(SIGMOIDS, rate=1e-5).replace("loss = ((", "loss = 1e4 ** (step > 8) * ((")
    assert [finding.code for finding in findings(net(SIGMOIDS, rate=1e-5))] == ["vanishing"]
    assert findings(weighed) == []


DEAD = "with torch.no_grad():\n    net[0].bias.fill_(-100.)\n"
RELU = "nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)"


def test_a_relu_that_returns_only_zeros_to_the_end_is_reported() -> None:
    text = net(RELU, begin=DEAD)
    (finding,) = findings(text)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("dead-relu", "warning", 12, 24)
    assert "`net.0.bias` and `net.0.weight` do not learn" in finding.message
    assert findings(net(RELU)) == []
    for steps, when in ((1, "in the only step"), (10, "in each of the 10 steps")):
        (finding,) = findings(net(RELU, begin=DEAD, steps=steps))
        assert (finding.code, finding.severity, finding.line) == ("dead-relu", "note", 12)
        assert f"only zeros {when}, so `net.0.bias`" in finding.message
        assert finding.why.startswith("The run is too short to be sure")


ALIVE = {
    "a hinge loss within its margin": net("nn.Linear(4, 1)", loss="torch.relu(1 - 100 * (net(x) + 100)).mean()"),
    "a relu with a residual connection around it": net(
        "nn.Linear(4, 4)", begin="net[0].bias.data.fill_(-100.)\nlast = nn.Linear(4, 1)\n",
        loss="((last(net(x).relu() + net(x)) - y) ** 2).mean() * 1e-6",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", ALIVE.values(), ids=ALIVE.keys())
def test_a_relu_that_may_be_zero_is_not_reported(text: str) -> None:
    assert [finding.code for finding in findings(text)] == []


TWO = "import torch\nw = torch.ones(2, requires_grad=True)\nu = torch.ones(2, requires_grad=True)\n"


STEPS_BY_HAND = """\
for i in range(9):
    (w ** 2).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
"""


def test_a_parameter_that_no_pass_reaches_is_noted_after_a_few_steps() -> None:
    loop = "opt = torch.optim.Adam([w, u])\nfor i in range({}):\n    opt.zero_grad()\n    w.sum().backward()\n    opt.step()\n"
    (finding,) = findings(TWO + loop.format(5))
    assert (finding.code, finding.severity, finding.line) == ("unused-parameter", "note", 3)
    assert finding.message == "`Adam` was given `u`, but no `backward()` of this run reaches it."
    (finding,) = findings(TWO + loop.format(1))
    assert finding.message == "`Adam` was given `u`, but the only `backward()` of this run does not reach it."
    assert finding.why.startswith("The run is too short to be sure")
    (finding,) = findings(TWO + loop.format(2))
    assert (finding.code, finding.severity) == ("unused-parameter", "note")
    (finding,) = findings(TWO + "opt = torch.optim.SGD([w, u], lr=0.1)\nw.sum().backward()\n")
    assert (finding.code, finding.line) == ("unused-parameter", 3)
    assert findings(TWO + "opt = torch.optim.SGD([w, u], lr=0.1)\n" + STEPS_BY_HAND) == []
    later = "(w ** 2 + u).sum().backward()\n"
    assert findings(TWO + loop.format(5) + later) == []


def test_a_layer_that_forward_does_not_use_is_noted() -> None:
    text = (
        "import torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.first, self.second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)\n    def forward(self, x):\n"
        "        return self.first(x)\ndef main():\n    net = Net()\n    opt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "    for step in range(4):\n        opt.zero_grad()\n        net(torch.ones(1, 2)).pow(2).sum().backward()\n"
        "        opt.step()\nmain()\n"
    )
    (finding,) = findings(text)
    names = "`net.second.weight` and `net.second.bias`"
    assert finding.message == f"`SGD` was given {names}, but no `backward()` of this run reaches them."


USED = {
    "frozen": "u.requires_grad_(False)\nopt = torch.optim.SGD([w, u], lr=0.1)\nfor i in range(5):\n"
    "    (w ** 2).sum().backward()\n    opt.step()\n    opt.zero_grad()",
    "a gradient assigned by hand": "opt = torch.optim.SGD([w, u], lr=0.1)\nfor i in range(5):\n    opt.zero_grad()\n"
    "    (w ** 2).sum().backward()\n    u.grad = torch.ones(2)\n    opt.step()",
    "one of several experts": "experts = [w, u, torch.ones(2, requires_grad=True)]\nopt = torch.optim.SGD(experts, lr=0.1)\n"
    "for i in range(6):\n"
    "    opt.zero_grad()\n    (experts[i % 2] ** 2).sum().backward()\n    opt.step()",
}


@pytest.mark.parametrize("body", USED.values(), ids=USED.keys())
def test_frozen_and_occasionally_used_parameters_are_not_noted(body: str) -> None:
    assert findings(f"{TWO}{body}\n") == []
