"""Measure how time and memory grow with the number of nodes of a graph; write ``GROWTH.md`` and ``growth.svg``.

Every measurement runs in a forked process of its own. Times are CPU times, which other programs hardly affect. The exit
status is 1 if a time or a memory grows faster than linearly over the last tenfold number of nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import html
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from tapedeck import wire
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.map_graph import plan_map
from tapedeck.map.first_view import first_view
from tapedeck.map.read import read_map
from tapedeck.map.search import search
from tapedeck.map.trees import KnownGraph
from tapedeck.recording import MemoryLog, Recording, lists
from tapedeck.store import Store
from tapedeck.tracer.main import preload

from _common import machine, p50
from large_graphs import GROWTH, SHAPES, in_process, picture, read_events, recorded, spent
from reads import write as write_events
from record import with_stack

FOLDER: Final = Path(__file__).parent
SIZES: Final = (100, 316, 1_000, 3_162, 10_000, 31_623, 100_000)
QUERIES: Final = ("mul", "line:5", "grad > 0.5", "nothing")
ROUNDS: Final = 5
TIMES: Final = {
    "record": "run and record the program, in the child",
    "store": "check and store the events",
    "tree": "make the tree of groups and choose the first view",
    "first picture": "read the first view from its events, lay it out and draw it; the layout is not cached",
    "layout": "lay out a view of up to 150 boxes, if the graph is a chain",
    "search": "the slowest of four searches, after the first one",
    "page": "100 nodes with their numbers, from the middle of the lists",
}
MEMORIES: Final = {"child": "the child that records", "server": "the server that stores and draws"}


class Point(NamedTuple):
    """What was measured for a graph: milliseconds by the names of :data:`TIMES`, megabytes by those of :data:`MEMORIES`."""

    nodes: int
    milliseconds: Mapping[str, float]
    megabytes: Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, choices=SIZES[2:], default=SIZES[-1])
    parser.add_argument("--shape", choices=SHAPES, default="chain")
    parser.add_argument("--plot", type=Path, default=FOLDER / "growth.svg", help="the report is written beside the plot")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    preload()
    gc.collect()
    gc.freeze()  # as in the zygote, from which programs are forked
    base = in_process(lambda: None).megabytes
    points = list(measured(chosen.shape, [size for size in SIZES if size <= chosen.most], base))
    chosen.plot.write_text(plot(points))
    text, good = report(points, chosen.shape, chosen.plot.name)
    chosen.plot.with_name(f"{chosen.plot.stem.upper()}.md").write_text(text)
    print(text)
    sys.exit(0 if good else 1)


def measured(shape: str, sizes: Sequence[int], base: float) -> Iterator[Point]:
    """Yield what was measured for each size. Memory is the peak of a process without that of an idle one, ``base``."""
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            file, program = Path(name) / "frames", SHAPES[shape].format(count=size)
            child = recorded(program, file)
            server = in_process(lambda p=program, f=file: served(p, f))
            nodes, milliseconds = server.result
            megabytes = {"child": child.megabytes - base, "server": server.megabytes - base}
            yield Point(nodes, {"record": 1000 * child.seconds, **milliseconds}, megabytes)


def served(program: str, file: Path) -> tuple[int, dict[str, float]]:
    """Return the number of nodes, and the milliseconds of what a server does with one recording."""
    events: list[wire.AnyEvent] = []
    taken = {"store": spent(lambda: events.extend(read_events(file)))}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        taken["store"] += spent(lambda: write_events(store, 1, program, events))
        store.close()
    graph = next(event for event in events if isinstance(event, wire.GraphEvent))
    taken["tree"] = spent(lambda: first_view(KnownGraph(graph, {}).tree))
    recording = Recording(MemoryLog(events), program)
    nodes, middle = len(graph.kind), len(graph.kind) // 2
    taken["first picture"] = spent(lambda: picture(recording))
    turns = ",".join(f"x:4/{2 * turn}" for turn in range(min(74, nodes // 4)))
    boxes = plan_map(read_map(recording, 0, 0, turns))
    taken["layout"] = spent(lambda: asyncio.run(LayoutEngine("").layout(boxes)))
    search(recording, 0, "mul", pass_index=0)  # makes the index of texts
    taken["search"] = max(_median(lambda query=query: search(recording, 0, query, pass_index=0)) for query in QUERIES)
    lists.nodes(recording, 0, 0, 1)
    taken["page"] = _median(
        lambda: (lists.nodes(recording, 0, middle, middle + 100), lists.node_numbers(recording, 0, middle, middle + 100))
    )
    return nodes, taken


def _median(work: Callable[[], object]) -> float:
    return p50([spent(work) for _ in range(ROUNDS)])


# ------------------------------------------------------------------ the report


def report(points: Sequence[Point], shape: str, plotted: str) -> tuple[str, bool]:
    """Return the text of the report, and whether nothing grows faster than linearly."""
    before, last = points[-3], points[-1]  # ten times the nodes
    times = [_row(name, [point.milliseconds[name] for point in points], points) for name in TIMES]
    memories = [_row(name, [point.megabytes[name] for point in points], points) for name in MEMORIES]
    most = GROWTH * last.nodes / before.nodes
    fast = [
        name
        for column, names in (("milliseconds", TIMES), ("megabytes", MEMORIES))
        for name in names
        if getattr(last, column)[name] > most * max(getattr(before, column)[name], 0.5)
    ]
    head = ["nodes", *(f"{point.nodes:,}" for point in points), "exponent"]
    kinds = "\n".join(f"- **{name}**: {what}." for name, what in (TIMES | MEMORIES).items())
    verdict = f"Faster than linear: {', '.join(fast)}." if fast else "Nothing grows faster than linearly."
    text = f"""# Growth with the size of a graph

