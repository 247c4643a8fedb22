"""Updates of parameters whose gradient is zero are reported, updates by gradients are not."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, STEP, loop

DECAY = BEGIN.replace("lr=0.05", "lr=0.05, weight_decay=0.1")
WITHOUT_GRADIENT = {
    "a hook and weight decay": loop(*STEP, begin=f"{DECAY}net[0].weight.register_hook(torch.zeros_like)\n"),
    "AdamW": loop(
        *STEP, begin=f"{BEGIN}opt = torch.optim.AdamW(net.parameters())\nnet[0].bias.register_hook(torch.zeros_like)\n"
    ),
    "gradients zeroed by hand": loop(
        "opt.zero_grad()", "loss.backward()", "net[2].bias.grad.zero_()", "opt.step()", begin=DECAY
    ),
}


@pytest.mark.parametrize("text", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT.keys())
def test_updates_of_parameters_whose_gradient_is_zero_are_reported(text: str) -> None:
    assert codes(text) == [("update-without-gradient", line_of(text, "opt.step()"))]


WITH_GRADIENT = {
    "a hook without weight decay": loop(*STEP, begin=f"{BEGIN}net[0].weight.register_hook(torch.zeros_like)\n"),
    "weight decay of what has a gradient": loop(*STEP, begin=DECAY),
    "zero in one step": loop(
        "opt.zero_grad()", "loss.backward()", "if step == 1:", "    net[2].bias.grad.zero_()", "opt.step()", begin=DECAY
    ),
    "frozen": loop(*STEP, begin=f"{DECAY}net[0].weight.requires_grad_(False)\n"),
}


@pytest.mark.parametrize("text", WITH_GRADIENT.values(), ids=WITH_GRADIENT.keys())
def test_updates_by_gradients_are_not_reported(text: str) -> None:
    assert codes(text) == []
