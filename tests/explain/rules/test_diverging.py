"""A diverging loss is reported at its update, intended growth is not."""

from __future__ import annotations

import pytest

from ...tracer.run_twice import record
from ..reported import findings

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
    assert f"{losses[-1]:.4g} in step 39".replace("e+", "e") in finding.message
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
