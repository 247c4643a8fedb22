"""Keep a server busy with runs and reads, and compare its latency and memory at the end with those at the start.

Several visitors run programs and read recordings, new and old ones, at the same time. The values of the last tenth are divided
by those of the first tenth after a warm-up, because a ratio depends little on the machine. A ratio near 1 means that the server
became neither slower nor larger. Latency depends on what else the machine does; the processor time of the server does not. The
second table has every tenth, because a cache that fills grows at first and then no longer: compare memory with a later tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tapedeck.examples import FIRST_VISIT, example

from _common import Client, machine, p50, p95, serving, table

COUNT = 5_000
"""Runs and reads in total."""
FEWEST = 400
"""The smallest count with which each tenth has a few runs and takes measurable processor time."""
VISITORS = 4
"""Clients at the same time."""
READS = 7
"""Reads for each run."""
PAGES = ("", "", "/steps")
"""Pages that a read asks for, below the address of the run."""
WARM_UP = 0.3
"""Share of the runs and reads that are not counted: until then, the caches fill, and most reads find a recent run in them."""
TARGET = 1.3
"""Bound on each ratio of a median, of processor time and of memory."""
MEASURED = {
    "run, median": "ms", "read, median": "ms", "processor time of a turn": "ms", "memory": "MB", "run, 95th percentile": "ms",
    "read, 95th percentile": "ms",
}  # fmt: skip
"""What is measured, with its unit."""

TRAINING = """\
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(net.parameters())
x, y = torch.randn(64, 4), torch.randn(64, 1)
for step in range(20):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
"""
GRAPHS = """\
import torch
for length in range(1, 60):
    x = torch.ones(3, requires_grad=True)
    y = x
    for _ in range(length):
        y = y * 0.9
    y.sum().backward()
"""
FAILS = "import torch\nx = torch.ones(3, requires_grad=True)\n(x * 2).backward()\n"


@dataclass(frozen=True)
class Tenth:
    """The values of some turns: ``medians`` and ``slow`` are in the order of :data:`MEASURED`."""

    medians: list[float]
    slow: list[float]

    @classmethod
    def of(
        cls, times: dict[str, list[tuple[int, float]]], samples: list[tuple[int, float, float]], start: int, end: int
    ) -> Tenth:
        """Return the values of the turns from ``start`` to ``end``. ``samples`` has turns, memory and processor time."""
        of_kind = [[value for turn, value in times[kind] if start <= turn < end] for kind in ("run", "read")]
        within = [each for each in samples if start <= each[0] < end] or samples[-1:]
        first, last = within[0], within[-1]
        each_turn = 1000 * (last[2] - first[2]) / max(1, last[0] - first[0])
        return cls([*map(p50, of_kind), each_turn, p50([memory for _, memory, _ in within])], [*map(p95, of_kind)])


class Visitors:
    """Clients that run programs and read runs. ``times`` are seconds since the start and milliseconds, by kind."""

    def __init__(self, url: str, count: int) -> None:
        self.times: dict[str, list[tuple[int, float]]] = {"run": [], "read": []}
        self._url = url
        self._left = iter(range(count))
        self._lock = threading.Lock()
        self._known: list[str] = []
        self._programs = [TRAINING, GRAPHS, FAILS, example(FIRST_VISIT).program]

    def visit(self, seed: int) -> None:
        """Run programs and read recordings until all turns are done."""
        client, chance = Client(self._url), random.Random(seed)
        while True:
            with self._lock:
                turn = next(self._left, None)
            if turn is None:
                return
            run = not self._known or turn % (READS + 1) == 0
            start = time.perf_counter()
            if run:
                answer = client.ask("POST", "/api/v1/runs", chance.choice(self._programs).encode(), Prefer="wait=30")
                with self._lock:
                    self._known.append(json.loads(answer)["id"])
            else:
                # most visitors read new runs, and some read old ones
                id = chance.choice(self._known[-20:] if chance.random() < 0.7 else self._known)
                client.ask("GET", f"/api/v1/runs/{id}" + chance.choice(PAGES))
            with self._lock:
                self.times["run" if run else "read"].append((turn, (time.perf_counter() - start) * 1000))


def processor(pid: int) -> float:
    """Return the processor time of the server in seconds, without that of the programs, which run in other processes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the resident memory of the server in MB."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) / 1024


def main() -> None:
    """Print latency and memory at the start and at the end, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help=f"runs and reads in total (default: {COUNT})")
    count = parser.parse_args().count
    if count < FEWEST:
        parser.error(f"--count must be at least {FEWEST}")
    with tempfile.TemporaryDirectory() as folder, serving(folder) as (url, pid), ThreadPoolExecutor(VISITORS) as pool:
        visitors = Visitors(url, count)
        samples: list[tuple[int, float, float]] = []
        working = [pool.submit(visitors.visit, seed) for seed in range(VISITORS)]
        while not all(each.done() for each in working):
            samples.append((sum(map(len, visitors.times.values())), memory(pid), processor(pid)))
            time.sleep(0.2)
        for each in working:
            each.result()
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6
    warm = int(count * WARM_UP)
    tenths = [
        Tenth.of(visitors.times, samples, warm + (count - warm) * at // 10, warm + (count - warm) * (at + 1) // 10)
        for at in range(10)
    ]
    first, last = tenths[0], tenths[-1]
    worst = max(after / before for before, after in zip(first.medians, last.medians, strict=True))
    rows = [
        (name, f"{before:.1f} {unit}", f"{after:.1f} {unit}", f"{after / before:.2f}")
        for (name, unit), before, after in zip(
            MEASURED.items(), [*first.medians, *first.slow], [*last.medians, *last.slow], strict=True
        )
    ]
    print(machine())
    table(f"{count} runs and reads by {VISITORS} visitors, {stored:.1f} MB stored", ("", "start", "end", "ratio"), rows)
    head = ("tenth", *(f"{name}, {unit}" for name, unit in list(MEASURED.items())[:4]))
    table("Every tenth", head, [(str(at), *(f"{value:.1f}" for value in each.medians)) for at, each in enumerate(tenths, 1)])
    print(f"\nThe largest ratio of a median is {worst:.2f}; the target is at most {TARGET}.")
    raise SystemExit(worst > TARGET)


if __name__ == "__main__":
    main()
