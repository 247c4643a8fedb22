"""Decide what is drawn for a graph: a box for each node, and stubs for a leaf that is used all over the place.

A hub kills ``dot`` (an unrolled network whose steps all point at the same two leaves never ended at 485 nodes), and hides
what it is meant to show. So a leaf with more than :data:`HUB` uses has its card at one of them, the deepest, and at each of
the others a stub: several boxes stand for one node, and each has an edge of its own.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from ..model import Edge, Graph
from .style import Direction

Role = Literal["card", "constant", "stub"]

HUB: Final = 3
"""Uses of a leaf or constant above which it is drawn with stubs."""
BOXES: Final = 600
LINKS: Final = 1_200
"""The most that is laid out whole."""

CARD: Final = (250, 76)
NARROW: Final = (216, 76)
"""From left to right a card is narrower, so that five stand side by side."""
LOW_CARD: Final = (250, 44)
"""A card without numbers."""
CONSTANT: Final = (140, 64)
LOW_CONSTANT: Final = (140, 44)
STUB: Final = (104, 26)
LABEL: Final = 194
"""Room for an edge's label: 27 characters. From left to right 10 are enough, for there it shows a norm."""
NARROW_LABEL: Final = 84
LABEL_HEIGHT: Final = 18
NARROW_LABEL_HEIGHT: Final = 30
"""From left to right it stands above the edge, clear of the widest shaft."""


class Box(Struct, frozen=True):
    """A box of fixed size for the node at a place. A stub also says at the end of which edge it stands (else -1)."""

    key: str
    node: int
    edge: int
    role: Role
    width: int
    height: int


class Link(Struct, frozen=True):
    """An edge, between the boxes that stand for its ends.

    ``label`` is the width kept free for its text, 0 for none; ``weight`` how much it is to be straight: most where one
    operation follows another, least to what stands aside.
    """

    edge: int
    source: str
    target: str
    label: int
    weight: int


class LayoutPlan(Struct, frozen=True):
    """What is to be laid out."""

    direction: Direction
    boxes: list[Box]
    links: list[Link]

    @property
    def fits(self) -> bool:
        """Whether it is small enough to be laid out whole."""
        return len(self.boxes) <= BOXES and len(self.links) <= LINKS


def plan(graph: Graph, direction: Direction = "TB", *, numbers: bool = True) -> LayoutPlan:
    """LayoutPlan the picture of a graph; without ``numbers`` cards are low and edges have no labels."""
    if numbers:
        card, constant, label = (NARROW, CONSTANT, NARROW_LABEL) if direction == "LR" else (CARD, CONSTANT, LABEL)
    else:
        card, constant, label = LOW_CARD, LOW_CONSTANT, 0
    places = {node.id: place for place, node in enumerate(graph.nodes)}
    boxes: list[Box] = []
    for place, node in enumerate(graph.nodes):
        role: Role = "constant" if node.kind == "constant" else "card"
        width, height = constant if role == "constant" else card
        boxes.append(Box(f"n{place}", place, -1, role, width, height))
    stubs = _stubs(graph, places)
    links: list[Link] = []
    for at, edge in enumerate(graph.edges):
        target = f"n{places[edge.target]}"
        if at in stubs:
            target = f"s{at}"
            boxes.append(Box(target, places[edge.target], at, "stub", *STUB))
        weight = 1 if at in stubs or not edge.gradient else 8 if graph.nodes[places[edge.target]].kind == "op" else 3
        links.append(Link(at, f"n{places[edge.source]}", target, label if edge.gradient else 0, weight))
    return LayoutPlan(direction, boxes, links)


def _stubs(graph: Graph, places: dict[str, int]) -> set[int]:
    """The edges that end at a stub."""
    uses: dict[str, list[int]] = {}
    for at, edge in enumerate(graph.edges):
        uses.setdefault(edge.target, []).append(at)
    hubs = {target: edges for target, edges in uses.items() if len(edges) > HUB and graph.nodes[places[target]].kind != "op"}
    if not hubs:
        return set()
    depth = _depths(graph.edges)
    stubs: set[int] = set()
    for edges in hubs.values():
        deepest = max(edges, key=lambda at: (depth[graph.edges[at].source], at))
        stubs.update(at for at in edges if at != deepest)
    return stubs


def _depths(edges: list[Edge]) -> dict[str, int]:
    """The longest way from a root to each node."""
    waiting: dict[str, int] = {}
    after: dict[str, list[str]] = {}
    for edge in edges:
        waiting[edge.target] = waiting.get(edge.target, 0) + 1
        after.setdefault(edge.source, []).append(edge.target)
    depth = dict.fromkeys((*after, *waiting), 0)
    ready = [node for node in after if node not in waiting]
    while ready:
        node = ready.pop()
        for target in after.get(node, ()):
            depth[target] = max(depth[target], depth[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return depth
