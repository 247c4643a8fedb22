"""A correct training loop by hand gets one good sign, and no other program does."""

from __future__ import annotations

import pytest
from tapedeck import model
from tapedeck.examples import example
from tapedeck.explain.findings import find
from tapedeck.explain.rewriting.fixes import apply

from ...tracer.run_twice import record

BEGIN = "import torch\nw = torch.tensor(3., requires_grad=True)\nb = torch.tensor(0., requires_grad=True)\n"


def all_findings(text: str) -> list[model.Finding]:
    return find(record(text)[1], model.Program(text))


def loop(update: str, steps: int = 5, loss: str = "(w + b - 1) ** 2") -> str:
    lines = "\n".join(f"    {line}" for line in update.split("\n"))
    return f"{BEGIN}for step in range({steps}):\n    loss = {loss}\n    loss.backward()\n{lines}\n"


BOTH = "with torch.no_grad():\n    w -= 0.1 * w.grad\n    b -= 0.1 * b.grad\n    w.grad = b.grad = None"
RIGHT = {
    "set to None": BOTH,
    "set to zero": BOTH.replace("w.grad = b.grad = None", "w.grad.zero_()\n    b.grad.zero_()"),
    "by a name": "g = w.grad\n" + BOTH.replace("0.1 * w.grad", "0.1 * g"),
}


@pytest.mark.parametrize("update", RIGHT.values(), ids=RIGHT.keys())
def test_a_correct_loop_by_hand_gets_one_good_sign(update: str) -> None:
    text = loop(update)
    (finding,) = all_findings(text)
    line = next(number for number, each in enumerate(text.split("\n"), 1) if "w -= " in each)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("leaf-kept", "good", line, 0)
    assert finding.message == "`w` and `b` stay leaves through all 5 updates, and their gradients are cleared after each."
    assert finding.node is not None


SILENT = {
    "two steps": loop(BOTH, steps=2),
    "an optimizer": loop("opt = torch.optim.SGD([w, b], lr=0.1)\nopt.step()\nopt.zero_grad()"),
    "never cleared": loop("with torch.no_grad():\n    w -= 0.1 * w.grad\n    b -= 0.1 * b.grad"),
    "through data": loop(BOTH.replace("w -=", "w.data -=")),
    "one of them only": loop(BOTH.replace("    b -= 0.1 * b.grad\n", "")),
    "no update": "import torch\nw = torch.tensor(3., requires_grad=True)\n(w ** 2).backward()\n",
    "a new leaf each time": loop("w = (w - 0.1 * w.grad).detach().requires_grad_()", loss="(w - 1) ** 2"),
}


@pytest.mark.parametrize("text", SILENT.values(), ids=SILENT.keys())
def test_other_programs_get_no_good_sign(text: str) -> None:
    assert "leaf-kept" not in [finding.code for finding in all_findings(text)]


@pytest.mark.parametrize("slug", ["pitfall-rebound", "pitfall-accumulate"])
def test_a_fixed_pitfall_gets_a_good_sign(slug: str) -> None:
    shown = example(slug)
    assert shown is not None
    fix = all_findings(shown.program)[0].fix
    assert fix is not None
    (finding,) = all_findings(apply(shown.program, fix))
    assert finding.message == "`m` stays a leaf through all 20 updates, and its gradient is cleared after each."


def test_a_recording_without_numbers_gets_no_good_sign() -> None:
    text = SILENT["never cleared"]
    _, recording = record(text, capture="graph")
    assert find(recording, model.Program(text)) == []
