"""Group the turns of a loop by their structure: most turns are equal, and often the first or the last one differs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .. import wire
from .columns import Ints, Longs, StructureColumns
from .edges import SortedEdges
from .order import ForwardOrder

Words = np.ndarray[Any, np.dtype[np.uint64]]

_OUTSIDE: Final = 0
"""Distance of an edge that leaves its turn. Edges inside a turn have a distance of at least 1."""


def kinds_of_turns(
    graph: StructureColumns, order: ForwardOrder, edges: SortedEdges, keys: Longs, turns: Ints, end: int
) -> list[int]:
    """Return the kind of each turn: 0 for the structure of the first turn, 1 for the next different one, and so on.

    ``turns`` are the first positions of the turns, and ``end`` is the position after the last one. ``keys`` are equal for equal
    operations. The time is linear. Two turns are of one kind if all of this is true:

    - They have equal operations in the same order, with the same numbers of outputs.
    - Corresponding edges lead to corresponding operations of their turns, or both lead out of their turns.
    - Leaves and constants at corresponding edges are both used in one turn only, or both in several turns.
    """
    start = int(turns[0])
    turn = (np.searchsorted(turns, np.arange(start, end), "right") - 1).astype(np.int64)
    found = edges.from_interval(start, end)
    source, target = order.position[graph.source[found]], order.position[graph.target[found]]
    of_source = turn[source - start]
    inside = (target >= start) & (target < end)
    inside[inside] = turn[target[inside] - start] == of_source[inside]
    distance = np.where(inside, source - target, _OUTSIDE).astype(np.uint64)
    given = graph.target[found]
    kind = graph.kind[given]
    first, last = edges.users
    own = (kind != wire.OP) & (first[given] >= turns[of_source])
    own &= last[given] < np.append(turns[1:], end)[of_source]
    word = distance << np.uint64(8) | kind.astype(np.uint64) << np.uint64(1) | own.astype(np.uint64)
    of_edge = _mixed(_mixed(word) + graph.slot[found].astype(np.uint64))
    operations = np.zeros(end - start, np.uint64)
    np.add.at(operations, source - start, of_edge)
    nodes = order.nodes[start:end]
    operations += _mixed(_mixed(keys[start:end].astype(np.uint64)) + graph.outputs[nodes].astype(np.uint64))
    offset = np.arange(start, end) - turns[turn]
    hashes = np.add.reduceat(_mixed(_mixed(operations) + offset.astype(np.uint64)), turns - start)
    _, index, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    rank = np.empty(len(index), np.int64)
    rank[np.argsort(index)] = np.arange(len(index))
    kinds: list[int] = rank[inverse.reshape(-1)].tolist()
    return kinds


def _mixed(words: Words) -> Words:
    """Return 64-bit hashes of words, each of which differs from the hashes of words nearby (SplitMix64 of Steele et al.)."""
    with np.errstate(over="ignore"):
        mixed = words + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
