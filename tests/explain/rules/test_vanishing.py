"""Gradients that vanish layer by layer are reported, gradients that reach the first layer are not."""

from __future__ import annotations

import pytest
import torch

from ..reported import findings
from .training_loops import net

SIGMOIDS = "nn.Linear(4, 8), nn.Sigmoid(), " + "nn.Linear(8, 8), nn.Sigmoid(), " * 7 + "nn.Linear(8, 1)"


def test_gradients_that_vanish_layer_by_layer_are_reported() -> None:
    (finding,) = findings(net(SIGMOIDS))
    assert (finding.code, finding.severity, finding.line, finding.step) == ("vanishing", "warning", 10, 0)
    assert finding.message.endswith(" in `net.0.weight`.")
    assert finding.node is not None


@pytest.mark.parametrize("layer", ["Tanh()", "ReLU()", "LayerNorm(8), nn.Sigmoid()"])
def test_gradients_that_reach_the_first_layer_are_not_reported(layer: str) -> None:
    assert findings(net(SIGMOIDS.replace("Sigmoid()", layer))) == []


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_gradients_that_fall_by_ten_orders_in_a_few_steps_are_noted(steps: int) -> None:
    deep = "nn.Linear(4, 8), nn.Sigmoid(), " + "nn.Linear(8, 8), nn.Sigmoid(), " * 16 + "nn.Linear(8, 1)"
    (finding,) = findings(net(deep, steps=steps))
    assert (finding.code, finding.severity, finding.line, finding.step) == ("vanishing", "note", 10, 0)
    assert finding.why.startswith("The run is too short to be sure: it has ")
    assert findings(net(deep.replace("Sigmoid", "ReLU"), steps=steps)) == []


def test_a_satisfied_hinge_is_not_noted_if_another_term_of_the_loss_learns() -> None:
    loss = "torch.relu(-100 - net(x)).mean() + ((net(x) - y) ** 2).mean()"
    assert findings(net("nn.Linear(4, 1)", loss=loss, steps=1)) == []


def test_gradients_that_recover_later_are_not_reported() -> None:
    weighed = net(SIGMOIDS, rate=1e-5).replace("loss = ((", "loss = 1e4 ** (step > 8) * ((")
    assert [finding.code for finding in findings(net(SIGMOIDS, rate=1e-5))] == ["vanishing"]
    assert findings(weighed) == []


CHAIN = """\
import torch
w = torch.tensor(0.5, requires_grad=True)
h = w
for layer in range(10):
    h = torch.sigmoid(h)
loss = (h - 1) ** 2
loss.backward()
"""


def test_a_chain_of_sigmoids_is_noted_with_its_line_and_the_gradients_of_torch() -> None:
    (finding,) = findings(CHAIN)
    w = torch.tensor(0.5, requires_grad=True)
    h = w
    for _ in range(10):
        h = torch.sigmoid(h)
    ((h - 1) ** 2).backward()
    assert w.grad is not None
    assert (finding.code, finding.severity, finding.line, finding.step) == ("vanishing", "note", 5, 0)
    before, after = (f"{abs(number):.4g}".replace("e-0", "e−") for number in (2 * (h.item() - 1), w.grad.item()))
    assert finding.message.endswith(f"to `w`: 10 `SigmoidBackward0` of line 5 reduce it from {before} to {after}.")


@pytest.mark.parametrize(
    "text",
    [
        CHAIN.replace("range(10)", "range(6)"),  # falls by less than five orders of magnitude
        CHAIN.replace("torch.sigmoid(h)", "torch.tanh(h)"),
        CHAIN.replace("torch.sigmoid(h)", "h + torch.sigmoid(h)"),  # the gradient also flows around each sigmoid
        CHAIN.replace("torch.sigmoid(h)", "torch.sigmoid(h) * 8"),  # other operations in between make it larger
        CHAIN.replace("torch.sigmoid(h)", "h").replace("(h - 1) ** 2", "(h - 1) ** 2 * 1e-9"),  # scaled once
    ],
)
def test_a_gradient_that_reaches_the_start_of_a_chain_or_is_only_scaled_is_not_noted(text: str) -> None:
    assert findings(text) == []
