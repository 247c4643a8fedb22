"""Time reads of recordings of 500 and of 10,000 steps and of a graph of 100,000 nodes.

The runs are made of the events of one recorded training, and are written by the store's own writer. The first time of a read
is taken just after the server has started, when nothing is cached. The medians are of later reads; half of their addresses
are new to the server, so that they measure more than its cached answers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from msgspec.structs import replace
from tapedeck import wire
from tapedeck.model import Limits, Options, Program
from tapedeck.recording import MemoryLog, usual_keys
from tapedeck.store import NewRun, Outcome, Store
from tapedeck.tracer.main import execute

from _common import Client, machine, p50, serving, table, timed
from record import MLP

SHORT, LONG, NODES = 500, 10_000, 100_000
BOUND: Final = 15.0
"""Bound on a read, in milliseconds."""
LARGE_BOUND: Final = 30.0
"""Bound on reading the first hundred nodes of the large graph, in milliseconds."""
GROWTH: Final = 3.0
"""Bound on the time of a read of the long run, as a multiple of the time of the same read of the short run."""
RECORDED: Final = 20
"""Steps that are recorded, and repeated."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="number of reads of each address")
    parser.add_argument("--short", action="store_true", help="runs of 500 and 2,000 steps, and fewer reads")
    chosen = parser.parse_args()
    rounds, long = (6, 2_000) if chosen.short else (chosen.rounds, LONG)
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder), (SHORT, long))
        with serving(folder) as (url, _):
            first = {name: timed(lambda read=read: read(Client(url), 0)) for name, read in reads(long)}
        with serving(folder) as (url, _):
            client = Client(url)
            medians = {}
            for name, read in reads(long):
                read(client, 0)
                medians[name] = p50([timed(lambda at=at, read=read: read(client, at)) for at in range(1, rounds + 1)])
    good = report(first, medians, long)
    sys.exit(0 if good else 1)


Read = Callable[[Client, int], object]


def reads(long: int) -> Iterator[tuple[str, Read]]:
    """Yield the name of each read, and a function that makes its ``at``-th request."""

    def asks(path: Callable[[int], str]) -> Read:
        return lambda client, at: client.ask("GET", path(at))

    for steps in (SHORT, long):
        run = f"/api/v1/runs/{steps:032x}"
        page = f"/r/{steps:032x}"
        yield f"run, {steps:,} steps", asks(lambda at, run=run: run)
        yield f"curves, {steps:,} steps", asks(lambda at, run=run: f"{run}/series?points={200 + at // 2}")
        yield f"step, {steps:,} steps", asks(lambda at, run=run, steps=steps: f"{run}/steps/{steps - 1 - at // 2}")
        yield f"page, {steps:,} steps", asks(lambda at, page=page, steps=steps: f"{page}?step={steps - 1 - at // 2}")
    run = f"/api/v1/runs/{NODES:032x}"
    yield f"100 of {NODES:,} nodes", asks(lambda at: f"{run}/graphs/g0/nodes?limit=100&offset={at // 2}")
    yield f"numbers of 100 of {NODES:,} nodes", asks(lambda at: f"{run}/passes/0/nodes?limit=100&offset={at // 2}")


def report(first: dict[str, float], medians: dict[str, float], long: int) -> bool:
    """Print the times, and return whether all bounds are met."""
    bounds = {name: LARGE_BOUND if "nodes" in name else BOUND for name in medians}
    rows = [
        (name, f"{first[name]:.1f}", f"{median:.1f}", f"{bounds[name]:.0f}", "met" if median <= bounds[name] else "MISSED")
        for name, median in medians.items()
    ]
    table("Reads, ms", ["read", "first", "median", "bound", ""], rows)
    print(f"\n  {machine()}")
    good = all(median <= bounds[name] for name, median in medians.items())
    for what in ("run", "curves", "step", "page"):
        growth = medians[f"{what}, {long:,} steps"] / medians[f"{what}, {SHORT:,} steps"]
        good = good and growth <= GROWTH
        print(f"  {what}: {growth:.2f} times the time at {long // SHORT} times the steps, "
              f"{'met' if growth <= GROWTH else 'MISSED'}, at most {GROWTH:g}")  # fmt: skip
    return good


