"""Group the nodes of the program's tensors by the connected graph that they are part of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensors.handles import sequence_nr
from .graph import TooManyNodes


class Component:
    """A connected graph. ``members`` are the given nodes that are part of it, the newest first.

    ``roots`` are the members that no other member leads to.
    """

    def __init__(self) -> None:
        self.roots: list[Any] = []
        self.members: list[Any] = []


def components(nodes: Iterable[Any], limit: int) -> list[Component]:
    """Return the connected graphs that contain these nodes, in linear time. The graph with the newest node is last.

    Raises :class:`TooManyNodes` if the graphs have more than ``limit`` nodes together.
    """
    given = sorted(dict.fromkeys(nodes), key=sequence_nr, reverse=True)
    found: dict[Any, int] = {}
    """For each visited node, the index of the root from which it was first visited."""
    joined: list[int] = []
    """For each root, the index of a later root in the same graph; its own index if there is none."""
    roots: list[Any] = []

    def last(index: int) -> int:
        while joined[index] != index:
            joined[index] = joined[joined[index]]
            index = joined[index]
        return index

    for root in given:
        if root in found:
            continue
        own = len(roots)
        roots.append(root)
        joined.append(own)
        found[root] = own
        waiting = [root]
        while waiting:
            for following, _ in waiting.pop().next_functions:
                if following is None:
                    continue
                earlier = found.get(following)
                if earlier is None:
                    if len(found) >= limit:
                        raise TooManyNodes
                    found[following] = own
                    waiting.append(following)
                elif earlier != own:
                    joined[last(earlier)] = own
    by_root: dict[int, Component] = {}
    for node in given:
        component = by_root.setdefault(last(found[node]), Component())
        component.members.append(node)
        if node is roots[found[node]]:
            component.roots.append(node)
    return list(by_root.values())[::-1]
