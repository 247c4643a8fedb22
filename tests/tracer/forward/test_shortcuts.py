"""The calls that PyTorch makes to start a pass are dispatched only if their result matters to the recorder."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.tracer.forward.mode import ForwardMode

from ..run_twice import record

PASS = "import torch\nw = torch.ones(2, requires_grad=True)\n(w * w).sum().backward()\n"

FOLLOWED = (
    "import torch\n"
    "w = torch.ones(2, requires_grad=True)\n"
    "seen = []\n"
    "(w * w).sum().backward()\n"
    "loss = w.grad.sum() * w.sum()\n"
    "loss.register_hook(seen.append)\n"
    "loss.backward()\n"
    "w = (w.detach() - 0.1 * seen[0]).requires_grad_()\n"
    "(w * w).sum().backward()\n"
)


@pytest.fixture
def dispatched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions that PyTorch has called to start passes and that were dispatched to the recorder."""
    functions: list[Any] = []
    original = ForwardMode.__torch_function__

    def count(self: ForwardMode, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if sys._getframe(1).f_code.co_name == "_make_grads":
            functions.append(func)
        return original(self, func, types, args, kwargs)

    monkeypatch.setattr(ForwardMode, "__torch_function__", count)
    return functions


def test_the_calls_that_start_a_pass_are_not_dispatched(dispatched: list[Any]) -> None:
    events, _ = record(PASS)
    assert any(isinstance(event, wire.PassEvent) for event in events)
    assert dispatched == []


def test_the_first_gradient_of_a_pass_is_followed_if_its_root_was_computed_from_a_gradient(dispatched: list[Any]) -> None:
    events, _ = record(FOLLOWED)
    (row,) = [row for event in events if isinstance(event, wire.StepEvent) for row in event.rebinds]
    assert row.uses_gradient
    assert dispatched
