"""Report an internal error of Tapedeck that left a gap in the recording.

## Why it matters

Tapedeck catches its own errors, so the program continues, but a part of it is missing from the recording. The
finding contains the message of the internal error. Please report it as a bug.

## Example

There is no example, because only a bug of Tapedeck triggers this finding.

## What it does not report

Errors of the program itself, and parts that Tapedeck leaves out by design. For those, see
[saved-tensors-unread](#saved-tensors-unread), [batched](#batched) and [forward-mode](#forward-mode).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "recorder-failed"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note with the message of each internal error."""
    for signal in recording.signals(wire.RecorderFailed):
        message = "Tapedeck failed to record a part of this run: lines, passes or steps may be missing."
        yield note(CODE, None, message, signal.message)