Written by `python benchmarks/growth.py`, in one run, for a {shape}: {machine()}, torch {torch.__version__}. {verdict}

![Time and memory by the number of nodes, on logarithmic scales]({plotted})

The dashed lines show linear growth.

Milliseconds of CPU time:

{_markdown(head, times)}

Megabytes at the peak, beyond those of an idle process:

{_markdown(head, memories)}

{kinds}

The exponent is that of the growth from {before.nodes:,} to {last.nodes:,} nodes: 1 is linear, 2 quadratic, 0 flat.
"""
    return text, not fast


def _row(name: str, values: Sequence[float], points: Sequence[Point]) -> list[str]:
    grown = max(values[-1], 0.01) / max(values[-3], 0.01)
    exponent = math.log(grown) / math.log(points[-1].nodes / points[-3].nodes)
    return [name, *(f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for value in values), f"{exponent:.2f}"]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


# ------------------------------------------------------------------ the plot

PANEL: Final = (330, 250)
STYLE: Final = (
    "text{font:12px sans-serif;fill:#24292f}.n{font-size:10px;fill:#6e7781}.g{stroke:#d0d7de}.l{fill:none;stroke-width:1.75}"
    + "".join(f".c{index}{{stroke:{tone}}}.t{index}{{fill:{tone}}}" for index, tone in enumerate(
        ("#0969da", "#bf8700", "#8250df", "#cf222e", "#1b7c83", "#1a7f37", "#57606a")))
    + "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#8d96a0}.g{stroke:#30363d}"
    + "".join(f".c{index}{{stroke:{tone}}}.t{index}{{fill:{tone}}}" for index, tone in enumerate(
        ("#4493f8", "#d29922", "#ab7df8", "#ff7b72", "#39c5cf", "#3fb950", "#9198a1")))
    + "}"
)  # fmt: skip


def plot(points: Sequence[Point]) -> str:
    """Return the times and the memories as lines in SVG, on logarithmic scales. A dashed line shows linear growth."""
    wide, high = PANEL
    times = _panel("Milliseconds", points, {name: [point.milliseconds[name] for point in points] for name in TIMES}, 56)
    space = _panel("Megabytes", points, {name: [point.megabytes[name] for point in points] for name in MEMORIES}, wide + 210)
    size = f'width="{2 * wide + 330}" height="{high + 66}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{times}{space}</svg>\n'


def _panel(title: str, points: Sequence[Point], lines: Mapping[str, Sequence[float]], left: float) -> str:
    wide, high = PANEL
    values = [max(value, 0.1) for line in lines.values() for value in line]
    low, top = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, after = math.floor(math.log10(points[0].nodes)), math.ceil(math.log10(points[-1].nodes) - 0.01)

    def at(nodes: float, value: float) -> tuple[float, float]:
        x = left + wide * (math.log10(nodes) - first) / (after - first)
        return x, 30 + high * (top - math.log10(max(value, 10.0**low))) / (top - low)

    parts = [f'<text x="{left:g}" y="16">{title}</text>']
    for decade in range(low, top + 1):
        y = at(10**first, 10.0**decade)[1]
        parts.append(f'<path class="g" d="M{left:g} {y:.1f}h{wide}"/>')
        parts.append(f'<text class="n" x="{left - 6:g}" y="{y + 3:.1f}" text-anchor="end">{10.0**decade:,g}</text>')
    for decade in range(first, after + 1):
        x = at(10**decade, 1)[0]
        parts.append(f'<text class="n" x="{x:.1f}" y="{high + 46}" text-anchor="middle">{10**decade:,}</text>')
    parts.append(f'<text class="n" x="{left + wide / 2:g}" y="{high + 61}" text-anchor="middle">nodes</text>')
    begin = 10.0 ** (top - (after - first))  # linear growth that ends in the upper right corner
    (x0, y0), (x1, y1) = at(10**first, max(begin, 10.0**low)), at(10**after, 10.0**top)
    if begin < 10.0**low:
        x0 = at(10 ** (after - (top - low)), 1)[0]
    parts.append(f'<path class="g" stroke-dasharray="4 4" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
    labels: list[tuple[float, str]] = []
    for index, (name, line) in enumerate(lines.items()):
        placed = [at(point.nodes, value) for point, value in zip(points, line, strict=True)]
        parts.append(f'<path class="l c{index}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in placed)}"/>')
        labels.append((placed[-1][1], f'<text class="t{index}" x="{left + wide + 8:g}" y="Y">{html.escape(name)}</text>'))
    below = 0.0
    for y, label in sorted(labels):
        below = max(y + 4, below + 14)
        parts.append(label.replace('"Y"', f'"{below:.1f}"'))
    return "".join(parts)


if __name__ == "__main__":
    with_stack()
    main()
