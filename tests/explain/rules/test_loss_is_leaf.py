"""A loss that was made a leaf is reported, a loss with a graph and a plain leaf are not."""

from __future__ import annotations

import pytest

from ..reported import codes
from .training_loops import BEGIN, STEP, loop

LEAVES = {
    "an attribute": ["hits = (net(x) > 0)", "loss = hits.float().mean()", "loss.requires_grad = True"],
    "a method": ["hits = (net(x) > 0)", "loss = hits.float().mean()", "loss.requires_grad_()"],
    "a new tensor": ["value = loss.item()", "loss = torch.tensor(value, requires_grad=True)"],
    "a rounded prediction": ["guess = net(x).long()", "loss = (guess - y).abs().float().mean()", "loss.requires_grad_(True)"],
}


@pytest.mark.parametrize("lines", LEAVES.values(), ids=LEAVES.keys())
def test_a_loss_that_was_made_a_leaf_is_reported(lines: list[str]) -> None:
    text = loop(*lines, *STEP)
    assert [code for code, _ in codes(text)] == ["loss-is-leaf"]
    (_, line), *_ = codes(text)
    assert line is not None
    assert text.splitlines()[line - 1].strip() in lines


COMPUTED = {
    "a leaf from numbers": "import torch\nx = torch.tensor(3.0, requires_grad=True)\nx.backward()\n",
    "a leaf from a list": "import torch\nx = torch.ones(3, requires_grad=True)\nx.backward(torch.ones(3))\n",
    "a leaf that is frozen": (
        "import torch\na = torch.ones(2)\nx = (a * 2).sum()\nx.requires_grad_(False)\n"
        "x = torch.ones((), requires_grad=True)\nx.backward()\n"
    ),
    "an input that requires a gradient": loop(*STEP, begin=f"{BEGIN}x.requires_grad_()\n"),
}


@pytest.mark.parametrize("text", COMPUTED.values(), ids=COMPUTED.keys())
def test_a_loss_with_a_graph_and_a_plain_leaf_are_not_reported(text: str) -> None:
    assert codes(text) == []