def make_store(folder: Path, lengths: Sequence[int]) -> None:
    """Write runs of these numbers of steps, and one with a graph of :data:`NODES` nodes. Ids are these numbers."""
    store = Store(folder)
    program = MLP.replace("range(300)", f"range({RECORDED})")
    recorded = record(program)
    for steps in lengths:
        write(store, steps, program, list(repeated(recorded, steps)))
    write(store, NODES, "import torch\n", large_graph())
    store.close()


def write(store: Store, number: int, text: str, events: list[wire.AnyEvent]) -> None:
    log = MemoryLog(events)
    graphs, passes, steps = log.counts()
    lines = len(text.splitlines())
    new = NewRun(
        id=f"{number:032x}", owner="", program=Program(text, "program", [(1, lines)]), options=Options(), created=time.time(),
        expires=None,
    )  # fmt: skip
    outcome = Outcome(status="done", duration_ms=1.0, torch="", findings=[], graphs=graphs, passes=passes, steps=steps)
    written = store.write(new, events, 0, outcome, log.overview)
    if steps:  # as the server does when a long run ends
        shapes = [event.shape for event in events if isinstance(event, wire.ParameterEvent)]
        store.log_of(written.number, log.counts(), len(events)).series(usual_keys(shapes), 0, steps)


def record(program: str) -> list[wire.AnyEvent]:
    """Record a program in this process."""
    reader = wire.Reader(Limits())
    events: list[wire.AnyEvent] = []
    execute(wire.Job(program, [(1, len(program.splitlines()))]), lambda data: events.extend(reader.feed(data)))
    return events


def repeated(events: list[wire.AnyEvent], steps: int) -> Iterator[wire.AnyEvent]:
    """Yield the events of a training whose recorded steps are repeated until there are ``steps``."""
    positions = [at for at, event in enumerate(events) if isinstance(event, wire.PassEvent | wire.StepEvent)]
    first, last = positions[0], positions[-1] + 1
    yield from events[:first]
    for by in range(0, steps, RECORDED):
        for event in events[first:last]:
            match event:
                case wire.PassEvent():
                    yield replace(event, index=event.index + by, step=event.step + by)
                case wire.StepEvent():
                    line, iteration = event.iteration or (1, 0)
                    passes = [index + by for index in event.passes]
                    yield replace(
                        event, index=event.index + by, main=event.main + by, passes=passes, iteration=(line, iteration + by)
                    )
                case _:
                    yield event
    yield from events[last:]


def large_graph() -> list[wire.AnyEvent]:
    """Return the events of a pass over a chain of :data:`NODES` nodes with random numbers."""
    nodes = np.arange(NODES)
    none, zeros, leaf = int32(np.full(NODES, -1)), int32(np.zeros(NODES)), nodes == NODES - 1
    graph = wire.GraphEvent(
        index=0, strings=["MulBackward0", "AccumulateGrad"], kind=leaf.astype("u1").tobytes(), op=int32(leaf), call=none,
        name=none, file=none, module=none, line=int32(np.full(NODES, 4)), start_column=zeros, end_column=zeros,
        outputs=int32(np.ones(NODES)), parameter=int32(leaf - 1), saved_count=zeros, saved=b"", roots=int32(nodes[:1]),
        source=int32(nodes[:-1]), slot=zeros[4:], target=int32(nodes[1:]), input=zeros[4:], gradient=bytes([1]) * (NODES - 1),
    )  # fmt: skip
    rows = 2 * NODES
    numbers = wire.TensorTable(
        dtype=bytes(rows), flags=bytes([wire.HAS_VALUES]) * rows, grad_fn=bytes(2 * rows), ndim=bytes(rows),
        values=np.random.default_rng(0).standard_normal(rows).astype("<f4").tobytes(),
    )  # fmt: skip
    passed = wire.PassEvent(
        index=0, step=0, kind="backward", parent=-1, graph=0, line=5, order=int32(nodes), value=int32(nodes),
        arrived=int32(nodes + NODES), used=int32(nodes + NODES), edge=int32(nodes[1:] + NODES), saved=b"", tensors=numbers,
    )  # fmt: skip
    return [wire.ParameterEvent(0, "x", [], "float32", 2), graph, passed, wire.EndEvent("done", None, 1.0)]


def int32(numbers: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return numbers.astype("<i4").tobytes()


if __name__ == "__main__":
    main()
