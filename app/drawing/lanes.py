"""Assign lanes beside the rows to edges that cannot run straight between neighbouring rows."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_LANES: Final = 12
"""Largest number of lanes. An edge without a lane is not drawn: the name of its target is written beside its source."""


class Bus(NamedTuple):
    """Edges into one row, which share a lane. ``first`` and ``last`` are the rows between which the lane runs."""

    target: int
    sources: tuple[int, ...]
    first: int
    last: int
    lane: int


def buses(edges: list[tuple[int, int]], weight: dict[tuple[int, int], float]) -> list[Bus]:
    """Return the buses for edges from one row to another, given as (source, target).

    Short buses get the inner lanes. If there are too few lanes, the buses whose edges have the least ``weight`` get lane -1,
    which means no lane.

    >>> [(bus.target, bus.lane) for bus in buses([(0, 2), (0, 3), (3, 5)], {})]
    [(2, 0), (3, 1), (5, 0)]
    """
    sources: dict[int, list[int]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    found = []
    for target, rows in sources.items():
        found.append(Bus(target, tuple(sorted(rows)), min(target, *rows), max(target, *rows), -1))
    heaviest = sorted(found, key=lambda bus: -max(weight.get((source, bus.target), 0.0) for source in bus.sources))
    kept = _coloured(found)
    while len({bus.lane for bus in kept}) > MOST_LANES:  # runs at most once for each bus, and a view has few buses
        heaviest.pop()
        kept = _coloured(heaviest)
    named = {bus.target for bus in kept}
    return sorted([*kept, *(bus for bus in found if bus.target not in named)])


def _coloured(found: list[Bus]) -> list[Bus]:
    """Give each bus the innermost lane that is free along it: the shortest buses first."""
    ends: list[list[tuple[int, int]]] = []
    coloured = []
    for bus in sorted(found, key=lambda bus: (bus.last - bus.first, bus.first)):
        free = (number for number, taken in enumerate(ends) if all(bus.last < start or end < bus.first for start, end in taken))
        lane = next(free, len(ends))
        if lane == len(ends):
            ends.append([])
        ends[lane].append((bus.first, bus.last))
        coloured.append(bus._replace(lane=lane))
    return coloured
