"""The finding about a loop that sums its losses recommends running backward from the loss of each iteration."""

from __future__ import annotations

import pytest

from ...tracer.run_twice import unrecorded
from ..reported import findings

START = """import torch
x, y = torch.arange(4.0), torch.arange(4.0) * 2
w = torch.ones(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.01)
losses = []
"""
LOOP = """
for step in range(3):
    optimizer.zero_grad()
    loss = ((w * x - y) ** 2).mean()
    losses.append(loss.item())
    {add}
    {total}.backward()
    optimizer.step()
"""
ADDS = {
    "in place": "total += loss",
    "to a new tensor": "total = total + loss",
    "from the left": "total = loss + total",
}


@pytest.mark.parametrize("add", ADDS.values(), ids=ADDS)
def test_the_loss_of_the_iteration_is_named_instead_of_a_cut(add: str) -> None:
    text = f"{START}total = 0.0\n{LOOP.format(add=add, total='total')}"
    (found,) = [finding for finding in findings(text) if finding.code == "backward-twice"]
    assert "`loss.backward()`" in found.why
    assert "`total += loss.item()`" in found.why
    assert "detach" not in found.why
    assert found.fix is None
    twin = f"{START}total = 0.0\n{LOOP.format(add='total += loss.item()', total='loss')}"
    outcome = unrecorded(twin)
    assert outcome.error is None
    assert not [finding for finding in findings(twin) if finding.severity in ("error", "warning")]
    assert outcome.variables["total"] == sum(outcome.variables["losses"])


OTHERS = {
    "a state": "h = torch.zeros(4)\nfor step in range(3):\n    h = torch.tanh(w * h + x)\n    h.sum().backward()\n",
    "a state, with a total of each iteration": (
        "h = torch.zeros(4)\nfor step in range(3):\n    total = 0.0\n    for t in range(2):\n"
        "        h = torch.tanh(w * h + x)\n"
        "        loss = h.sum()\n        total += loss\n    total.backward()\n"
    ),
    "a product": (
        "total = w\nfor step in range(3):\n    loss = (w * x).sum()\n    total = total * loss\n    total.sum().backward()\n"
    ),
}


@pytest.mark.parametrize("program", OTHERS.values(), ids=OTHERS)
def test_detach_is_still_recommended_for_other_values_that_are_carried_over(program: str) -> None:
    (found,) = [finding for finding in findings(START + program) if finding.code == "backward-twice"]
    assert "detach" in found.why
