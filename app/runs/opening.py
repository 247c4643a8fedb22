"""Choose the instant at which a page opens a run: the same one on every visit, with and without JavaScript."""

from __future__ import annotations

from .. import model, wire
from ..recording import Recording


def opening(recording: Recording, findings: list[model.Finding], *, failed: bool, last: int) -> model.Instant | None:
    """Return the instant at which a run opens, or ``None`` if it has no steps.

    This is the instant of the first finding that is an error, with the finding's node if it belongs to the step's main pass.
    Without such a finding, it is the instant at which an exception ended the program, if ``failed`` is true, else the backward
    phase of the first step. ``last`` is the index of the last step, the unfinished one included.
    """
    steps = recording.log.counts()[2]
    if last < 0:
        return None
    for finding in findings:
        if finding.severity == "error" and finding.step is not None and finding.step < steps:
            step = recording.log.step(finding.step)
            node = finding.node if finding.pass_ in (None, step.main) else None
            return model.Instant(finding.step, _phase(step, finding.line), node)
    if not failed:
        return model.Instant(0, "backward")
    return model.Instant(last, "update" if last < steps and recording.log.step(last).update else "backward")


def _phase(step: wire.StepEvent, line: int | None) -> model.Phase:
    """Return the phase that shows a finding about a line: the update if the line belongs to it, else backward."""
    return "update" if line in step.update else "backward"
