"""Test that the number of findings of a forged recording is bounded, and that a failing rule does not affect others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tapedeck import model, wire
from tapedeck.explain.findings import MOST, Findings, arranged, of_rules
from tapedeck.explain.registry import RULES
from tapedeck.explain.rules import dead_relu, not_scalar
from tapedeck.recording import MemoryLog, Recording

from ..handmade_events import FIT, fit


def found(*signals: wire.AnyEvent) -> Findings:
    *events, end = fit()
    recording = Recording(MemoryLog([*events, *signals, end]), FIT)
    return arranged(of_rules(recording, model.Program(FIT, "program", [(1, 13)])))


def test_a_rule_that_fails_does_not_affect_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> Iterator[model.Finding]:
        yield model.Finding(dead_relu.CODE, "warning", None, 1, None, None, "before the failure", "")
        raise ZeroDivisionError

    monkeypatch.setattr(dead_relu, "find", fails)
    made = found(wire.GraphTooLarge(line=5, limit=100))
    assert [finding.code for finding in made.findings] == ["dead-relu", "graph-too-large"]
    assert made.omitted == ["dead-relu"]
    assert "dead-relu failed" in caplog.text


def test_a_rule_for_exceptions_that_fails_does_not_affect_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(failure: object) -> model.Finding:
        raise ZeroDivisionError

    monkeypatch.setattr(not_scalar, "explain", fails)
    caught = [
        wire.Caught(line=2, error="RuntimeError", message="grad can be implicitly created only for scalar outputs", handler=3),
        wire.Caught(
            line=4,
            error="RuntimeError",
            message="element 0 of tensors does not require grad and does not have a grad_fn",
            handler=5,
        ),
    ]
    made = found(*caught)
    assert [finding.code for finding in made.findings] == ["no-grad-path"]
    assert made.omitted == ["leaf-kept", "not-scalar"]


def test_findings_of_one_rule_are_limited_and_a_limited_rule_is_named() -> None:
    made = found(*[wire.GraphTooLarge(line=line, limit=100) for line in range(1, 10_000)])
    assert len(made.findings) == MOST
    assert made.omitted == ["graph-too-large"]
    exactly = found(*[wire.GraphTooLarge(line=line, limit=100) for line in range(MOST)])
    assert (len(exactly.findings), exactly.omitted) == (MOST, [])


def test_a_rule_that_did_not_run_is_named() -> None:
    assert arranged([]).omitted == list(RULES)
