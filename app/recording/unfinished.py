"""Read what was recorded of the step in which a program was stopped, before the step was complete."""

from __future__ import annotations

from typing import Final

from .. import model
from ..errors import NotFound
from .recording import Recording
from .room import first, pass_size, size

MOST_VALUES: Final = 4_000
"""Largest size of the line values that are returned together, counted in tensors of ordinary size (see :mod:`.room`)."""
MOST_PASSES: Final = 1_000
"""Largest number of passes after the last complete step that are read."""


def is_unfinished(recording: Recording) -> bool:
    """Return whether a pass was recorded after the last complete step or, in a run with steps, the value of a line."""
    if _passes(recording, most=1):
        return True
    return recording.log.counts()[2] > 0 and any(_is_late(line) for line in recording.some_lines(0))


def unfinished_step(recording: Recording) -> model.Step:
    """Return the step after the last complete one. It has passes, lines and their values, but no parameters.

    Raises :class:`NotFound` if nothing was recorded after the last complete step.
    """
    if not is_unfinished(recording):
        raise NotFound("Nothing was recorded after the last complete step.")
    index = recording.log.counts()[2]
    passes = [recording.pass_(each, numbers=_fits(recording, each)) for each in _passes(recording, most=MOST_PASSES)]
    main = next((each for each in reversed(passes) if each.graph and each.kind == "backward"), passes[-1] if passes else None)
    called = sorted({each.line for each in passes if each.line is not None})
    sized = ((line, size(line.tensor, text=line.text)) for line in recording.some_lines(0) if _is_late(line))
    late = {
        str(line.line): model.LineValue(line.text, line.tensor, _phase(line.line, called)) for line in first(sized, MOST_VALUES)
    }
    earlier = {line: value for line, value in recording.earlier(index).items() if line not in late}
    lines: dict[model.Phase, list[int]] = {phase: [] for phase in model.PHASES}
    for line, value in late.items():
        lines[value.phase].append(int(line))
    lines["backward"] = sorted({*lines["backward"], *called})
    root = _root(recording, main)
    return model.Step(
        index=index,
        iteration=None,
        lines=lines,
        values=late,
        main=-1 if main is None else main.index,
        loss=None if root is None or main is None or not main.nodes else main.nodes[root.id].value,
        loss_name=None if root is None else root.name,
        passes=passes,
        parameters=[],
        rebinds=[],
        optimizer=None,
        earlier=earlier,
    )


def _is_late(line: model.Line) -> bool:
    return line.file is None and line.step is None


def _phase(line: int, called: list[int]) -> model.Phase:
    """Return the phase of a line. The lines after the first one that started a pass belong to the update."""
    return "backward" if line in called else "update" if called and line > called[0] else "forward"


def _passes(recording: Recording, *, most: int) -> list[int]:
    """Return the indices of the last passes that belong to no complete step, in order."""
    _, passes, steps = recording.log.counts()
    found: list[int] = []
    for index in range(passes - 1, max(-1, passes - 1 - most), -1):
        if recording.log.pass_(index).step < steps:
            break
        found.insert(0, index)
    return found


def _fits(recording: Recording, index: int) -> bool:
    event = recording.log.pass_(index)
    return pass_size(event) <= recording.limits.answer_nodes


def _root(recording: Recording, main: model.Pass | None) -> model.Node | None:
    """Return the node on which a pass starts."""
    if main is None or not main.graph:
        return None
    graph = recording.graph(int(main.graph.removeprefix("g")))
    return next((node for node in graph.nodes if node.id in graph.roots), None)
