"""A tensor that requires a gradient too late is found, unless a later pass reaches it."""

from __future__ import annotations

import pytest
from tapedeck import model
from tapedeck.explain.rewriting.fixes import apply

from ...tracer.run_twice import record, unrecorded
from ..reported import findings, run_fixed, without_good_signs

BEGIN = "import torch\nb = torch.tensor(1., requires_grad=True)\nx = torch.tensor([1., 2.])\nw = torch.tensor(3.)\n"
MISTAKES = {
    "used with a leaf": "y = w * x + b\nw.requires_grad_()\nloss = (y ** 2).mean()",
    "by its flag": "y = w * x + b\nw.requires_grad = True\nloss = (y ** 2).mean()",
    "used alone first": "z = w * x\ny = z + b\nw.requires_grad_(True)\nloss = (y ** 2).mean()",
    "after the loss": "loss = ((b * x - w) ** 2).mean()\nw.requires_grad_()",
    "with a comment": "loss = ((b * x - w) ** 2).mean()\nw.requires_grad_()  # learn w as well\nprint(w)",
}


@pytest.mark.parametrize("body", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_late_requires_grad_is_found_and_the_fix_gives_it_a_gradient(body: str) -> None:
    text = f"{BEGIN}{body}\nloss.backward()\n"
    (finding,) = findings(text)
    line = next(number for number, each in enumerate(text.split("\n"), 1) if "w.requires_grad" in each)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("requires-grad-late", "warning", line, 0)
    assert finding.message == "`w` requires a gradient only from this line on, but line 5 has already used it."
    assert finding.node is not None
    assert finding.fix is not None
    fixed, recording = run_fixed(text, finding.fix)
    assert without_good_signs(recording, model.Program(fixed)) == []
    assert unrecorded(text).variables["w"].grad is None
    assert unrecorded(fixed).variables["w"].grad is not None


def test_a_late_requires_grad_that_makes_backward_fail_is_one_error() -> None:
    text = "import torch\nx = torch.tensor(3.)\ny = x ** 2\nz = 2 * y\nx.requires_grad_()\nz.backward()\nprint(x.grad)\n"
    (finding,) = findings(text)
    assert (finding.code, finding.severity, finding.line) == ("requires-grad-late", "error", 5)
    assert finding.why.endswith("This causes the error on line 6.")
    assert finding.fix is not None
    fixed = apply(text, finding.fix)
    assert fixed.split("\n")[2] == "x.requires_grad_()"
    assert without_good_signs(record(fixed)[1], model.Program(fixed)) == []
    assert unrecorded(fixed).stdout == "tensor(12.)\n"


def test_a_late_requires_grad_inside_a_function_is_found() -> None:
    text = BEGIN + "def run():\n    v = torch.tensor(2.)\n    y = v * b\n    v.requires_grad_()\n    y.backward()\nrun()\n"
    (finding,) = findings(text)
    assert (finding.code, finding.line) == ("requires-grad-late", 8)
    assert finding.fix is not None
    fixed = apply(text, finding.fix)
    assert without_good_signs(record(fixed)[1], model.Program(fixed)) == []


NET = "net = torch.nn.Linear(2, 2)\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
RIGHT = {
    "right away": "w.requires_grad_()\nloss = ((w * x + b) ** 2).mean()",
    "used again later": "y = w * x + b\nw.requires_grad_()\nloss = (y ** 2).mean() + w",
    "for its shape": "y = torch.zeros(w.shape) + b\nz = torch.ones_like(w) * b\nw.requires_grad_()\nloss = y + z",
    "under no_grad": "with torch.no_grad():\n    m = w * x\nw.requires_grad_()\nloss = (m * b).sum()",
    "detached": "m = w.detach() * b\nw.requires_grad_()\nloss = m * 1",
    "printed": "print(w * 2)\nw.requires_grad_()\nloss = b * 1",
    "statistics": "centre = w.mean()\nscaled = x - centre\nw.requires_grad_()\nloss = ((w * scaled + b) ** 2).mean()",
    "an adversary": (
        f"{NET}clean = net(x).logsumexp(0)\nx.requires_grad_()\nnet(x).logsumexp(0).backward()\n"
        "loss = clean + net(x + 0.1 * x.grad.sign()).logsumexp(0)"
    ),
    "steps of an adversary": (
        f"{NET}delta = torch.zeros(2)\nfor i in range(3):\n    seen = net(x + delta).sum()\n    delta.requires_grad_()\n"
        "    loss = net(x + delta).logsumexp(0)\n    loss.backward()\n"
        "    delta = (delta + 0.1 * delta.grad.sign()).detach()\ndelta.requires_grad_()\nloss = net(x + delta).sum()"
    ),
    "for a Jacobian after a pass": (
        f"{NET}loss = net(x).sum()\nloss.backward()\nx.requires_grad_()\ntorch.autograd.functional.jacobian(net, x)\n"
        "loss = net(torch.ones(2)).sum()"
    ),
    "a new leaf made from it": (
        "for i in range(3):\n    v = torch.ones(2) * b.detach()\n    y = v * b\n    v.requires_grad_()\n    y = y + v\n"
        "    (y ** 2).sum().backward()\n    v = (v - 0.1 * v.grad).detach().requires_grad_()\n    (v ** 2).sum().backward()\n"
        "loss = b * 1"
    ),
    "unfrozen": (
        f"{NET}net.weight.requires_grad_(False)\nfor i in range(4):\n    if i == 2:\n        net.weight.requires_grad_(True)\n"
        "    opt.zero_grad()\n    loss = net(x).pow(2).sum()\n    loss.backward()\n    opt.step()\nloss = net(x).sum()"
    ),
    "frozen": "w.requires_grad_(False)\nloss = (w * b).sum()\nw.requires_grad_(False)",
    "a name that is used anew": "y = w * b\nw = torch.tensor(2.)\nw.requires_grad_()\nloss = y * 1",
}


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT.keys())
def test_a_tensor_that_a_pass_reaches_or_that_was_not_used_is_not_reported(body: str) -> None:
    text = f"{BEGIN}{body}\nloss.backward()\n"
    assert [finding.code for finding in findings(text) if finding.severity in ("error", "warning")] == []
