"""A softmax before a loss that applies one, and a loss of logarithms that gets other numbers, are reported."""

from __future__ import annotations

import pytest

from ..reported import codes

CLASSES = """\
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
x, y, labels = torch.randn(16, 4), torch.randint(3, (16,)), torch.randint(2, (16, 1)).float()
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
one = nn.Linear(4, 1)
opt = torch.optim.SGD([*net.parameters(), *one.parameters()], lr=0.05)
for step in range(3):
    loss = {loss} + 0 * one(x).sum() + 0 * net(x).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""

SOFTMAX_TWICE = {
    "functions": "F.cross_entropy(F.softmax(net(x), dim=1), y)",
    "a module": "nn.CrossEntropyLoss()(nn.Sequential(net, nn.Softmax(dim=1))(x), y)",
    "a sigmoid": "F.binary_cross_entropy_with_logits(torch.sigmoid(one(x)), labels)",
    "by hand": "-torch.log_softmax(net(x).softmax(1), 1)[:, 0].mean()",
}


@pytest.mark.parametrize("loss", SOFTMAX_TWICE.values(), ids=SOFTMAX_TWICE.keys())
def test_a_softmax_before_a_loss_that_applies_one_is_reported(loss: str) -> None:
    assert codes(CLASSES.format(loss=loss)) == [("softmax-twice", 10)]


ONCE = {
    "logits": "F.cross_entropy(net(x), y)",
    "log_softmax, which changes nothing": "F.cross_entropy(net(x).log_softmax(1), y)",
    "a sigmoid and its loss": "F.binary_cross_entropy(torch.sigmoid(one(x)), labels)",
    "attention before the logits": "F.cross_entropy(net(x).softmax(1) @ net[2].weight[:, :3], y)",
    "nll_loss": "F.nll_loss(net(x).log_softmax(1), y)",
    "kl_div": "F.kl_div(net(x).log_softmax(1), torch.rand(16, 3).softmax(1), reduction='batchmean')",
    "kl_div with a target that has a gradient": "F.kl_div(torch.rand(16, 3).log(), net(x).softmax(1), reduction='sum')",
    "kl_div of two that have a gradient": "F.kl_div(net(x + 1).log_softmax(1), net(x).softmax(1), reduction='sum')",
}


@pytest.mark.parametrize("loss", ONCE.values(), ids=ONCE.keys())
def test_a_loss_that_gets_what_it_expects_is_not_reported(loss: str) -> None:
    assert codes(CLASSES.format(loss=loss)) == []


NOT_LOGARITHMS = {
    "probabilities": "F.nll_loss(net(x).softmax(1), y)",
    "logits": "F.nll_loss(10 * net(x), y)",
    "a divergence of probabilities": "F.kl_div(net(x).softmax(1), torch.rand(16, 3).softmax(1), reduction='batchmean')",
    "a divergence of sigmoids": "F.kl_div(torch.sigmoid(net(x)), torch.rand(16, 3), reduction='sum')",
}


@pytest.mark.parametrize("loss", NOT_LOGARITHMS.values(), ids=NOT_LOGARITHMS.keys())
def test_a_loss_of_logarithms_that_gets_other_numbers_is_reported(loss: str) -> None:
    assert ("not-log-probabilities", 10) in codes(CLASSES.format(loss=loss))
