"""Time the search over a graph of 100,000 nodes, and the layouts and first pictures of maps, without a server.

Searches and trees are measured in processor time of the thread, which other processes hardly affect. Layouts run in a separate
process, so their wall time is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from msgspec.structs import replace
from tapedeck import wire
from tapedeck.drawing import map_graph, picture
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.graph_layout import GraphLayout
from tapedeck.drawing.plan import LayoutPlan
from tapedeck.map.first_view import first_view
from tapedeck.map.read import read_map
from tapedeck.map.search import search
from tapedeck.map.trees import KnownGraph
from tapedeck.map.view import View
from tapedeck.model import GraphMap, MapBox, MapEdge, MapNorm
from tapedeck.recording import MemoryLog, Recording

from _common import machine, p50, table
from reads import int32, large_graph

QUERIES: Final = ("weight", "layers.31.", "e", "nothing", "line 4", "grad > 2", "nan", "weight grad < 0.001")
SEARCH_BOUND: Final = 15.0
"""Bound on a search with the hundred first hits, in milliseconds of the thread."""
LAYOUT_BOUND: Final = 150.0
"""Bound on the layout of a view of 150 boxes, in milliseconds on the clock."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(machine())
    held = [searches(rounds), layouts(rounds)]
    sys.exit(0 if all(held) else 1)


def searches(rounds: int) -> bool:
    """Print the times of searches, and return whether they are within their bound."""
    recording = named(large_graph())
    rows, held = [], True
    for query in QUERIES:
        count = search(recording, 0, query, 1, pass_index=0).count  # makes the tree and the index of texts
        taken = []
        for limit in (100, 1_000):
            find = partial(search, recording, 0, query, limit, pass_index=0)
            find()
            taken.append(p50([of_thread(find) for _ in range(rounds)]))
        held &= taken[0] <= SEARCH_BOUND
        rows.append([query, f"{count:,}", *(f"{each:.1f}" for each in taken)])
    table("Search of 100,000 nodes, in ms of the thread", ["query", "nodes", "100 hits", "1,000 hits"], rows)
    return held


def layouts(rounds: int) -> bool:
    """Print the times of layouts, and return whether they are within their bounds."""
    engine = LayoutEngine(cached=0, nested=30, seconds=30)
    rows, held = [], True
    for boxes, edges in ((18, 20), (60, 70), (150, 173), (150, 600)):
        plan = map_graph.plan_map(made(boxes, edges))
        taken = p50([on_clock(partial(laid_out, engine, plan)) for _ in range(rounds)])
        held &= taken <= LAYOUT_BOUND
        rows.append([f"{boxes} boxes, {edges} edges", f"{len(plan.links)}", f"{taken:.0f}"])
    table("Layouts, in ms on the clock", ["view", "edges in Graphviz", "layout"], rows)
    rows, pictures = [], []
    for nodes in (1_000, 100_000):
        events = chain_of(nodes)
        recording = Recording(MemoryLog(events), "import torch\n")
        tree = of_thread(partial(first_tree, events))
        view = read_map(recording, 0, 0).view
        sums = p50([of_thread(partial(read_map, recording, 0, 0, view)) for _ in range(rounds)])
        pictures.append(p50([on_clock(partial(picture_of, recording, view, engine)) for _ in range(rounds)]))
        rows.append([f"{nodes:,}", f"{tree:.0f}", f"{sums:.1f}", f"{pictures[-1] - sums:.0f}"])
    table("First view of a chain, in ms", ["nodes", "tree", "sums", "layout and SVG"], rows)
    return held


def laid_out(engine: LayoutEngine, plan: LayoutPlan) -> GraphLayout:
    return asyncio.run(engine.layout(plan))


def first_tree(events: list[wire.AnyEvent]) -> View:
    assert isinstance(events[1], wire.GraphEvent)
    return first_view(KnownGraph(events[1], {}).tree)


def picture_of(recording: Recording, view: str, engine: LayoutEngine) -> bytes:
    return asyncio.run(picture.render(recording, 0, "svg", view=view, layout="graph", engine=engine))


def named(events: list[wire.AnyEvent]) -> Recording:
    """Return a recording of the events, in which every node has a name of its own."""
    started, graph, *rest = events
    assert isinstance(graph, wire.GraphEvent)
    nodes = len(graph.kind)
    names = [f"model.layers.{index // 7}.block.{index % 7}.weight_{index}" for index in range(nodes)]
    name = int32(np.arange(len(graph.strings), len(graph.strings) + nodes))
    return Recording(MemoryLog([started, replace(graph, strings=[*graph.strings, *names], name=name), *rest]), "import torch\n")


def chain_of(nodes: int) -> list[wire.AnyEvent]:
    """Return the events of a chain: the first ``nodes`` nodes of :func:`large_graph`, or all."""
    events = large_graph()
    graph, passed = events[1], events[2]
    assert isinstance(graph, wire.GraphEvent)
    assert isinstance(passed, wire.PassEvent)
    if nodes >= len(graph.kind):
        return events
    whole = {"strings", "index", "roots", "saved"}
    short = {
        field: getattr(graph, field)[: nodes if field == "kind" else (nodes - 1) * (1 if field == "gradient" else 4)]
        if field in ("source", "slot", "target", "input", "gradient", "kind")
        else getattr(graph, field)[: 4 * nodes]
        for field in graph.__struct_fields__
        if field not in whole and isinstance(getattr(graph, field), bytes)
    }
    columns = ("order", "value", "arrived", "used")
    part = {column: getattr(passed, column)[: 4 * nodes] for column in columns} | {"edge": passed.edge[: 4 * (nodes - 1)]}
    return [events[0], replace(graph, **short), replace(passed, **part), events[3]]


def made(boxes: int, edges: int) -> GraphMap:
    """Return a map of a chain of boxes with additional edges. If there are many edges, they span many boxes."""
    random = np.random.default_rng(0)
    norm = MapNorm(1.0)
    pairs = {(index, index + 1) for index in range(boxes - 1)}
    while len(pairs) < edges:
        source = int(random.integers(0, boxes - 2))
        pairs.add((source, int(min(boxes - 1, source + 2 + random.integers(0, 6 if edges < 2 * boxes else boxes)))))
    shown = [
        MapBox(f"n{index}", "op", "mul", None, 1, None, f"n{index}", None, None, norm, norm, norm) for index in range(boxes)
    ]
    links = [MapEdge(f"n{source}", f"n{target}", 1, 1, norm, True) for source, target in sorted(pairs)]
    return GraphMap("g0", 0, "", boxes, edges, shown, [], links, [], [])


def of_thread(work: Callable[[], object]) -> float:
    """Return the processor time of this thread in milliseconds."""
    start = time.thread_time()
    work()
    return 1000 * (time.thread_time() - start)


def on_clock(work: Callable[[], object]) -> float:
    """Return the wall time in milliseconds."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
