"""Findings are reported for mistakes and never for correct programs, and their fixes run clean."""

from __future__ import annotations

import pytest
from tapedeck import model, wire
from tapedeck.explain.rewriting.fixes import apply

from ..tracer.run_twice import PROGRAMS, record
from ..tracer.training.test_steps import FIT, SEED
from .reported import findings, run_fixed, without_good_signs


def test_the_rebound_leaf_of_the_notebook_is_found_and_its_fix_runs_clean() -> None:
    (finding,) = findings(SEED)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("leaf-rebound", "warning", 11, 0)
    assert finding.fix is not None
    assert finding.fix.edits == [model.Edit((11, 0), (11, 30), "with torch.no_grad():\n    m -= learning_rate * m.grad")]
    fixed = apply(SEED, finding.fix)
    events, recording = record(fixed)
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].status == "done"
    assert without_good_signs(recording, model.Program(fixed)) == []
    (row,) = recording.step(0).parameters
    assert row.value_after is not None
    assert round(row.value_after.values, 4) == 1.0933


LOOPS = {
    "plain": "w = w - 0.1 * w.grad",
    "reversed": "w = -0.1 * w.grad + w",
    "in two lines": "g = 0.1 * w.grad\n    w = w - g",
    "no_grad": "with torch.no_grad():\n        w = w - 0.1 * w.grad",
}


@pytest.mark.parametrize("update", LOOPS.values(), ids=LOOPS.keys())
@pytest.mark.filterwarnings("ignore")
def test_a_leaf_rebound_in_a_loop_is_an_error_and_the_fixed_program_learns(update: str) -> None:
    text = (
        "import torch\nw = torch.tensor(3., requires_grad=True)\nfor i in range(20):\n    loss = (w - 1) ** 2\n"
        f"    loss.backward()\n    {update}\nprint(round(w.item(), 3))\n"
    )
    (finding,) = findings(text)
    assert (finding.code, finding.severity) == ("leaf-rebound", "error")
    assert finding.fix is not None
    fixed, recording = run_fixed(text, finding.fix)
    assert recording.stdout() == "1.023\n"
    assert without_good_signs(recording, model.Program(fixed)) == []


def test_a_leaf_rebound_in_a_function_is_found() -> None:
    text = (
        "import torch\ndef fit():\n    w = torch.tensor(3., requires_grad=True)\n    for i in range(2):\n"
        "        loss = (w - 1) ** 2\n        loss.backward()\n        w = w - 0.1 * w.grad\nfit()\n"
    )
    (finding,) = [finding for finding in findings(text) if finding.code == "leaf-rebound"]
    assert finding.line == 7
    assert finding.fix is not None
    fixed = apply(text, finding.fix)
    assert without_good_signs(record(fixed)[1], model.Program(fixed)) == []


AGAIN = {
    "by a call": "with torch.no_grad():\n        w = w - 0.1 * w.grad\n    w.requires_grad_()",
    "by its flag": "with torch.no_grad():\n        w = w - 0.1 * w.grad\n    w.requires_grad = True",
    "detached": "w = w - 0.1 * w.grad\n    w = w.clone().detach().requires_grad_()",
}


@pytest.mark.parametrize("update", AGAIN.values(), ids=AGAIN.keys())
def test_a_result_that_becomes_a_leaf_again_is_an_update(update: str) -> None:
    text = (
        "import torch\nw = torch.tensor(3., requires_grad=True)\nfor i in range(3):\n    loss = (w - 1) ** 2\n"
        f"    loss.backward()\n    {update}\n"
    )
    assert findings(text) == []
    _, recording = record(text)
    for step in map(recording.step, range(3)):
        (row,) = step.rebinds
        assert row.to is not None
        assert (row.name, row.to.is_leaf, row.to.requires_grad, row.graph) == ("w", True, True, None)
        assert step.lines["update"][-1] >= row.line


def test_a_leaf_made_from_the_numbers_of_the_old_one_is_not_reported() -> None:
    text = (
        "import torch\nw = torch.tensor(3., requires_grad=True)\nfor i in range(3):\n    loss = (w - 1) ** 2\n"
        "    loss.backward()\n    w = w - 0.1 * w.grad\n    w = torch.tensor(w.item(), requires_grad=True)\n"
    )
    assert findings(text) == []


CORPUS = {path.stem: path.read_text() for path in PROGRAMS}
"""Correct programs, and failing ones whose names start with ``fails_``. The examples are tested in ``tests/examples/``."""
GAPS = {
    "anomaly_and_checks": ["saved-tensors-unread"],
    "checkpoint_in_modules": ["saved-tensors-unread"],
    "checkpoints": ["saved-tensors-unread"],
    "forward_mode": ["forward-mode"],
    "functional_api": ["batched", "forward-mode"],
    "functional_transforms": ["batched", "forward-mode"],
    "grad_arguments": ["batched"],
    "saved_tensor_hooks": ["saved-tensors-unread"],
    "transforms": ["batched"],
}
"""Gaps in the recordings of programs. All other recordings have none."""
NOTED = {name: ["data-update"] for name in ("data_updates", "dispatch_modes", "own_optimizers", "straight_through")}
"""Notes on how these correct programs are written. All other programs have none."""
OF_TRAINING = frozenset(
    {
        "broadcast-both", "data-update", "dead-relu", "diverging", "grad-accumulated", "graph-kept", "requires-grad-late",
        "unused-parameter", "vanishing",
    }
)  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.filterwarnings("ignore")
def test_each_gap_is_reported_once_and_a_correct_program_gets_no_error_and_no_warning(name: str) -> None:
    found = findings(CORPUS[name])
    codes = [finding.code for finding in found]
    assert sorted(code for code in codes if code in {"saved-tensors-unread", "batched", "forward-mode"}) == GAPS.get(name, [])
    if not name.startswith("fails_"):
        assert [finding.code for finding in found if finding.severity in ("error", "warning")] == []
        assert [code for code in codes if code in OF_TRAINING] == NOTED.get(name, [])


def test_a_correct_manual_loop_has_no_findings() -> None:
    assert findings(FIT) == []


def test_an_implicit_pass_is_reported() -> None:
    (finding,) = findings("import torch\nx = torch.ones(2, requires_grad=True)\ny = x * 2\n")
    assert (finding.code, finding.severity) == ("implicit-pass", "note")
    assert "called it once on `y`, starting from ones" in finding.message


def test_skipped_lines_of_a_notebook_are_reported() -> None:
    notes = [{"code": "skipped-magic", "line": 1, "text": "%matplotlib inline"}]
    (finding,) = findings("pass  # %matplotlib inline\n", notes=notes)
    assert (finding.line, finding.message) == (1, "Line 1 was skipped: `%matplotlib inline` is a notebook command, not Python.")


def test_a_statement_that_shares_its_line_gets_no_fix() -> None:
    text = SEED.replace("m = m - learning_rate * m.grad", "pass; m = m - learning_rate * m.grad")
    (finding,) = findings(text)
    assert finding.fix is None
