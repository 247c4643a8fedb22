"""A column combined with a row in a loss is found, intended pairs are not, and the fix makes the shapes equal."""

from __future__ import annotations

import pytest
import torch
from tapedeck import model

from ...tracer.run_twice import unrecorded
from ..reported import findings, run_fixed, without_good_signs

BEGIN = """\
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
x = torch.linspace(-1, 1, 10).unsqueeze(1)
y = 2 * x.squeeze() + 1
net = nn.Linear(1, 1)
pred = net(x)
w = torch.zeros(10, requires_grad=True)
"""
MISTAKES = {
    "by hand": ("loss = ((pred - y) ** 2).mean()", "pred - y", "pred.squeeze(-1)"),
    "the other way round": ("loss = (y - pred).pow(2).sum() / len(y)", "y - pred", "pred.squeeze(-1)"),
    "multiplied by itself": ("error = pred - y\nloss = (error * error).mean()", "pred - y", "pred.squeeze(-1)"),
    "absolute": ("loss = (pred - y).abs().mean()", "pred - y", "pred.squeeze(-1)"),
    "root": ("loss = ((pred - y) ** 2).mean().sqrt()", "pred - y", "pred.squeeze(-1)"),
    "weighted": ("loss = (torch.ones(10) * (pred - y) ** 2).mean()", "pred - y", "pred.squeeze(-1)"),
    "with a penalty": (
        "loss = ((pred - y) ** 2).mean() + 0.1 * (net.weight ** 2).sum()",
        "pred - y",
        "pred.squeeze(-1)",
    ),
    "of the model": ("loss = ((net(x) - y) ** 2).mean()", "net(x) - y", "net(x).squeeze(-1)"),
    "mse_loss": ("loss = F.mse_loss(pred, y)", "F.mse_loss", "pred.squeeze(-1)"),
    "MSELoss": ("loss = nn.MSELoss()(net(x), y)", "nn.MSELoss", "net(x).squeeze(-1)"),
    "l1_loss": ("loss = F.l1_loss(pred, y)", "F.l1_loss", "pred.squeeze(-1)"),
    "smooth_l1_loss": ("loss = F.smooth_l1_loss(pred, y)", "F.smooth_l1_loss", "pred.squeeze(-1)"),
    "huber_loss": ("loss = F.huber_loss(pred, y)", "F.huber_loss", "pred.squeeze(-1)"),
    "targets in a column": ("t = y.view(-1, 1)\nloss = F.mse_loss(net(x).squeeze(), t)", "F.mse_loss", "t.squeeze(-1)"),
    "crossed by hand": (
        "p = torch.sigmoid(pred)\nt = (y > 1).float()\nloss = -(t * p.log() + (1 - t) * (1 - p).log()).mean()",
        "t * p.log()",
        "p.log().squeeze(-1)",
    ),
    "log-probabilities by advantages": (
        "log_prob = torch.distributions.Normal(w, 1.0).log_prob(w + 1)\nloss = -(log_prob * (2 * pred)).mean()",
        "log_prob * ",
        "(2 * pred).squeeze(-1)",
    ),
    "values of actions": (
        "q = nn.Linear(1, 3)(x).gather(1, torch.zeros(10, 1).long())\nloss = F.smooth_l1_loss(q, y)",
        "F.smooth_l1_loss",
        "q.squeeze(-1)",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_column_combined_with_a_row_is_found_and_the_fix_makes_the_shapes_equal(case: str) -> None:
    body, at, edit = MISTAKES[case]
    text = f"{BEGIN}{body}\nloss.backward()\n"
    found = [each for each in findings(text) if each.code == "broadcast-both"]
    finding = found[0]
    line = next(number for number, each in enumerate(text.split("\n"), 1) if at in each)
    assert len(found) == 1
    assert (finding.severity, finding.line, finding.step) == ("warning", line, 0)
    assert "they make 10 × 10 numbers, not 10." in finding.message
    assert finding.fix is not None
    assert finding.fix.edits[0].text == edit
    if case == "crossed by hand":
        return  # two products on one line: each has its own fix
    fixed, recording = run_fixed(text, finding.fix)
    assert without_good_signs(recording, model.Program(fixed)) == []
    if at == "pred - y" and "abs" not in body:
        left = unrecorded(fixed).variables
        assert torch.allclose(
            left["net"].weight.grad, unrecorded(text.replace("pred - y", "pred[:, 0] - y")).variables["net"].weight.grad
        )


POINTS = "x = torch.randn(6)\nw = torch.randn(6, requires_grad=True)\ncolumn = torch.randn(6, 1)\n"
RIGHT = {
    "all pairs": "loss = ((w[:, None] - w[None, :]) ** 2).mean()",
    "a named column": "c = w.unsqueeze(1)\nloss = ((c - x) ** 2).mean()",
    "a column by view": "loss = (w.view(-1, 1) - x).abs().mean()",
    "a column of data": "loss = (x.reshape(-1, 1) - w).pow(2).mean()",
    "energy distance": "c = x.unsqueeze(1)\nloss = 2 * (c - w).abs().mean() - (w[:, None] - w).abs().mean()",
    "outer product": "loss = (w.unsqueeze(1) * x).sum()",
    "kernel": "loss = torch.exp(-((column - w) ** 2)).mean()",
    "ranking": "loss = torch.relu(1 - (column - w)).mean()",
    "softmax over rows": "loss = (column * w).softmax(1).pow(2).sum()",
    "nearest": "loss = ((column - w) ** 2).min(dim=1).values.mean()",
    "attention": "loss = ((column * w).softmax(-1) @ x).sum()",
    "basis functions": "loss = ((column - w) ** 2 @ x).sum()",
    "additive table": "b = torch.zeros(6, 1, requires_grad=True)\nloss = ((torch.randn(6, 6) - (b + w)) ** 2).mean()",
    "subtracted from a table": "b = torch.zeros(6, 1, requires_grad=True)\nloss = (((w - b) - torch.randn(6, 6)) ** 2).mean()",
    "distances by the norm": (
        "p = torch.randn(6, 2, requires_grad=True)\nn = (p ** 2).sum(1, keepdim=True)\nd = n + (p ** 2).sum(1) - 2 * p @ p.T\n"
        "loss = d.mean()"
    ),
    "a mean over rows": "p = torch.randn(6, 6, requires_grad=True)\nloss = ((p.mean(1, keepdim=True) - p.mean(0)) ** 2).mean()",
    "normalised": "p = torch.randn(6, 3, requires_grad=True)\nloss = ((p - p.mean(1, keepdim=True)) ** 2).mean()",
    "a bias": "loss = ((torch.nn.Linear(2, 6)(torch.randn(6, 2)) - w) ** 2).mean()",
    "one target": "loss = ((torch.nn.Linear(2, 1)(torch.randn(1, 2)) - torch.ones(1)) ** 2).mean()",
    "equal shapes": "loss = ((torch.nn.Linear(2, 1)(torch.randn(6, 2)) - column) ** 2).mean()",
    "a column and a row": "loss = ((column - w.view(1, -1)) ** 2).mean()",
    "never a loss": "table = column * w\nloss = (w ** 2).sum() + table[0].sum()",
}


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT.keys())
def test_intended_pairs_are_not_reported(body: str) -> None:
    text = f"import torch\n{POINTS}{body}\nloss.backward()\n"
    assert [finding.code for finding in findings(text) if finding.severity in ("error", "warning")] == []


def test_a_line_is_reported_once_however_often_it_runs() -> None:
    text = (
        f"{BEGIN}opt = torch.optim.SGD(net.parameters(), lr=0.1)\nfor step in range(5):\n    opt.zero_grad()\n"
        "    loss = ((net(x) - y) ** 2).mean()\n    loss.backward()\n    opt.step()\n"
    )
    (finding,) = findings(text)
    assert (finding.code, finding.step, finding.pass_) == ("broadcast-both", 0, 0)
