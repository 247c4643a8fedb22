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
MASK = "mask = (net[0].weight.detach().abs() > 0.2).float()\n"
MASKED = {
    "multiplied": loop(
        "opt.zero_grad()", "loss.backward()", "net[0].weight.grad.mul_(mask)", "opt.step()", begin=DECAY + MASK, steps=5
    ),
    "a hook": loop(*STEP, begin=f"{DECAY}{MASK}net[0].weight.register_hook(lambda g: g * mask)\n", steps=5),
    "a row": loop("opt.zero_grad()", "loss.backward()", "net[0].weight.grad[:2] = 0", "opt.step()", begin=DECAY, steps=5),
    "momentum of earlier steps": loop(
        "opt.zero_grad()",
        "loss.backward()",
        "if step > 2: net[0].weight.grad *= mask",
        "opt.step()",
        begin=BEGIN.replace("lr=0.05", "lr=0.05, momentum=0.9") + MASK,
        steps=8,
    ),
}
WITHOUT_GRADIENT |= MASKED


@pytest.mark.parametrize("text", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT.keys())
def test_updates_of_parameters_whose_gradient_is_zero_are_reported(text: str) -> None:
    assert codes(text) == [("update-without-gradient", line_of(text, "opt.step()"))]


WITH_GRADIENT = {
    "a hook without weight decay": loop(*STEP, begin=f"{BEGIN}net[0].weight.register_hook(torch.zeros_like)\n"),
    "weight decay of what has a gradient": loop(*STEP, begin=DECAY),
    "zero in one step": loop(
        "opt.zero_grad()", "loss.backward()", "if step == 1:", "    net[2].bias.grad.zero_()", "opt.step()", begin=DECAY
    ),
    "a mask without weight decay": MASKED["multiplied"].replace(", weight_decay=0.1", ""),
    "a mask of the weights too": MASKED["multiplied"]
    .replace("    opt.step()\n", "    opt.step()\n    with torch.no_grad(): net[0].weight.mul_(mask)\n")
    .replace(MASK, f"{MASK}net[0].weight.data.mul_(mask)\n"),
    "unused rows of an embedding": loop(
        "loss = loss + rows(torch.tensor([0, 2])).pow(2).mean()",
        *STEP,
        begin=f"{BEGIN}rows = nn.Embedding(5, 3)\n"
        "opt = torch.optim.SGD([*net.parameters(), *rows.parameters()], lr=0.1, weight_decay=0.1)\n",
        steps=5,
    ),
    "scaled gradients of unused rows": loop(
        "loss = loss + rows(torch.tensor([0, 2])).pow(2).mean()",
        "opt.zero_grad()",
        "loss.backward()",
        "scale = 1 / (1 + rows.weight.grad.norm())",
        "rows.weight.grad.mul_(scale)",
        "opt.step()",
        begin=f"{BEGIN}rows = nn.Embedding(5, 3)\n"
        "opt = torch.optim.SGD([*net.parameters(), *rows.parameters()], lr=0.1, weight_decay=0.1)\n",
        steps=5,
    ),
    "frozen": loop(*STEP, begin=f"{DECAY}net[0].weight.requires_grad_(False)\n"),
}


@pytest.mark.parametrize("text", WITH_GRADIENT.values(), ids=WITH_GRADIENT.keys())
def test_updates_by_gradients_are_not_reported(text: str) -> None:
    assert codes(text) == []
