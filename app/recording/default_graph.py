"""Choose the graph that is shown when a request names none."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from .recording import Recording

PASSES_SEARCHED: Final = 9
"""Number of passes at the end of a recording that are searched for one with a graph."""


class GraphChoice(Struct, frozen=True):
    """A pass over a graph, or a graph that is shown without gradients; ``index`` is the index of either."""

    kind: Literal["pass", "graph"]
    index: int


def default_graph(recording: Recording, step: int | None = None, line: int | None = None) -> GraphChoice | None:
    """Return the graph to show for a whole recording, for one step, or for the value of one line.

    For a whole recording it is the main pass of the last step, else the last pass that has a graph, else the last graph.
    Return ``None`` if there is no graph. Raise :class:`NotFound` if there is no such step.
    """
    graphs, passes, steps = recording.log.counts()
    if line is not None:
        of_line = [each.graph for each in recording.lines() if each.graph and each.line == line and step is None]
        return GraphChoice("graph", int(of_line[-1].removeprefix("g"))) if of_line else None
    if step is None and steps:
        mains = [recording.log.step(steps - 1).main]
    else:
        mains = [] if step is None else [recording.log.step(step).main]
    searched = range(passes - 1, max(-1, passes - 1 - PASSES_SEARCHED), -1) if step is None else ()
    for index in (*mains, *searched):
        if 0 <= index < passes and recording.log.pass_(index).graph >= 0:
            return GraphChoice("pass", index)
    return GraphChoice("graph", graphs - 1) if graphs and step is None else None
