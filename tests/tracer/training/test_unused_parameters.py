"""Each parameter of an optimizer that no pass reaches is reported, even if it no longer exists."""

from __future__ import annotations

import pytest
from tapedeck import wire
from tapedeck.tracer.training import optimizers

from ..run_twice import record

TRAIN = """\
def train():
    w, {name} = torch.ones(2, requires_grad=True), torch.nn.Linear(2, 2, bias=False)
    optimizer = torch.optim.SGD([w, {name}.weight], lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()
train()
"""
NAMES = [f"net_{index}" for index in range(6)]
PROGRAM = "import torch\n" + "".join(TRAIN.format(name=name) for name in NAMES)


def unused() -> list[wire.UnusedParameter]:
    events, _ = record(PROGRAM)
    return [event for event in events if isinstance(event, wire.UnusedParameter)]


def test_a_leaf_with_the_id_of_a_dead_one_does_not_replace_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        optimizers, "id", lambda value: 1, raising=False
    )  # as if each leaf got the id of the dead one before it
    found = unused()
    assert [signal.name for signal in found] == [f"{name}.weight" for name in NAMES]
    assert {signal.steps for signal in found} == {3}


def test_the_number_of_reported_leaves_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "MOST_UNREACHED", 4)
    assert len(unused()) == 4
