"""Decide which boxes are drawn for a graph: a card for each node, and stubs for a leaf that is used in many operations.

Many edges to one node make ``dot`` very slow and the picture unreadable. For an unrolled network of 485 nodes, whose steps all
use the same two leaves, ``dot`` never finished. A leaf or constant with more than :data:`HUB` uses therefore has its card at
the deepest use, and a stub at each other use. All these boxes show the same node, and each has one edge.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Literal

from msgspec import Struct

from ..model import Edge, Graph
from .style import Density, Direction

Role = Literal["card", "constant", "stub"]

HUB: Final = 3
"""Largest number of uses of a leaf or constant that is drawn without stubs."""
BOXES: Final = 150
LINKS: Final = 1_200
"""Largest number of boxes and links that are laid out."""

CARD: Final = (250, 72)
"""Width and height of a card, in pixels."""
NARROW: Final = (216, 72)
"""A card of a picture from left to right, narrower so that five fit side by side."""
LOW_CARD: Final = (250, 44)
"""A card without numbers."""
COMPACT_CARD: Final = (440, 40)
"""A card whose value and gradient are side by side, 27 characters each."""
VALUE_CARD: Final = (250, 58)
"""A card with a value, but without a gradient."""
CONSTANT: Final = (140, 64)
LOW_CONSTANT: Final = (140, 44)
COMPACT_CONSTANT: Final = (200, 40)
STUB: Final = (104, 26)
LABEL: Final = 194
"""Width of an edge's label: 27 characters."""
NARROW_LABEL: Final = 84
"""Width of an edge's label from left to right: 10 characters, enough for a norm."""
NO_LABEL: Final = 8
"""Width of a label without text, which keeps the edge as long as others."""
LABEL_HEIGHT: Final = 26
"""Height of an edge's label: the gradient, and the local derivative below it."""
COMPACT_LABEL: Final = 290
"""Width of the label of an edge between compact cards: the local derivative and the gradient, side by side."""
COMPACT_LABEL_HEIGHT: Final = 8
WIDEST: Final = 760
"""Width in pixels up to which compact cards are used. A graph with branches needs less width with full cards."""
NARROW_LABEL_HEIGHT: Final = 30
"""Height of a label from left to right. It is above the edge, and must not touch the widest shaft."""
FRAME_NAME: Final = 80
"""Width that is reserved for the name of a frame."""
FRAME_NAME_HEIGHT: Final = 12


class Box(Struct, frozen=True):
    """A box of fixed size for a node; a node may have several."""

    key: str
    node: int
    """Index of the node. In a map, the index of the map's box, also for a leaf at that box."""
    edge: int
    """Index of the edge that ends at a stub, or at a leaf of a map; -1 for other boxes."""
    role: Role
    width: int
    height: int


class Link(Struct, frozen=True):
    """An edge between the boxes of its ends."""

    edge: int
    """Index of the edge."""
    source: str
    target: str
    label: int
    """Width reserved for the edge's text, 0 for none."""
    weight: int
    """Graphviz weight. A larger weight makes the edge straighter. Edges between operations have the largest weight."""


class Enclosure(Struct, frozen=True):
    """A frame around successive boxes, whose indices are ``first`` to ``last``."""

    key: str
    first: int
    last: int


class LayoutPlan(Struct, frozen=True):
    """Boxes and links to be laid out. With ``nested``, they are those of a map: closer together, and with frames around them.

    ``enclosures`` do not overlap unless one is inside another; the outer one comes first.
    """

    direction: Direction
    boxes: list[Box]
    links: list[Link]
    enclosures: list[Enclosure] = []
    nested: bool = False
    label_height: int = LABEL_HEIGHT
    """Height reserved for the text of each edge."""

    @property
    def fits(self) -> bool:
        """True if the plan is small enough to be laid out."""
        return len(self.boxes) <= BOXES and len(self.links) <= LINKS


class _Sizes(Struct, frozen=True):
    """Width and height of the boxes and of the edges' labels, in pixels."""

    card: tuple[int, int]
    constant: tuple[int, int]
    label: tuple[int, int]


_FULL: Final = _Sizes(CARD, CONSTANT, (LABEL, LABEL_HEIGHT))
_COMPACT: Final = _Sizes(COMPACT_CARD, COMPACT_CONSTANT, (COMPACT_LABEL, COMPACT_LABEL_HEIGHT))
_SIDEWAYS: Final = _Sizes(NARROW, CONSTANT, (NARROW_LABEL, NARROW_LABEL_HEIGHT))
_LOW: Final = _Sizes(LOW_CARD, LOW_CONSTANT, (NO_LABEL, LABEL_HEIGHT))


def plan(
    graph: Graph,
    direction: Direction = "TB",
    *,
    numbers: bool = True,
    density: Density = "full",
    values: Container[int] = frozenset(),
) -> LayoutPlan:
    """Plan the picture of a graph. Without ``numbers``, cards are low unless they have ``values``, and labels have no text.

    The ``density`` has an effect only with ``numbers``, and only if the direction is not LR.
    """
    sizes = _LOW if not numbers else _SIDEWAYS if direction == "LR" else _COMPACT if density == "compact" else _FULL
    card, constant, (label, label_height) = sizes.card, sizes.constant, sizes.label
    indices = {node.id: index for index, node in enumerate(graph.nodes)}
    boxes: list[Box] = []
    for index, node in enumerate(graph.nodes):
        role: Role = "constant" if node.kind == "constant" else "card"
        width, height = constant if role == "constant" else card
        if index in values:
            width, height = CONSTANT if role == "constant" else VALUE_CARD
        boxes.append(Box(f"n{index}", index, -1, role, width, height))
    stubs = _stubs(graph, indices)
    links: list[Link] = []
    for index, edge in enumerate(graph.edges):
        target = f"n{indices[edge.target]}"
        if index in stubs:
            target = f"s{index}"
            boxes.append(Box(target, indices[edge.target], index, "stub", *STUB))
        weight = 1 if index in stubs or not edge.gradient else 8 if graph.nodes[indices[edge.target]].kind == "op" else 3
        links.append(Link(index, f"n{indices[edge.source]}", target, label if edge.gradient else 0, weight))
    return LayoutPlan(direction, boxes, links, label_height=label_height)


def _stubs(graph: Graph, indices: dict[str, int]) -> set[int]:
    """Return the indices of the edges that end at a stub."""
    uses: dict[str, list[int]] = {}
    for index, edge in enumerate(graph.edges):
        uses.setdefault(edge.target, []).append(index)
    hubs = {target: edges for target, edges in uses.items() if len(edges) > HUB and graph.nodes[indices[target]].kind != "op"}
    if not hubs:
        return set()
    depth = _depths(graph.edges)
    stubs: set[int] = set()
    for edges in hubs.values():
        deepest = max(edges, key=lambda edge: (depth[graph.edges[edge].source], edge))
        stubs.update(edge for edge in edges if edge != deepest)
    return stubs


def _depths(edges: list[Edge]) -> dict[str, int]:
    """Return the length of the longest path from a root to each node."""
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
