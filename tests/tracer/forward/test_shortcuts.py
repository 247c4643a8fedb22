"""The calls that PyTorch makes to start a pass are dispatched only if their result matters to the recorder."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
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


MODULE = "import torch\nnet = torch.nn.Linear(2, 1)\nnet(torch.ones(2)).sum().backward()\n"


def test_the_call_of_a_module_keeps_its_function() -> None:
    code = torch.nn.Module.__call__.__code__
    events, recording = record(f"{MODULE}print(torch.nn.Module.__call__ is torch.nn.Module._wrapped_call_impl)\n")
    assert "".join(event.text for event in events if isinstance(event, wire.OutputEvent)) == "True\n"
    assert "net" in {node.module for node in recording.graph(0).nodes}
    assert torch.nn.Module.__call__.__code__ is code


def test_modules_are_tracked_if_their_call_was_wrapped_before(monkeypatch: pytest.MonkeyPatch) -> None:
    function, observer = torch.nn.Module.__call__, object()  # the names of the closure in which the recorder wraps it again

    def call(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        assert observer
        return function(self, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "__call__", call)
    _, recording = record(MODULE)
    assert "net" in {node.module for node in recording.graph(0).nodes}
    assert torch.nn.Module.__call__ is call
