"""Calls without gradients are recorded completely, at little cost.

Work is the number of lines of the recorder's code that run for each iteration of a loop.
"""

from __future__ import annotations

import pytest
from tapedeck import model, wire
from tapedeck.recording import Recording
from tapedeck.tracer import emitter

from .run_twice import record
from .test_cost import executed_lines

START = "import torch\na, b, c = torch.ones(4), torch.ones(4), torch.ones(4)\nw = torch.ones(4, requires_grad=True)\n"
PASS = "(w * b).sum().backward()\n"
LOOPS = {
    "a result": ("a = a * 0.9 + b", 135),
    "a write": ("a += 0.1 * b", 255),
    "two writes": ("a.mul_(0.9).add_(b)", 345),
    "a write to out": ("torch.mul(a, b, out=c)", 225),
}
"""Statements of a loop under ``no_grad``, and how many lines of the recorder may run for each."""


@pytest.mark.parametrize(("statement", "most"), LOOPS.values(), ids=LOOPS)
def test_a_call_without_gradients_takes_little_work(statement: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", 1e9)  # pending lines are sent at the end only

    def work(rounds: int) -> int:
        return executed_lines(f"{START}{PASS}with torch.no_grad():\n    for i in range({rounds}):\n        {statement}\n")

    work(1)  # fills caches
    assert (work(60) - work(20)) / 40 <= most


def values(recording: Recording) -> dict[int, str]:
    return {line.line: line.text for line in recording.lines()}


def test_a_line_keeps_its_value_when_the_tensor_is_written_to_later() -> None:
    _, recording = record(
        START + "with torch.no_grad():\n    d = a\n    d.mul_(3)\n    e = a[1:]\n    e.add_(1)\n"
        "    torch.mul(a, 2, out=c)\n    c.zero_()\n"
    )
    assert values(recording) == {
        2: "3 tensors",
        3: "tensor([1., 1., 1., 1.], requires_grad=True)",
        5: "tensor([1., 1., 1., 1.])",
        6: "tensor([3., 3., 3., 3.])",
        7: "tensor([3., 3., 3.])",
        8: "tensor([4., 4., 4.])",
        9: "tensor([6., 8., 8., 8.])",
        10: "tensor([0., 0., 0., 0.])",
    }


@pytest.mark.parametrize(
    "write", ["w -= 0.5 * w.grad", "w.sub_(0.5 * w.grad)", "torch.sub(w, w.grad, alpha=0.5, out=w)", "w[:] = 0.5"]
)
def test_a_write_to_a_parameter_is_an_update(write: str) -> None:
    _, recording = record(
        f"{START}for i in range(3):\n    w.grad = None\n    (w * w / w).sum().backward()\n"
        f"    with torch.no_grad():\n        {write}\n"
    )
    assert [step.lines["update"] for step in map(recording.step, range(3))] == [[7, 8]] * 3
    assert recording.step(0).parameters[0].value_after == model.TensorSummary(
        [4], "float32", True, True, None, [0.5] * 4, 0.5, 0.5, 0.5, 1.0, 0, 0, 0
    )


def test_a_loop_variable_is_shown_with_its_name() -> None:
    _, recording = record("import torch\nfor name in ['a', 'bb']:\n    n = 2 ** 70\nfor x in [[1, 2], (3.5,)]:\n    x\n")
    assert values(recording) == {2: "name = 'bb'", 3: str(2**70), 4: "x = (3.5,)", 5: "(3.5,)"}


def test_a_write_to_a_tensor_that_backward_needs_is_still_explained() -> None:
    events, _ = record(START + "y = w * a\nwith torch.no_grad():\n    a.mul_(2)\ny.sum().backward()\n")
    failed = next(event for event in events if isinstance(event, wire.PassFailed))
    assert (failed.changed, failed.saved) == (6, "other")
