"""Prove a fix: the fixed program does what a corrected twin does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck import model, wire
from tapedeck.explain.findings import find
from tapedeck.explain.rewriting.fixes import apply
from tapedeck.recording import Recording

from ...tracer.run_twice import record, tensors, unrecorded

SEVERITIES = ("good", "note", "warning", "error")


def found(text: str) -> list[model.Finding]:
    return find(record(text)[1], model.Program(text))


def prove(code: str, mistake: str, twin: str) -> None:
    """Apply the fix of the first finding with a code, and compare the fixed program with its corrected twin.

    The fixed program must not have the finding, nor any other finding of this severity or a higher one. Its steps must have the
    losses of the twin. Run without the recorder, both must end with the same tensors and gradients, and with the same exception
    if there is one.
    """
    before = found(mistake)
    assert code in [finding.code for finding in before], before
    finding = next(each for each in before if each.code == code)
    assert finding.fix is not None, finding
    fixed = apply(mistake, finding.fix)
    severity = SEVERITIES.index(finding.severity)
    left = [each for each in found(fixed) if SEVERITIES.index(each.severity) >= severity or each.code == code]
    assert left == [], fixed
    assert losses(fixed) == pytest.approx(losses(twin), rel=1e-6, nan_ok=True), fixed
    _same(fixed, twin)


def losses(text: str) -> list[float]:
    """Return the loss of each step of a program that runs to its end."""
    events, recording = record(text)
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is None, f"{text}\n{end.failure}"
    return _losses(recording)


def _losses(recording: Recording) -> list[float]:
    steps = (recording.step(index).loss for index in range(recording.log.counts()[2]))
    norms: list[Any] = [loss.norm for loss in steps if loss is not None]
    return [float(norm) for norm in norms]


def _same(fixed: str, twin: str) -> None:
    one, other = unrecorded(fixed), unrecorded(twin)
    assert one.error == other.error, fixed
    mine, theirs = tensors(one.variables), tensors(other.variables)
    shared = set(mine) & set(theirs)
    assert {name for name in theirs if name.endswith(".grad")} <= shared, (fixed, sorted(mine), sorted(theirs))
    for name in shared:
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-6, atol=1e-7, equal_nan=True, msg=f"{name}\n{fixed}")
