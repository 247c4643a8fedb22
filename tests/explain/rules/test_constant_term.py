"""A term without a gradient is reported at the call that cut it, a term with a gradient is not."""

from __future__ import annotations

import pytest

from ..reported import codes

PENALTY = """\
import torch
from torch import nn
torch.manual_seed(0)
critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
opt = torch.optim.SGD(critic.parameters(), lr=0.01)
weight = 10.0
for step in range(3):
    x = torch.randn(16, 2, requires_grad=True)
    {grad}
    {rest}
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
GRAD = "g = torch.autograd.grad(critic(x).sum(), x)[0]"
CONSTANT = {
    "a penalty": (GRAD, "penalty = ((g.norm(dim=1) - 1) ** 2).mean()\n    loss = critic(x).mean() + 10 * penalty"),
    "a tuple": (GRAD.replace("g =", "(g,) =").replace("[0]", ""), "p = (g ** 2).sum()\n    loss = critic(x).mean() + p"),
    "a residual with a detached value": (GRAD, "p = ((g + critic(x).detach()) ** 2).mean()\n    loss = critic(x).mean() + p"),
    "a residual with a detached factor": (GRAD, "p = (g * x.detach()).sum()\n    loss = critic(x).mean() + p"),
    "a penalty against a detached value": (
        GRAD,
        "goal = critic(x).detach()\n    p = ((g - goal) ** 2).mean()\n    loss = critic(x).mean() + p",
    ),
    "a weighed penalty": (GRAD, "penalty = (g ** 2).mean()\n    loss = critic(x).mean() - weight * penalty"),
}


@pytest.mark.parametrize(("grad", "rest"), CONSTANT.values(), ids=CONSTANT.keys())
def test_a_term_without_a_gradient_is_reported_at_the_call_that_cut_it(grad: str, rest: str) -> None:
    assert codes(PENALTY.format(grad=grad, rest=rest)) == [("constant-term", 9)]


VARIABLE = {
    "create_graph": (
        GRAD.replace(", x)", ", x, create_graph=True)"),
        "penalty = ((g.norm(dim=1) - 1) ** 2).mean()\n    loss = critic(x).mean() + 10 * penalty",
    ),
    "an adversarial example": (
        GRAD,
        "attacked = (x + 0.1 * g.sign()).detach()\n    term = critic(attacked).mean()\n    loss = critic(x).mean() + term",
    ),
    "a gradient that is detached": (GRAD, "p = (g.detach() ** 2).mean()\n    loss = critic(x).mean() + p"),
    "a penalty that is detached": (GRAD, "p = (g ** 2).mean()\n    loss = critic(x).mean() + p.detach()"),
    "a gradient that is detached first": (GRAD, "g = g.detach()\n    p = (g ** 2).mean()\n    loss = critic(x).mean() + p"),
    "only measured": (GRAD, "norm = g.norm()\n    print(norm > 0)\n    loss = critic(x).mean()"),
}


@pytest.mark.parametrize(("grad", "rest"), VARIABLE.values(), ids=VARIABLE.keys())
def test_a_term_with_a_gradient_is_not_reported(grad: str, rest: str) -> None:
    assert codes(PENALTY.format(grad=grad, rest=rest)) == []


SIDES = """\
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(8, 4), torch.randn(8, 3)
for step in range(3):
    a, b = net(x), net(x + 0.1)
    {lines}
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
BOTH_DETACHED = {
    "names": "strong = net(x - 0.1).detach()\n    weak = b.detach()\n    loss = F.mse_loss(a, y) + F.mse_loss(strong, weak)",
    "in the call": "commit = F.mse_loss(a.detach(), b.detach())\n    loss = F.mse_loss(a, y) + 0.25 * commit",
    "a formula": "p = a.detach()\n    t = b.detach()\n    loss = F.mse_loss(a, y)\n    loss = loss + ((p - t) ** 2).mean()",
}


@pytest.mark.parametrize("lines", BOTH_DETACHED.values(), ids=BOTH_DETACHED)
def test_a_term_whose_sides_are_both_detached_is_reported_at_its_left_side(lines: str) -> None:
    assert codes(SIDES.format(lines=lines)) == [("constant-term", 10)]


ONE_DETACHED = {
    "one side": "loss = F.mse_loss(a, y) + F.mse_loss(a, b.detach()) + F.mse_loss(b, a.detach())",
    "a weight": "w = (a.detach() - b.detach()).abs().mean()\n    loss = F.mse_loss(a, y) * w + F.mse_loss(b, y)",
    "only measured": "gap = F.mse_loss(a.detach(), b.detach())\n    loss = F.mse_loss(a, y)\n    print(gap.item() > 0)",
    "data": "noise = (x.detach() - x.detach().mean()).pow(2).mean()\n    loss = F.mse_loss(a, y) + noise",
    "an advantage": "gain = b.detach() - a.detach()\n    loss = (a * gain).mean() + F.mse_loss(b, y)",
}


@pytest.mark.parametrize("lines", ONE_DETACHED.values(), ids=ONE_DETACHED)
def test_detached_values_that_a_loss_may_need_are_not_reported(lines: str) -> None:
    assert codes(SIDES.format(lines=lines)) == []
