"""Collect the content and the look of a picture before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ..model import Graph, GraphMap, TensorSummary
from ..recording import PassNumbers
from .graph_layout import GraphLayout
from .pen import BROWSER, Face
from .style import Density, Direction, PictureLayout, Theme


class Sheet(Struct, frozen=True):
    """The input of one picture: a graph, the numbers of a pass over it, and the look."""

    graph: Graph
    """Structure of the graph; without nodes if a map is drawn instead."""
    numbers: PassNumbers | None = None
    """Numbers of the pass; without them only the structure and the ``values`` are drawn."""
    program: str = ""
    """Text of the program, to which the lines and columns of nodes refer."""
    theme: Theme = "light"
    direction: Direction = "TB"
    selected: str | None = None
    """Id of the selected node."""
    standalone: bool = True
    """True for a picture with a background and a key; False for an SVG inside a page."""
    accumulated: frozenset[str] = frozenset()
    """Ids of the parameters that had a gradient before this pass added to it."""
    make_map: Callable[[], GraphMap] | None = None
    """Reads the map, which is drawn instead of a graph that is too large or hard to read. The call may take long."""
    layout: PictureLayout = "auto"
    """How the graph is laid out: a card for each node, or a map."""
    density: Density = "full"
    """Size of the cards. A map, a picture from left to right and a wide graph always have full ones."""
    face: Face = BROWSER
    values: dict[int, TensorSummary] = {}
    """Values in a graph without a pass, by the index of the node."""


class PlacedSheet(Struct, frozen=True):
    """A sheet whose graph has been laid out: everything that its SVG is written from."""

    sheet: Sheet
    layout: GraphLayout
    """Positions of the sheet's nodes and edges."""
