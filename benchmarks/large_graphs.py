"""Time large graphs from 100 to 100,000 nodes: recorded, stored, drawn as a map, opened and searched.

Every measurement runs in a forked process of its own. Times are CPU times, because other processes share the machine;
those of layouts are not. Bounds are checked in the same run. The exit status is 1 if one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import pickle
import random
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import torch
from tapedeck import wire
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.map_graph import plan_map
from tapedeck.drawing.picture import render, shared_engine
from tapedeck.map.read import read_map
from tapedeck.map.search import search
from tapedeck.model import GraphMap, Limits
from tapedeck.recording import MemoryLog, Recording
from tapedeck.store import Store
from tapedeck.tracer.backward.graphs import Graphs
from tapedeck.tracer.main import execute, preload

from _common import machine, p50, p95, table, timed
from reads import write as write_events
from record import with_stack

SIZES: Final = (100, 1_000, 10_000, 100_000)
LINES: Final = (1_000, 20_000)
GROWTH: Final = 1.5
"""Bound on the time for each node or line of the largest size, as a multiple of that of the size before."""

START = "import torch\nx = torch.ones(3, requires_grad=True)\n"
SHAPES = {
    "chain": START + "y = x\nfor i in range({count}):\n    y = y * 1.0001\ny.sum().backward()\n",
    "fan-in": START + "parts = [x * i for i in range({count})]\ntorch.stack(parts).sum().backward()\n",
    "wide": START + "parts = [torch.ones(3, requires_grad=True) * x for i in range({count} // 2)]\n"
    "torch.stack(parts).sum().backward()\n",
    "many roots": START
    + "y = x.sum()\nroots = []\nfor i in range({count} // 2):\n    y = y * 1.0001\n    roots.append(y * 2)\n"
    "torch.autograd.backward(roots)\n",
}
GPT = """\
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))
    def forward(self, x):
        q, k, v = self.qkv(self.ln_1(x)).chunk(3, -1)
        x = x + self.out((q @ k.transpose(-1, -2)).softmax(-1) @ v)
        return x + self.mlp(self.ln_2(x))
class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.h = nn.ModuleList([Block() for _ in range(48)])
        self.head = nn.Linear(8, 5, bias=False)
        self.head.weight = self.embed.weight
    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.h:
            x = block(x)
        return self.head(x)
model = GPT()
tokens = torch.arange(5)[None]
nn.functional.cross_entropy(model(tokens).view(-1, 5), tokens.view(-1)).backward()
"""
WALKED = """\
import torch
x = torch.ones((), requires_grad=True)
(x * 1.0).backward()
for _ in range({count}):
    x = x * 1.0
x
"""
"""A graph that no pass reaches is recorded at the end of the program. Half of its nodes are operations."""


class Measured(NamedTuple):
    """The result of a function in a process of its own, with the CPU time and the peak memory of the process."""

    result: Any
    seconds: float
    megabytes: float


def in_process(work: Callable[[], object]) -> Measured:
    """Call a function in a forked process."""
    gc.collect()
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        status = 1
        try:
            with os.fdopen(send, "wb") as pipe:
                pickle.dump(work(), pipe)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        data = pipe.read()
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit("A measurement failed.")
    return Measured(pickle.loads(data), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def spent(work: Callable[[], object]) -> float:
    """Return the milliseconds of CPU time that a call takes, with those of processes that it starts and waits for."""
    before = busy()
    work()
    return (busy() - before) * 1000


def busy() -> float:
    """Return the seconds of CPU time of this process and of those that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


# ------------------------------------------------------------------ recording


def recorded(program: str, file: Path) -> Measured:
    """Record a program and write the frames of its events to a file."""

    def work() -> None:
        with file.open("wb") as frames:
            execute(wire.Job(program, [(1, program.count("\n"))]), frames.write)

    return in_process(work)


def read_events(file: Path) -> list[wire.AnyEvent]:
    return list(wire.Reader(Limits()).feed(file.read_bytes()))


class Stages(NamedTuple):
    """The milliseconds for which a server is busy with one recording."""

    read: float
    stored: float
    drawn: float
    nodes: int


def stages(program: str, file: Path) -> Stages:
    """Check the events of a recording, store them, and draw the first picture of its last pass."""
    events: list[wire.AnyEvent] = []
    read = spent(lambda: events.extend(read_events(file)))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        stored = spent(lambda: write_events(store, 1, program, events))
        store.close()
    recording = Recording(MemoryLog(events), program)
    drawn = spent(lambda: picture(recording))
    return Stages(read, stored, drawn, recording.log.graph_sizes()[-1][0])


