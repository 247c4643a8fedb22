"""Run Graphviz as a subprocess that is killed past a time limit, and read where it put the boxes.

The engine is ``graphviz-pure`` from its wheel, or any ``dot`` that the operator names. A structure is laid out once: layouts
are kept by the hash of what was planned, so a step only writes numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import shutil
import signal
import sys
import sysconfig
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import DrawingError
from . import dot
from .plan import Box, LayoutPlan, Link

SECONDS: Final = 10.0
KEPT: Final = 512
Position = tuple[float, float]


class PlacedBox(Struct, frozen=True):
    """A box, and its upper left corner in pixels."""

    box: Box
    x: float
    y: float


class Route(Struct, frozen=True):
    """An edge's way: its path, the length of it, its middle, its tip, the transform that takes an arrowhead there, and the
    middle of its label's left side.
    """

    link: Link
    path: str
    length: float
    middle: Position
    tip: Position
    arrival: str
    label: Position | None


class GraphLayout(Struct, frozen=True):
    """Where everything stands, in pixels, y downwards."""

    width: float
    height: float
    places: list[PlacedBox]
    routes: list[Route]


class _DotObject(Struct):
    name: str
    pos: str


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


def find(named: str = "") -> str:
    """Path of the engine: the one that is named, else the wheel's, else one on the PATH.

    Raises :class:`DrawingError`, naming the remedy.
    """
    if named:
        path = shutil.which(named)
        if path is None:
            raise DrawingError(f"There is no program {named!r} to lay out graphs: name the path of a dot, or none.")
        return path
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        if path := shutil.which("graphviz-pure", path=folder):
            return path
    found = shutil.which("graphviz-pure") or shutil.which("dot")
    if found is None:
        raise DrawingError("There is no Graphviz: run `pip install graphviz-pure`, or set TAPEDECK_DOT to the path of a dot.")
    return found


def command(path: str) -> list[str]:
    """The command line: DOT from standard input, positions as JSON to standard output.

    >>> command("/usr/bin/dot")
    ['/usr/bin/dot', '-Kdot', '-Tjson0']
    """
    return [path, "-Kdot", "-Tjson0"]


async def execute(path: str, source: str, seconds: float = SECONDS) -> bytes:
    """Lay out DOT; raises :class:`DrawingError` if the engine fails, or is killed with all that it started, at the limit."""
    keep = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "GVBINDIR", "SYSTEMROOT") if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command(path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**keep, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        raise DrawingError(f"{path} could not be started to lay out the graph: {error.strerror}.") from error
    try:
        async with asyncio.timeout(seconds):
            output, complaint = await process.communicate(source.encode())
    except TimeoutError as error:
        raise DrawingError(
            f"Laying out the graph took longer than {seconds:g} s and was stopped: take it as .txt; the API has its numbers."
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        said = complaint.decode(errors="replace").strip().splitlines()
        raise DrawingError(f"{path} ended with {how} while laying out the graph{': ' + said[0][:200] if said else ''}.")
    return output


def read(output: bytes, plan: LayoutPlan) -> GraphLayout:
    """What the engine answered, as a layout of the plan; raises :class:`DrawingError` where it is none."""
    try:
        drawn = _decoder.decode(output)
        left, low, right, high = (float(part) for part in drawn.bb.split(","))
        middles = {item.name: _point(item.pos, left, high) for item in drawn.objects}
        edges = {item.id: item for item in drawn.edges}
        places = [
            PlacedBox(box, _round(middles[box.key][0] - box.width / 2), _round(middles[box.key][1] - box.height / 2))
            for box in plan.boxes
        ]
        routes = [_route(link, edges[f"e{link.edge}"], left, high) for link in plan.links]
    except (msgspec.DecodeError, ValueError, KeyError, IndexError) as error:
        raise DrawingError(f"The engine answered something that is no layout: {error!r}.") from error
    return GraphLayout(_round(right - left), _round(high - low), places, routes)


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
    """Length of a chain of cubic Béziers, the point some ten pixels before its end (a head lies along that), its middle."""
    walked = [points[0]]
    for at in range(0, len(points) - 3, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points[at : at + 4]
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
    """Lays out plans, one process each, at most two at once; keeps the layouts that were used last."""

    def __init__(self, dot: str = "", *, seconds: float = SECONDS, kept: int = KEPT, at_once: int = 2) -> None:
        self._dot = dot
        self._seconds = seconds
        self._kept = kept
        self._at_once = at_once
        self._layouts: OrderedDict[bytes, GraphLayout] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate = asyncio.Semaphore(at_once)
        self._under_way: dict[bytes, asyncio.Task[GraphLayout]] = {}
        self.runs = 0

    async def layout(self, plan: LayoutPlan) -> GraphLayout:
        """The layout of a plan; raises :class:`DrawingError`. Whoever asks for one that is under way waits with the others."""
        key = _key(plan)
        if layout := self._layouts.get(key):
            self._layouts.move_to_end(key)
            return layout
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a process that runs one loop after another, such as the command line
            self._loop, self._gate, self._under_way = loop, asyncio.Semaphore(self._at_once), {}
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = loop.create_task(self._run(key, plan))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    async def _run(self, key: bytes, plan: LayoutPlan) -> GraphLayout:
        async with self._gate:
            self.runs += 1
            layout = read(await execute(find(self._dot), dot.boxes(plan), self._seconds), plan)
        self._layouts[key] = layout
        while len(self._layouts) > self._kept:
            self._layouts.popitem(last=False)
        return layout

    def _done(self, key: bytes, task: asyncio.Task[Any]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # somebody heard it, or everybody has gone


def _key(plan: LayoutPlan) -> bytes:
    """The hash of a plan, which says all that its DOT says, and is made in a tenth of the time."""
    return hashlib.blake2b(_encoder.encode(plan), digest_size=16).digest()
