"""Each kind of gap in a recording is reported once, and only where there is a gap."""

from __future__ import annotations

from pathlib import Path

import pytest
from tapedeck import model
from tapedeck.explain.findings import find

from ...tracer.run_twice import PROGRAMS, recorded_program

EXPECTED = {
    "anomaly_and_checks": {"saved-tensors-unread"},
    "checkpoint_in_modules": {"saved-tensors-unread"},
    "checkpoints": {"saved-tensors-unread"},
    "forward_mode": {"forward-mode"},
    "functional_api": {"batched", "forward-mode"},
    "functional_transforms": {"batched", "forward-mode"},
    "grad_arguments": {"batched"},
    "saved_tensor_hooks": {"saved-tensors-unread"},
    "transforms": {"batched"},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_gaps_in_a_recording_are_reported_once_each(program: Path) -> None:
    text = program.read_text()
    _, _, recording = recorded_program(program)
    found = find(recording, model.Program(text, "program", [(1, text.count("\n") + 1)]))
    codes = [finding.code for finding in found if finding.code in {"saved-tensors-unread", "batched", "forward-mode"}]
    assert len(codes) == len(set(codes))
    assert set(codes) == EXPECTED.get(program.stem, set())