_runner = asyncio.Runner()


def picture(recording: Recording, view: str | None = None) -> bytes:
    """Draw the last pass of a recording, in its first or a given view. Earlier layouts are taken from a cache."""
    passes = recording.log.counts()[1]
    return _runner.run(render(recording, passes - 1, "svg", engine=shared_engine(), view=view))


def by_size(folder: Path, shapes: Sequence[str], most: int) -> Iterator[tuple[str, int, Measured, Measured]]:
    for shape in shapes:
        for count in SIZES:
            if count <= most:
                program, file = SHAPES[shape].format(count=count), folder / f"{shape}-{count}"
                yield shape, count, recorded(program, file), in_process(lambda p=program, f=file: stages(p, f))


# ------------------------------------------------------------------ the map of one recording


def opened(recording: Recording, count: int = 60) -> list[float]:
    """Return the milliseconds in which random groups are opened and drawn, each in the view with the previous ones."""
    choose = random.Random(0)
    view: str | None = None
    times = []
    for _ in range(count):
        shown = mapped(recording, view)
        openable = [box.view for box in shown.boxes if box.view is not None]
        view = choose.choice(openable) if openable and len(shown.boxes) < 150 else None
        times.append(spent(lambda at=view: picture(recording, at)))
    return times


def mapped(recording: Recording, view: str | None) -> GraphMap:
    return read_map(recording, 0, 0, view)


def layout(recording: Recording, loop: str) -> tuple[int, float]:
    """Return the number of boxes of views with many open turns, and the milliseconds until such a view is laid out."""
    views = [",".join(f"{loop}/{2 * turn + first}" for turn in range(74)) for first in range(1, 8)]
    maps = [mapped(recording, view) for view in views]
    times = [timed(lambda of=shown: _runner.run(LayoutEngine("").layout(plan_map(of)))) for shown in maps]  # nothing cached
    return len(maps[0].boxes), p50(times[1:])


def searched(recording: Recording, *queries: str) -> float:
    """Return the milliseconds of the slowest of some searches, each repeated on a graph that has been searched before."""
    for query in queries:
        search(recording, 0, query, pass_index=0)
    return max(p50([spent(lambda q=query: search(recording, 0, q, pass_index=0)) for _ in range(5)]) for query in queries)


def of_file(file: Path, work: Callable[..., Any], *given: Any) -> Any:
    """Return the result of a function of the recording in a file."""
    return in_process(lambda: work(Recording(MemoryLog(read_events(file)), "\n" * 100), *given)).result


def against_torchviz(count: int, rounds: int) -> float:
    """Return the time to walk a graph and emit it, as a multiple of the time in which torchviz writes it as DOT.

    Both begin with a tensor whose graph has not been visited, and end with bytes or text. The calls have been recorded before.
    """
    import torchviz

    sys.setrecursionlimit(10**6)  # torchviz is recursive
    text = WALKED.format(count=count)
    ours, theirs = [], []
    for _ in range(rounds):
        began: list[float] = []
        written: list[float] = []

        def graphs_of(graphs: Graphs, tensors: Sequence[torch.Tensor], began: list[float] = began) -> list[int]:
            began.append(busy())
            return _graphs_of(graphs, tensors)

        def write(frames: bytes, written: list[float] = written) -> None:
            written.append(busy())

        with mock.patch.object(Graphs, "graphs_of", graphs_of):
            execute(wire.Job(text, [(1, text.count("\n"))]), write)
        ours.append((written[-1] - began[0]) * 1000)
        y = torch.ones((), requires_grad=True)
        for _ in range(count):
            y = y * 1.0
        theirs.append(spent(lambda y=y: torchviz.make_dot(y)))
    return p50(ours) / p50(theirs)


_graphs_of = Graphs.graphs_of


# ------------------------------------------------------------------ the report


class Check(NamedTuple):
    what: str
    found: str
    bound: str
    met: bool


def at_most(what: str, value: float, bound: float, unit: str = "") -> Check:
    return Check(what, f"{value:.3g}{unit}", f"{bound:g}{unit}", value <= bound)


