"""Tests of what a step records about its update: the gradient that was used, the change, and the options of each group."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck import model, wire
from tapedeck.web.columns.series import series
from torch import Tensor

from ..run_twice import record, unrecorded

HEAD = "import torch\nfrom torch import nn\nlogged = []\n"


def all_steps(program: str, **options: Any) -> list[model.Step]:
    recording = record(program, **options)[1]
    assert not recording.signals(wire.RecorderFailed)
    return [recording.step(index) for index in range(recording.log.counts()[2])]


def values(summary: model.TensorSummary | None) -> Tensor:
    assert summary is not None
    return torch.tensor(summary.values)


MANUAL = {
    "in place": "with torch.no_grad():\n        w -= 0.1 * w.grad",
    "by a method": "with torch.no_grad():\n        w.sub_(w.grad, alpha=0.1)",
    "by copy_": "with torch.no_grad():\n        w.copy_(w - 0.1 * w.grad)",
    "by elements": "with torch.no_grad():\n        w[0] -= 0.1 * w.grad[0]\n        w[1] -= 0.1 * w.grad[1]",
    "through data": "w.data -= 0.1 * w.grad",
    "through data's method": "w.data.add_(w.grad, alpha=-0.1)",
    "by setting data": "w.data = w.data - 0.1 * w.grad",
    "all at once": "with torch.no_grad():\n        torch._foreach_add_([w], [w.grad], alpha=-0.1)",
    "from a vector": "nn.utils.vector_to_parameters(w.detach() - 0.1 * w.grad, [w])",
    "by set_": "with torch.no_grad():\n        w.set_(w - 0.1 * w.grad)",
    "in place through numpy": "array = w.detach().numpy()\n    array -= 0.1 * w.grad.numpy()",
    "by elements through numpy": "array = w.detach().numpy()\n    array[:] = array - 0.1 * w.grad.numpy()",
    "under inference mode": "with torch.inference_mode():\n        w -= 0.1 * w.grad",
}


@pytest.mark.parametrize("update", MANUAL.values(), ids=MANUAL)
def test_a_manual_update_is_detected_however_it_is_written(update: str) -> None:
    program = (
        f"{HEAD}w = torch.tensor([1.0, -2.0], requires_grad=True)\nfor i in range(3):\n    loss = (w ** 3).sum()\n"
        f"    loss.backward()\n    before = w.detach().clone()\n    {update}\n"
        "    logged.append((before, w.grad.clone(), w.detach().clone()))\n    w.grad = None\n"
    )
    expected = unrecorded(program).variables["logged"]
    found = all_steps(program)
    assert len(found) == len(expected) == 3
    for step, (before, grad, after) in zip(found, expected, strict=True):
        (row,) = step.parameters
        assert values(row.value).equal(before)
        assert values(row.grad_used).equal(grad)
        assert values(row.value_after).equal(after)
        assert values(row.update).equal(after - before)


def test_an_update_through_numpy_has_its_line() -> None:
    program = """\
import numpy as np
import torch
w = torch.tensor([1.0, -2.0], requires_grad=True)
array = w.detach().numpy()
for i in range(4):
    (w ** 2).sum().backward()
    change = 0.1 * w.grad.numpy()
    if i == 0:
        array -= change
    elif i == 1:
        array[:] = array - change
    else:
        np.subtract(array, change, out=array)
    w.grad = None
