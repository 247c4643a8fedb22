"""Lay out graphs with Graphviz, and read the positions of boxes and edges from its output.

The layout program is ``graphviz-pure`` from its wheel, or the ``dot`` in the settings. Layouts are cached by a hash of their
plan. A structure is therefore laid out once, and other steps only change the numbers in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import OrderedDict
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import DrawingError
from ..workers import FairGate
from . import dot, program
from .failed_work import FailedWork
from .plan import Box, LayoutPlan, Link
from .program import SECONDS, TooSlow

QUICK_SECONDS: Final = 1.0
"""Time limit for the first attempt. A layout that takes longer starts again among the slow ones, which never delay others."""
NESTED_SECONDS: Final = 0.5
"""Time limit for the layout of a map, which is drawn as rows if it takes longer."""
CACHED: Final = 512
"""Largest number of layouts in the cache."""
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
_encoder: Final = msgspec.msgpack.Encoder()


def read(output: bytes, plan: LayoutPlan) -> GraphLayout:
    """Read the layout of a plan from the program's output. Raises :class:`DrawingError` if the output is not a layout."""
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

    An arrowhead points from that point to the end.
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


class LayoutEngine:
    """Lays out each plan in a separate process, limits how many run at once, and caches the layouts.

    ``dot`` names the program, as for :func:`.program.find`. ``seconds`` limits the time of one layout, ``cached`` the size of
    the cache, and ``at_once`` the number of processes. A layout that takes longer than ``quick`` seconds is stopped and begins
    again in an extra process. Only one such slow layout runs at a time. The layout of a map is stopped after ``nested`` seconds
    and does not begin again. A failure is remembered.
    """

    def __init__(
        self,
        dot: str = "",
        *,
        seconds: float = SECONDS,
        quick: float = QUICK_SECONDS,
        nested: float = NESTED_SECONDS,
        cached: int = CACHED,
        at_once: int = 2,
        failures: FailedWork | None = None,
    ) -> None:
        self._dot = dot
        self._seconds = seconds
        self._quick = min(quick, seconds)
        self._nested = min(nested, seconds)
        self._failures = failures or FailedWork()
        self._cached = cached
        self._at_once = at_once
        self._layouts: OrderedDict[bytes, GraphLayout] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate, self._slow = FairGate(at_once), FairGate(1)
        self._running: dict[bytes, asyncio.Task[GraphLayout]] = {}
        self.processes = 0
        """Number of processes started."""

    async def layout(self, plan: LayoutPlan, client: str = "") -> GraphLayout:
        """Return the layout of a plan. Raises :class:`DrawingError` if that fails, and :class:`Busy` if too many are waiting.

        Callers that request the same plan at the same time share one process. Clients share the processes in turn.
        """
        key = _key(plan)
        if layout := self._layouts.get(key):
            self._layouts.move_to_end(key)
            return layout
        self._failures.check(key)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # one process may run several loops in turn, as the command line does
            self._loop, self._running = loop, {}
            self._gate, self._slow = FairGate(self._at_once), FairGate(1)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = loop.create_task(self._run(key, plan, client))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    async def _run(self, key: bytes, plan: LayoutPlan, client: str) -> GraphLayout:
        try:
            async with self._gate.entered(client):
                layout = await self._execute(key, plan, self._nested if plan.nested else self._quick)
        except TooSlow:
            if plan.nested or self._quick == self._seconds:
                raise
            async with self._slow.entered(client):
                layout = await self._execute(key, plan, self._seconds)
        self._layouts[key] = layout
        while len(self._layouts) > self._cached:
            self._layouts.popitem(last=False)
        return layout

    async def _execute(self, key: bytes, plan: LayoutPlan, seconds: float) -> GraphLayout:
        path = program.find(self._dot)
        process = await program.start(path)
        self.processes += 1
        try:
            return read(await program.finish(process, path, dot.boxes(plan), seconds), plan)
        except DrawingError as error:
            if not isinstance(error, TooSlow) or plan.nested or seconds == self._seconds:
                self._failures.add(key, error)
            raise

    def _done(self, key: bytes, task: asyncio.Task[Any]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # mark it as retrieved, in case every caller was cancelled


def _key(plan: LayoutPlan) -> bytes:
    """Return a hash of a plan. The plan determines the DOT, and hashing the plan takes a tenth of the time."""
    return hashlib.blake2b(_encoder.encode(plan), digest_size=16).digest()
