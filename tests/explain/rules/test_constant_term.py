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
    "only measured": (GRAD, "norm = g.norm()\n    print(norm > 0)\n    loss = critic(x).mean()"),
}


@pytest.mark.parametrize(("grad", "rest"), VARIABLE.values(), ids=VARIABLE.keys())
def test_a_term_with_a_gradient_is_not_reported(grad: str, rest: str) -> None:
    assert codes(PENALTY.format(grad=grad, rest=rest)) == []
