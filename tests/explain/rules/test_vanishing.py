"""Gradients that vanish layer by layer are reported, gradients that reach the first layer are not."""

from __future__ import annotations

import pytest

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