"""
    found = all_steps(program)
    assert [step.lines["update"] for step in found] == [[9, 14], [11, 14], [13, 14], [13, 14]]
    assert [step.iteration.index if step.iteration else None for step in found] == [0, 1, 2, 3]


def test_a_large_parameter_has_the_statistics_of_its_update() -> None:
    program = (
        f"{HEAD}w = torch.randn(100, 3, requires_grad=True)\noptimizer = torch.optim.Adam([w])\nfor i in range(2):\n"
        "    (w ** 2).sum().backward()\n    before = w.detach().clone()\n    optimizer.step()\n"
        "    logged.append(w.detach() - before)\n    optimizer.zero_grad()\n"
    )
    for step, update in zip(all_steps(program), unrecorded(program).variables["logged"], strict=True):
        (row,) = step.parameters
        assert row.update is not None
        assert row.update.values is None
        assert (row.update.min, row.update.max) == (update.min().item(), update.max().item())
        assert row.update.norm == update.norm().item()


CLIPPING = {
    "norm": "nn.utils.clip_grad_norm_([w], 1.0)",
    "value": "nn.utils.clip_grad_value_([w], 0.5)",
    "by hand": "w.grad.mul_(0.25)",
    "replaced": "w.grad = w.grad / 7",
    "through data": "w.grad.data.div_(3)",
}


@pytest.mark.parametrize("clip", CLIPPING.values(), ids=CLIPPING)
def test_grad_used_is_the_clipped_gradient_and_grad_after_the_accumulated_one(clip: str) -> None:
    program = (
        f"{HEAD}w = torch.tensor([3.0, 4.0], requires_grad=True)\noptimizer = torch.optim.SGD([w], lr=0.1)\n"
        "for i in range(2):\n    optimizer.zero_grad()\n    (w ** 2).sum().backward()\n    arrived = w.grad.clone()\n"
        f"    {clip}\n    optimizer.step()\n    logged.append((arrived, w.grad.clone()))\n"
    )
    for step, (arrived, used) in zip(all_steps(program), unrecorded(program).variables["logged"], strict=True):
        (row,) = step.parameters
        assert values(row.grad_after).equal(arrived)
        assert values(row.grad_used).equal(used)
        assert not arrived.equal(used)
        assert step.lines["update"] == ([10, 11] if clip != CLIPPING["replaced"] else [11])


def test_a_parameter_without_an_update_has_no_grad_used() -> None:
    program = f"{HEAD}w = torch.tensor(3.0, requires_grad=True)\n(w * w).backward()\n"
    (row,) = all_steps(program)[0].parameters
    assert row.grad_used is None
    assert values(row.update) == 0.0


def test_a_gradient_of_autograd_grad_is_the_contribution_of_its_pass() -> None:
    program = (
        f"{HEAD}w = torch.tensor(3.0, requires_grad=True)\nfor i in range(2):\n    loss = w ** 2\n"
        "    g, = torch.autograd.grad(loss, [w])\n    logged.append(g.clone())\n    g.mul_(0.1)\n"
        "    with torch.no_grad():\n        w -= g\n"
    )
    for step, taken in zip(all_steps(program), unrecorded(program).variables["logged"], strict=True):
        (row,) = step.parameters
        assert values(row.contribution).equal(taken)
        assert row.grad_after is None


def test_each_group_has_its_options_as_scheduled() -> None:
    program = (
        f"{HEAD}a = torch.tensor(1.0, requires_grad=True)\nb = torch.tensor(1.0, requires_grad=True)\n"
        "optimizer = torch.optim.Adam([{'params': [a], 'lr': 0.1}, {'params': [b], 'lr': 0.01, 'betas': (0.5, 0.6)}])\n"
        "schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)\nfor i in range(3):\n    optimizer.zero_grad()\n"
        "    loss = (a * b) ** 2\n    loss.backward()\n    optimizer.step()\n    schedule.step()\n"
    )
    found = all_steps(program)
    assert [[(group.parameters, group.options["lr"]) for group in step.groups] for step in found] == [
        [(["p0"], 0.1 / 2**at), (["p1"], 0.01 / 2**at)] for at in range(3)
    ]
    assert [step.optimizer["lr"] for step in found if step.optimizer] == [0.1, 0.05, 0.025]
    assert found[0].groups[1].options["betas"] == [0.5, 0.6]
    found_series = series(record(program)[1], ["lr", "p0.lr", "p1.lr", "p1.update"], 0, None, None).series
    assert found_series["lr"] == found_series["p0.lr"] == [0.1, 0.05, 0.025]
    assert found_series["p1.lr"] == [0.01, 0.005, 0.0025]
    assert found_series["p1.update"] == [values(step.parameters[1].update).item() for step in found]


def test_two_optimizers_of_one_step_are_both_recorded() -> None:
    program = (
        f"{HEAD}a = torch.tensor(1.0, requires_grad=True)\nb = torch.tensor(1.0, requires_grad=True)\n"
        "one, other = torch.optim.SGD([a], lr=0.1, momentum=0.9), torch.optim.Adam([b], lr=torch.tensor(0.01))\n"
        "for i in range(2):\n    (a * b * 3).backward()\n    one.step()\n    other.step()\n"
        "    one.zero_grad()\n    other.zero_grad()\n"
    )
    found = all_steps(program)
    assert len(found) == 2
    for step in found:
        assert [(group.optimizer, group.parameters) for group in step.groups] == [("SGD", ["p0"]), ("Adam", ["p1"])]
        assert step.groups[1].options["lr"] == pytest.approx(0.01)
        assert set(step.parameters[0].state) == {"momentum_buffer"}
        assert set(step.parameters[1].state) == {"step", "exp_avg", "exp_avg_sq"}


def test_an_optimizer_that_evaluates_again_has_the_values_of_its_last_evaluation() -> None:
    program = (
        f"{HEAD}w = torch.tensor([1.0, 2.0], requires_grad=True)\noptimizer = torch.optim.LBFGS([w], lr=0.5, max_iter=3)\n"
        "def closure():\n    optimizer.zero_grad()\n    loss = ((w - 3) ** 2).sum()\n    loss.backward()\n    return loss\n"
        "for i in range(2):\n    before = w.detach().clone()\n    optimizer.step(closure)\n"
        "    logged.append((before, w.grad.clone(), w.detach().clone(), optimizer.state[w]['func_evals']))\n"
    )
    for step, (before, grad, after, evaluations) in zip(
        all_steps(program), unrecorded(program).variables["logged"], strict=True
    ):
        (row,) = step.parameters
        assert len(step.passes) == 3
        assert values(row.contribution).equal(grad)
        assert values(row.grad_used).equal(grad)
        assert values(row.update).equal(after - before)
        assert values(row.state["func_evals"]).item() == evaluations
