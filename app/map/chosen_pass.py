"""Choose the passes whose numbers are read with a graph."""

from __future__ import annotations

from collections.abc import Iterator

from .. import wire
from ..errors import InvalidInput
from ..recording import Recording


def chosen_pass(recording: Recording, graph: int, pass_index: int | None, step: int | None) -> wire.PassEvent | None:
    """Return the pass with an index, or the pass of a step over a graph; ``None`` if neither a pass nor a step is given.

    Of the passes of a step, the main one is returned if it is over this graph, else the last one over this graph.
    Raises :class:`NotFound` for a pass or step that does not exist. Raises :class:`InvalidInput` if the pass is over another
    graph, if the step has no pass over this graph, or if both are given.
    """
    if pass_index is not None and step is not None:
        raise InvalidInput("Both a pass and a step are given: give one of them.", where="pass")
    if pass_index is not None:
        event = recording.log.pass_(pass_index)
        if event.graph != graph:
            raise InvalidInput(f"Pass {pass_index} is over graph g{event.graph}, not g{graph}.", where="pass")
        return event
    if step is None:
        return None
    ended = recording.log.step(step)
    for index in (ended.main, *reversed(ended.passes)):
        event = recording.log.pass_(index)
        if event.graph == graph:
            return event
    raise InvalidInput(f"Step {step} has no pass over graph g{graph}: give a pass, or another step.", where="step")


def passes_over(recording: Recording, graph: int, start: int) -> Iterator[wire.PassEvent]:
    """Yield the passes over a graph, from pass ``start`` on. Raises :class:`NotFound` for an unknown graph."""
    recording.log.graph(graph)
    for event in recording.log.passes(max(0, start), recording.log.counts()[1]):
        if event.graph == graph:
            yield event
