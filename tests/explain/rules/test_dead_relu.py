"""A ReLU that returns only zeros to the end is reported, one that may be zero is not."""

from __future__ import annotations

import pytest

from ..reported import findings
from .training_loops import net

DEAD = "with torch.no_grad():\n    net[0].bias.fill_(-100.)\n"
RELU = "nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)"


def test_a_relu_that_returns_only_zeros_to_the_end_is_reported() -> None:
    text = net(RELU, begin=DEAD)
    (finding,) = findings(text)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("dead-relu", "warning", 12, 24)
    assert "`net.0.bias` and `net.0.weight` do not learn" in finding.message
    assert findings(net(RELU)) == []
    for steps, when in ((1, "in the only step"), (2, "in each of the 2 steps")):
        (finding,) = findings(net(RELU, begin=DEAD, steps=steps))
        assert (finding.code, finding.severity, finding.line) == ("dead-relu", "note", 12)
        assert f"only zeros {when}, so `net.0.bias`" in finding.message
        assert finding.why.startswith("The run is too short to be sure")


FAR = {
    "a bias": net(RELU, begin=DEAD, steps=3),
    "a function": net(
        "nn.Linear(4, 8), nn.Linear(8, 1)", begin=DEAD, steps=4, loss="((net[1](net[0](x).relu()) - y) ** 2).mean()"
    ),
    "weights": net(RELU, begin="with torch.no_grad():\n    net[0].bias.fill_(-9.)\n    net[0].weight.mul_(0.1)\n", steps=10),
}


@pytest.mark.parametrize("text", FAR.values(), ids=FAR.keys())
def test_a_relu_far_below_zero_is_a_warning_after_a_few_steps(text: str) -> None:
    (finding,) = findings(text)
    assert (finding.code, finding.severity) == ("dead-relu", "warning")
    assert "`net.0.bias` and `net.0.weight` do not learn" in finding.message
    assert finding.why.startswith("Where ReLU returns zero")


NEAR = {
    "just below zero": net(RELU, begin="with torch.no_grad():\n    net[0].bias.fill_(-2.)\n", steps=3),
    "inputs that vary": net(
        RELU, begin="with torch.no_grad():\n    net[0].bias.fill_(-6.)\n    net[0].weight.mul_(3)\n", steps=9
    ),
    "two steps": net(RELU, begin=DEAD, steps=2),
}


@pytest.mark.parametrize("text", NEAR.values(), ids=NEAR.keys())
def test_a_relu_near_zero_is_no_warning_in_a_short_run(text: str) -> None:
    assert [finding.severity for finding in findings(text) if finding.severity != "note"] == []


ALIVE = {
    "a hinge loss within its margin": net("nn.Linear(4, 1)", loss="torch.relu(1 - 100 * (net(x) + 100)).mean()"),
    "a relu with a residual connection around it": net(
        "nn.Linear(4, 4)", begin="net[0].bias.data.fill_(-100.)\nlast = nn.Linear(4, 1)\n",
        loss="((last(net(x).relu() + net(x)) - y) ** 2).mean() * 1e-6",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", ALIVE.values(), ids=ALIVE.keys())
def test_a_relu_that_may_be_zero_is_not_reported(text: str) -> None:
    assert [finding.code for finding in findings(text)] == []
