"""The layout of a graph: the positions of its boxes, edges and frames, read from the output of the layout program."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import Struct

from ..errors import DrawingError
from .plan import Box, LayoutPlan, Link

Position = tuple[float, float]
"""x and y in pixels, y downwards."""


class PlacedBox(Struct, frozen=True):
    """A box and the position of its upper left corner, in pixels."""

    box: Box
    x: float
    y: float


class Route(Struct, frozen=True):
    """The path of an edge."""

    link: Link
    path: str
    """Path data of the SVG."""
    length: float
    middle: Position
    tip: Position
    arrival: str
    """SVG transform that moves an arrowhead to the tip and turns it along the path."""
    label: Position | None
    """Middle of the left side of the edge's label."""


class PlacedFrame(Struct, frozen=True):
    """A frame around boxes, the position of its upper left corner, and its size, in pixels."""

    key: str
    x: float
    y: float
    width: float
    height: float


class GraphLayout(Struct, frozen=True):
    """The positions of all boxes, edges and frames of a graph, and the size of the picture, in pixels."""

    width: float
    height: float
    boxes: list[PlacedBox]
    routes: list[Route]
    frames: list[PlacedFrame] = []


class _DotObject(Struct):
    """A box, which has a position, or the cluster of a frame, which has a bounding box."""

    name: str
    pos: str = ""
    bb: str = ""


class _DotEdge(Struct):
    id: str
    pos: str
    lp: str | None = None


class _DotOutput(Struct):
    bb: str
    objects: list[_DotObject] = []
    edges: list[_DotEdge] = []


_decoder: Final = msgspec.json.Decoder(_DotOutput)


def read(output: bytes, plan: LayoutPlan) -> GraphLayout:
    """Read the layout of a plan from the layout program's output. Raises :class:`DrawingError` if it is not a layout."""
    try:
        drawn = _decoder.decode(output)
        left, low, right, high = (float(part) for part in drawn.bb.split(","))
        middles = {item.name: _point(item.pos, left, high) for item in drawn.objects if item.pos}
        clusters = {item.name: item.bb for item in drawn.objects if item.bb}
        edges = {item.id: item for item in drawn.edges}
        boxes = [
            PlacedBox(box, _round(middles[box.key][0] - box.width / 2), _round(middles[box.key][1] - box.height / 2))
            for box in plan.boxes
        ]
        routes = [_route(link, edges[f"e{link.edge}"], left, high) for link in plan.links]
        frames = [_frame(each.key, clusters[f"cluster_{each.key}"], left, high) for each in plan.enclosures]
    except (msgspec.DecodeError, ValueError, KeyError, IndexError) as error:
        raise DrawingError(f"The output of the layout program is not a layout: {error!r}.") from error
    return GraphLayout(_round(right - left), _round(high - low), boxes, routes, frames)


def _frame(key: str, box: str, left: float, high: float) -> PlacedFrame:
    x, low, right, top = (float(part) for part in box.split(","))
    return PlacedFrame(key, _round(x - left), _round(high - top), _round(right - x), _round(top - low))


def _route(link: Link, drawn: _DotEdge, left: float, high: float) -> Route:
    points = [_point(part, left, high) for part in drawn.pos.split() if part[0] not in "es"]
    path = f"M{points[0][0]:g} {points[0][1]:g}C" + " ".join(f"{x:g} {y:g}" for x, y in points[1:])
    length, back, middle = _measure(points)
    tip = points[-1]
    angle = round(math.degrees(math.atan2(tip[1] - back[1], tip[0] - back[0])), 1)
    arrival = f"translate({tip[0]:g} {tip[1]:g}) rotate({angle:g})"
    label = None
    if link.label and drawn.lp is not None:
        x, y = _point(drawn.lp, left, high)
        label = (_round(x - link.label / 2), y)
    return Route(link, path, round(length, 1), middle, tip, arrival, label)


def _measure(points: list[Position], fine: int = 12) -> tuple[float, Position, Position]:
    """Return the length of a chain of cubic Béziers, the point about ten pixels before its end, and its middle.

    An arrowhead has the direction from the point before the end to the end.
    """
    walked = [points[0]]
    for start in range(0, len(points) - 3, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points[start : start + 4]
        for step in range(1, fine + 1):
            t = step / fine
            s = 1 - t
            a, b, c, d = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
            walked.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    length = sum(math.dist(one, other) for one, other in pairwise(walked))
    back = next((point for point in reversed(walked) if math.dist(point, points[-1]) >= 10), walked[0])
    middle = walked[len(walked) // 2]
    return length, back, (_round(middle[0]), _round(middle[1]))


def _point(text: str, left: float, high: float) -> Position:
    x, y = text.split(",")[:2]
    return _round(float(x) - left), _round(high - float(y))


def _round(value: float) -> float:
    return round(value, 1)
