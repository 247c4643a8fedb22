"""Gradients that no update uses are reported, unless the program looks at them."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, loop

GRADIENT_UNUSED = {
    "cleared before the step": (
        loop("loss.backward()", "opt.zero_grad()", "opt.step()"),
        "opt.zero_grad()",
    ),
    "cleared through the module": (
        loop("loss.backward()", "net.zero_grad()", "opt.step()"),
        "net.zero_grad()",
    ),
    "only the scheduler steps": (
        loop(
            "opt.zero_grad()",
            "loss.backward()",
            "plan.step()",
            begin=f"{BEGIN}plan = torch.optim.lr_scheduler.StepLR(opt, 1)\n",
        ),
        "loss.backward()",
    ),
    "never stepped": (
        loop("opt.zero_grad()", "loss.backward()"),
        "loss.backward()",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("text", "culprit"), GRADIENT_UNUSED.values(), ids=GRADIENT_UNUSED.keys())
def test_gradients_that_no_update_uses_are_reported(text: str, culprit: str) -> None:
    assert codes(text) == [("gradient-unused", line_of(text, culprit))]


USED = {
    "cleared after the step": loop("loss.backward()", "opt.step()", "opt.zero_grad()"),
    "no optimizer": loop("loss.backward()", "net.zero_grad()", begin=BEGIN.replace("opt =", "# opt =")),
    "micro-batches": loop("loss.backward()", "if step % 3 == 2:", "    opt.step()", "    opt.zero_grad()", steps=6),
    "stepped by a function": loop(
        "opt.zero_grad()", "loss.backward()", "update(opt)", begin=f"{BEGIN}def update(each):\n    each.step()\n"
    ),
    "one look at the gradients": loop("opt.zero_grad()", "loss.backward()", steps=1),
    "updated by hand": loop(
        "opt.zero_grad()",
        "loss.backward()",
        "with torch.no_grad():",
        "    for p in net.parameters():",
        "        p -= 0.1 * p.grad",
    ),
}


@pytest.mark.parametrize("text", USED.values(), ids=USED.keys())
def test_gradients_that_an_update_uses_or_that_are_only_looked_at_are_not_reported(text: str) -> None:
    assert codes(text) == []
