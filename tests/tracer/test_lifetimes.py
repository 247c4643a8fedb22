"""Nothing of the recorder keeps the program's objects alive."""

from __future__ import annotations

import builtins
import weakref
from typing import Any

import pytest
from tapedeck import wire

from .run_twice import record


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Return the weak references to the objects with which a program calls ``see``."""
    references: list[weakref.ref[Any]] = []
    monkeypatch.setattr(builtins, "see", lambda each: references.append(weakref.ref(each)), raising=False)
    monkeypatch.setattr(builtins, "alive", lambda: sum(each() is not None for each in references), raising=False)
    return references


LEAVES = {
    "a new input in each step": "for i in range(6):\n    x = torch.ones(3, requires_grad=True)\n    see(x)\n"
    "    (x * w).sum().backward()\n    time.sleep(0)\n    print(alive())\n",
    "an attack": "w.requires_grad_(False)\nfor i in range(6):\n    x = torch.ones(3).requires_grad_()\n    see(x)\n"
    "    g = torch.autograd.grad((x * w).sum(), x)[0]\n    x = (x + g.sign()).detach()\n"
    "    time.sleep(0)\n    print(alive())\n",
    "a model in each step": "for i in range(6):\n    m = torch.nn.Linear(3, 1)\n    see(m.weight)\n"
    "    o = torch.optim.SGD(m.parameters(), 0.1)\n    m(w).sum().backward()\n    o.step()\n"
    "    time.sleep(0)\n    print(alive())\n",
}


@pytest.mark.parametrize("kind", LEAVES)
def test_a_leaf_is_freed_at_the_latest_after_the_next_step(kind: str, seen: list[weakref.ref[Any]]) -> None:
    # before it sleeps, the program sends everything that waits
    events, recording = record(f"import time, torch\nw = torch.ones(3, requires_grad=True)\n{LEAVES[kind]}")
    assert len(seen) == 6
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert max(map(int, recording.stdout().split())) <= 2


def test_a_parameter_of_a_freed_leaf_keeps_its_name_and_its_numbers() -> None:
    program = (
        "import torch, time\nfor i in range(4):\n    x = torch.full((2,), i + 1.0, requires_grad=True)\n"
        "    (x * x).sum().backward()\n    time.sleep(0)\n"
    )
    events, recording = record(program)
    assert [event.name for event in events if isinstance(event, wire.ParameterEvent)] == ["x"] * 4
    for index in range(4):
        (parameter,) = recording.step(index).parameters
        assert parameter.contribution is not None
        assert parameter.contribution.values == [2.0 * (index + 1)] * 2