def sizes(folder: Path, shapes: Sequence[str], most: int) -> Iterator[Check]:
    """Time each shape at each size, print the table, and yield the checks."""
    rows = []
    before: dict[str, tuple[int, float]] = {}
    for shape, count, child, server in by_size(folder, shapes, most):
        done: Stages = server.result
        server_seconds = (done.read + done.stored) / 1000
        rows.append(
            (f"{shape}, {done.nodes:,} nodes", f"{child.seconds:.2f}", f"{child.megabytes:.0f}", f"{server_seconds:.2f}",
             f"{server.megabytes:.0f}", f"{done.drawn:.0f}")
        )  # fmt: skip
        cost = (child.seconds + server_seconds + done.drawn / 1000) / count
        if count >= SIZES[2]:
            if count == most and shape in before:
                yield at_most(f"{shape}: a node of {count:,} to one of {before[shape][0]:,}", cost / before[shape][1], GROWTH)
            before[shape] = count, cost
        if shape == "chain" and count == SIZES[-1]:
            yield at_most(
                "chain of 100,000: recorded, stored, drawn", child.seconds + server_seconds + done.drawn / 1000, 6, " s"
            )
            yield at_most("chain of 100,000: memory of the child", child.megabytes / 1024, 1.5, " GB")
            yield at_most("chain of 100,000: tree and picture", done.drawn, 400, " ms")
    head = ["", "recorded s", "child MB", "stored s", "server MB", "picture ms"]
    table("Large graphs: CPU time and peak memory by size", head, rows)


def straight_lines(folder: Path) -> Iterator[Check]:
    seconds = []
    for count in LINES:
        lines = "".join(f"y{i + 1} = y{i} * 1.01\nz{i} = y{i + 1}.sum()\n" for i in range(count // 2))
        seconds.append(recorded(START + "y0 = x * 1\n" + lines, folder / "lines").seconds)
    yield at_most("20,000 straight lines", seconds[1], 10, " s")
    yield at_most("a line of 20,000 to one of 1,000", seconds[1] / seconds[0] / (LINES[1] / LINES[0]), GROWTH)


def maps(folder: Path, most: int) -> Iterator[Check]:
    recorded(GPT, folder / "gpt")
    largest, small = folder / f"chain-{most}", folder / "chain-1000"
    done = in_process(lambda: stages(GPT, folder / "gpt")).result
    yield at_most("GPT of 48 blocks: first picture", done.drawn, 250, " ms")
    yield at_most("GPT of 48 blocks: open a group, p95", p95(of_file(folder / "gpt", opened)), 150, " ms")
    yield at_most(f"chain of {most:,}: open a group, p95", p95(of_file(largest, opened)), 150, " ms")
    (few, first), (boxes, second) = (of_file(file, layout, "x:4") for file in (small, largest))
    yield at_most(f"{boxes} boxes of {most:,} nodes, to {few} of 1,000: layout", second / first, GROWTH)
    found = of_file(largest, searched, "mul", "line:5", "grad > 0.5", "nothing")
    yield at_most(f"chain of {most:,}: search", found, 15, " ms")


def walked(rounds: int) -> Iterator[Check]:
    if find_spec("torchviz") is None:
        print("\n  Not compared with torchviz: `pip install torchviz` first.")
        return
    found = in_process(lambda: against_torchviz(5_000, rounds)).result
    yield at_most("5,000 nodes: walked and emitted, to torchviz", found, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="all shapes up to the largest size, which takes minutes")
    parser.add_argument("--most", type=int, choices=SIZES[1:], default=SIZES[-1], help="largest size of the chain")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds against torchviz")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    preload()
    gc.collect()
    gc.freeze()  # as in the zygote, from which programs are forked
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        others = [shape for shape in SHAPES if shape != "chain"]
        checks = [
            *sizes(folder, ["chain"], chosen.most),
            *sizes(folder, others, SIZES[-1] if chosen.all else min(chosen.most, SIZES[-2])),
            *straight_lines(folder),
            *maps(folder, chosen.most),
            *walked(chosen.rounds),
        ]
    rows = [(check.what, check.found, check.bound, "met" if check.met else "MISSED") for check in checks]
    table("Bounds", ["", "found", "at most", ""], rows)
    print(f"\n  {machine()}, torch {torch.__version__}")
    sys.exit(0 if all(check.met for check in checks) else 1)


if __name__ == "__main__":
    with_stack()
    main()
