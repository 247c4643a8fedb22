"""Choose the graph that is shown when a request names none."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from .recording import Recording

PASSES_SEARCHED: Final = 9
"""Number of passes at the end of a recording that are searched for one with a graph."""


class GraphChoice(Struct, frozen=True):
    """A pass over a graph, or a graph that is shown without gradients. ``index`` is the index of the pass or graph."""

    kind: Literal["pass", "graph"]
    index: int


def default_graph(recording: Recording, step: int | None = None, line: int | None = None) -> GraphChoice | None:
    """Return the graph to show for a whole recording, for one step, or for the value of one line.

    For a whole recording, return the main pass of the last step, else the last pass that has a graph, else the last graph.
    For a step, return its main pass. Return ``None`` if there is no graph, or if both a step and a line are given. Raises
    :class:`NotFound` if there is no such step.
    """
    if line is not None:
        return _graph_of_line(recording, line) if step is None else None
    graphs, passes, steps = recording.log.counts()
    if step is not None:
        candidates = [recording.log.step(step).main]
    else:
        last_main = [recording.log.step(steps - 1).main] if steps else []
        candidates = [*last_main, *range(passes - 1, max(-1, passes - 1 - PASSES_SEARCHED), -1)]
    for index in candidates:
        if 0 <= index < passes and recording.log.pass_(index).graph >= 0:
            return GraphChoice("pass", index)
    return GraphChoice("graph", graphs - 1) if graphs and step is None else None


def _graph_of_line(recording: Recording, line: int) -> GraphChoice | None:
    graphs = [each.graph for each in recording.lines() if each.line == line and each.graph]
    return GraphChoice("graph", int(graphs[-1].removeprefix("g"))) if graphs else None
