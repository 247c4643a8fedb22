"""A state that is kept by reference is reported, a copied state is not."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, STEP, loop

KEEP = "    if step == 1:\n        {keep}\nnet.load_state_dict(best)\n"
BY_REFERENCE = {
    "the best state": loop(*STEP) + KEEP.format(keep="best = net.state_dict()"),
    "with its loss": loop(*STEP) + KEEP.format(keep="best, at = net.state_dict(), loss.item()"),
    "in a function": (
        f"{BEGIN}def fit():\n    for step in range(3):\n        loss = ((net(x) - y) ** 2).mean()\n        opt.zero_grad()\n"
        "        loss.backward()\n        opt.step()\n        if step == 1:\n            best = net.state_dict()\n"
        "    net.load_state_dict(best)\nfit()\n"
    ),
}


@pytest.mark.parametrize("text", BY_REFERENCE.values(), ids=BY_REFERENCE.keys())
def test_a_state_kept_by_reference_is_reported(text: str) -> None:
    assert codes(text) == [("state-by-reference", line_of(text, ".state_dict()"))]


COPIED = {
    "deepcopy": loop(*STEP) + KEEP.format(keep="best = copy.deepcopy(net.state_dict())"),
    "clones": loop(*STEP) + KEEP.format(keep="best = {k: v.clone() for k, v in net.state_dict().items()}"),
    "a target network": loop(
        *STEP, "kept = net.state_dict()", "target.load_state_dict(kept)", begin=f"{BEGIN}target = copy.deepcopy(net)\n"
    ),
    "views that PyTorch makes for its own use": (
        "import torch\nfrom torch.autograd import gradcheck, gradgradcheck\n"
        "x = torch.randn(3, dtype=torch.double, requires_grad=True)\n"
        "gradcheck(lambda x: x.sin() * x, (x,)), gradgradcheck(lambda x: (x ** 3).sum(), (x,))\n"
    ),
    "kept before the training": BEGIN + "first = net.state_dict()\nnet.load_state_dict(first)\n" + loop(*STEP, begin=""),
}


@pytest.mark.parametrize("text", COPIED.values(), ids=COPIED.keys())
def test_a_copied_state_is_not_reported(text: str) -> None:
    assert codes(text) == []
