"""The findings of a program that runs in this process, and the program after a fix."""

from __future__ import annotations

from tapedeck import model, wire
from tapedeck.explain.findings import find
from tapedeck.explain.rewriting.fixes import apply
from tapedeck.recording import Recording

from ..tracer.run_twice import record


def findings(text: str, **options: object) -> list[model.Finding]:
    """Return the findings of a program except good signs. ``options`` are fields of :class:`model.Program`."""
    _, recording = record(text)
    return without_good_signs(recording, model.Program(text, **options))  # type: ignore[arg-type]


def without_good_signs(recording: Recording, program: model.Program) -> list[model.Finding]:
    """Return all findings of a recording except good signs."""
    return [finding for finding in find(recording, program) if finding.severity != "good"]


def codes(text: str) -> list[tuple[str, int | None]]:
    """Return the code and the line of each warning and each error of a program."""
    return [(finding.code, finding.line) for finding in findings(text) if finding.severity in ("warning", "error")]


def line_of(text: str, part: str) -> int:
    """Return the first line of a program that contains a text, counted from 1."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def run_fixed(text: str, fix: model.Fix) -> tuple[str, Recording]:
    """Apply a fix, run the program to its end, and return the fixed program and its recording."""
    fixed = apply(text, fix)
    events, recording = record(fixed)
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].failure is None, fixed
    return fixed, recording
