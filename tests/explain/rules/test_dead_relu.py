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
    for steps, when in ((1, "in the only step"), (10, "in each of the 10 steps")):
        (finding,) = findings(net(RELU, begin=DEAD, steps=steps))
        assert (finding.code, finding.severity, finding.line) == ("dead-relu", "note", 12)
        assert f"only zeros {when}, so `net.0.bias`" in finding.message
        assert finding.why.startswith("The run is too short to be sure")


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
