"""The series of a recording equal, bit for bit, the numbers of an unrecorded run."""

from __future__ import annotations

import pytest

from ..run_twice import record, unrecorded

HEAD = "import torch\nfrom torch import nn\nlogged = []\n"
BY_HAND = """\
x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
for step in range(40):
    loss = ((m * x - y) ** 2).mean()
    loss.backward()
    before = m.item()
    with torch.no_grad():
        m -= 0.013 * m.grad
    logged.append({"loss": loss.item(), "p0": before, "p0.grad": m.grad.item(), "p0.value_after": m.item()})
    m.grad = None
"""
CLIPPED = """\
torch.manual_seed(3)
w = torch.randn(5, requires_grad=True)
optimizer = torch.optim.Adam([w], lr=0.3)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.7)
for step in range(25):
    optimizer.zero_grad()
    loss = (nn.functional.dropout(w, 0.3) ** 4).sum()
    loss.backward()
    before, arrived = w.detach().clone(), w.grad.clone()
    nn.utils.clip_grad_norm_([w], 0.5)
    lr = optimizer.param_groups[0]["lr"]
    optimizer.step()
    logged.append({
        "loss": loss.item(), "lr": lr, "p0.value[2]": before[2].item(), "p0.grad[0]": arrived[0].item(),
        "p0.grad_used[4]": w.grad[4].item(), "p0.update[1]": (w - before)[1].item(),
        "p0.state.exp_avg_sq[3]": optimizer.state[w]["exp_avg_sq"][3].item(), "p0.state.step": step + 1.0,
        "p0.grad.max": arrived.max().item(), "p0": before.double().norm().item(),
    })
    schedule.step()
"""
MICRO_BATCHES = """\
w = torch.tensor([[1.0, -2.0], [0.5, 0.25]], dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.05, momentum=0.9)
for step in range(10):
    optimizer.zero_grad()
    first = None
    for part in range(3):
        loss = ((w @ torch.randn(2, 4, dtype=torch.float64)) ** 2).mean() / 3
        loss.backward()
    grad, before = w.grad.clone(), w.detach().clone()
    optimizer.step()
    logged.append({
        "loss": loss.item(), "p0.value[1,0]": before[1, 0].item(), "p0.grad[3]": grad[1, 1].item(),
        "p0.state.momentum_buffer[0]": optimizer.state[w]["momentum_buffer"][0, 0].item(), "iteration": float(step),
    })
"""
CHANGING = """\
m = torch.tensor(1.5, requires_grad=True)
for step in range(30):
    loss = m
    for _ in range(step % 5):
        loss = (loss * 1.1).sin()
    loss = loss ** 2
    loss.backward()
    logged.append({"loss": loss.item(), "p0": m.item(), "p0.contribution": m.grad.item()})
    m.data -= 0.1 * m.grad
    m.grad.zero_()
"""
BREAKING = """\
m = torch.tensor(4.0, requires_grad=True)
for step in range(12):
    loss = (m - step / 2).sqrt()
    loss.backward()
    logged.append({"loss": loss.item(), "p0": m.item(), "p0.grad": m.grad.item()})
    with torch.no_grad():
        m -= 0.01 * m.grad
    m.grad = None
"""
PROGRAMS = {"by hand": BY_HAND, "clipped": CLIPPED, "micro-batches": MICRO_BATCHES, "changing": CHANGING, "breaking": BREAKING}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_series_equal_the_numbers_of_an_unrecorded_run(program: str) -> None:
    expected = unrecorded(HEAD + program).variables["logged"]
    series = record(HEAD + program)[1].series(list(expected[0]))
    assert series.index.tolist() == list(range(len(expected)))
    for key in expected[0]:
        assert series.present[key].all(), key
        assert [bits(value) for value in series.values[key].tolist()] == [bits(step[key]) for step in expected], key


def bits(value: float) -> str:
    return float(value).hex()


def test_each_loss_name_has_its_own_series() -> None:
    program = HEAD + (
        "d, g = torch.tensor(0.5, requires_grad=True), torch.tensor(-0.5, requires_grad=True)\n"
        "for_d, for_g = torch.optim.SGD([d], lr=0.1), torch.optim.SGD([g], lr=0.1)\nfor step in range(6):\n"
        "    for_d.zero_grad()\n    d_loss = (d - g.detach()) ** 2\n    d_loss.backward()\n    for_d.step()\n"
        "    for_g.zero_grad()\n    g_loss = (d.detach() * g).exp()\n    g_loss.backward()\n    for_g.step()\n"
        "    logged.append((d_loss.item(), g_loss.item()))\n"
    )
    expected = unrecorded(program).variables["logged"]
    series = record(program)[1].series(["loss:*", "loss", "iteration"])
    assert series.values["loss:d_loss"][::2].tolist() == [each for each, _ in expected]
    assert series.values["loss:g_loss"][1::2].tolist() == [each for _, each in expected]
    assert series.present["loss:d_loss"].tolist() == [True, False] * 6
    assert series.values["loss"].tolist() == [each for pair in expected for each in pair]
    assert series.values["iteration"].tolist() == [float(at // 2) for at in range(12)]
