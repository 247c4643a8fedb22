"""Tell of parameters that an optimizer holds and that no pass of the run has reached."""

from __future__ import annotations

from collections.abc import Iterator

from ... import model, wire
from ...recording import Recording
from ..syntax import Syntax
from ..wording import listed

PASSES = 1_000
"""Passes that are looked at for whether the program computes the same in each round."""
_BLIND = (wire.GraphTooLarge, wire.RecorderFailed)
"""What says that a pass may have reached more than is known."""


def unused_parameter(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A parameter never gets a gradient. Where the graph is another one each time, a later round may reach it."""
    found = recording.signals(wire.UnusedParameter)
    if not found or any(isinstance(signal, _BLIND) for signal in recording.signals()) or _varies(recording):
        return
    names = [signal.name for signal in found]
    first = found[0]
    they, them = ("It has", "it as it is") if len(names) == 1 else ("They have", "them as they are")
    yield model.Finding(
        code="unused-parameter",
        severity="note",
        file=None,
        line=first.line if first.line > 0 else None,
        step=None,
        node=None,
        message=f"{first.optimizer} holds {listed(names)}, which no backward() of this run has reached.",
        why=f"{they} no gradient after {first.steps} steps, and the optimizer leaves {them}. That may be meant; else the loss "
        f"is computed without {them.partition(' ')[0]}.",
    )


def _varies(recording: Recording) -> bool:
    """Whether passes from one line go over several graphs, as where data decide what is computed."""
    graphs: dict[int, set[int]] = {}
    for event in recording.log.passes(0, PASSES):
        if event.kind == "backward":
            graphs.setdefault(event.line, set()).add(event.graph)
    return any(len(each) > 1 for each in graphs.values())
