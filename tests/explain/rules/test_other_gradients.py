"""An update with the gradients of another loss is reported, one with its own gradients is not."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, loop

GAN = """\
import torch
from torch import nn
torch.manual_seed(0)
g, d = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
g_opt, d_opt = torch.optim.{optimizer}(g.parameters(), lr=0.01), torch.optim.{optimizer}(d.parameters(), lr=0.01)
for step in range(4):
    fake = g(torch.randn(16, 2))
    {begin}
    g_loss = -d(fake).mean()
    g_loss.backward()
    g_opt.step()
    {middle}
    d_loss = d(fake.detach()).mean() + (d(torch.randn(16, 2) + 3) ** 2).mean()
    d_loss.backward()
    d_opt.step()
    {end}
"""


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(
    ("begin", "middle", "end"),
    [("pass", "g_opt.zero_grad()", "d_opt.zero_grad()"), ("g_opt.zero_grad()", "pass", "d_opt.zero_grad()")],
    ids=["after each step", "the generator's before its pass"],
)
def test_an_update_with_the_gradients_of_another_loss_is_reported(optimizer: str, begin: str, middle: str, end: str) -> None:
    text = GAN.format(optimizer=optimizer, begin=begin, middle=middle, end=end)
    assert codes(text) == [("other-gradients", line_of(text, "g_loss.backward()"))]


OWN_GRADIENTS = {
    "cleared between": GAN.format(
        optimizer="SGD", begin="pass", middle="d_opt.zero_grad(); g_opt.zero_grad()", end="d_opt.zero_grad()"
    ),
    "frozen meanwhile": GAN.format(
        optimizer="SGD",
        begin="d.requires_grad_(False)",
        middle="d.requires_grad_(True); g_opt.zero_grad()",
        end="d_opt.zero_grad()",
    ),
    "two losses before the updates": loop(
        "opt.zero_grad()", "loss.backward()", "(net(x) ** 2).mean().backward()", "opt.step()", begin=BEGIN
    ),
}


@pytest.mark.parametrize("text", OWN_GRADIENTS.values(), ids=OWN_GRADIENTS.keys())
def test_updates_with_their_own_gradients_are_not_reported(text: str) -> None:
    assert codes(text) == []
