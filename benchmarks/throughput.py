"""Count the runs of a small program that a server records in a second for several clients, and their processor time.

Other checkouts, each with its own ``.venv``, are measured in the same run: the servers alternate. The ratio to the first one is
then comparable between machines. Processor time is that of the server and of all its processes, divided by the number of runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tapedeck.examples import FIRST_VISIT, example

from _common import Client, machine, p50, started, table

CLIENTS = 4
SECONDS = 3.0
"""Duration of each measurement."""
TICKS = os.sysconf("SC_CLK_TCK")
KINDS = ("server", "zygote", "children", "workers")
"""Kinds of processes: a server has one zygote, whose children run the programs, and workers that make findings."""


@dataclass
class Figures:
    """The measurements of one server: runs in a second, and milliseconds of processor time for each run, by kind."""

    rates: list[float] = field(default_factory=list)
    costs: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def rate(self) -> float:
        return p50(self.rates)

    def cost(self, kind: str) -> float:
        return p50(self.costs[kind])


def spent(server: int) -> Counter[str]:
    """Return the milliseconds of processor time that a server's processes have used so far, by kind."""
    below: dict[int, list[int]] = {}
    times: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parts = entry.read_text().rpartition(")")[2].split()
            below.setdefault(int(parts[1]), []).append(int(entry.parent.name))
            times[int(entry.parent.name)] = [int(ticks) for ticks in parts[11:15]]
    found: Counter[str] = Counter()

    def add(pid: int, kind: str) -> None:
        own, ended = sum(times[pid][:2]) * 1000 // TICKS, sum(times[pid][2:]) * 1000 // TICKS
        found[kind] += own
        found["children" if kind == "zygote" else kind] += ended
        for child in below.get(pid, []):
            add(child, "children" if kind == "zygote" else kind)

    found["server"] += sum(times[server][:2]) * 1000 // TICKS
    for pid in below.get(server, []):
        command = _command(pid)
        add(pid, "zygote" if "zygote" in command else "workers")
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def burst(url: str, program: bytes, seconds: float) -> tuple[int, float]:
    """Run a program again and again with all clients. Return the number of runs, and the seconds that they took."""
    end = time.monotonic() + seconds
    done = [0] * CLIENTS

    def work(index: int) -> None:
        client = Client(url)
        while time.monotonic() < end:
            run = json.loads(client.ask("POST", "/api/v1/runs", program))
            assert run["status"] == "done", run["error"]
            done[index] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), time.monotonic() - began


def measured(checkouts: Sequence[Path], rounds: int, seconds: float = SECONDS) -> list[Figures]:
    """Return the figures of the servers of several checkouts, which alternate."""
    chosen = example(FIRST_VISIT)
    assert chosen is not None
    program = chosen.program.encode()
    found = [Figures() for _ in checkouts]
    with contextlib.ExitStack() as stack:
        servers = []
        for checkout in checkouts:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            environment = {**os.environ, "TAPEDECK_RECORD_EXAMPLES": "0"}
            command = [checkout / ".venv" / "bin" / "tapedeck"] if checkout != Path() else [sys.executable, "-m", "tapedeck"]
            servers.append(stack.enter_context(started(command, folder, environment)))
        for url, _ in servers:
            burst(url, program, 1.0)
        for _ in range(rounds):
            for figures, (url, pid) in zip(found, servers, strict=True):
                time.sleep(0.5)
                before = spent(pid)
                runs, taken = burst(url, program, seconds)
                time.sleep(0.3)  # the last children are reaped
                used = spent(pid)
                figures.rates.append(runs / taken)
                for kind in KINDS:
                    figures.costs[kind].append((used[kind] - before[kind]) / runs)
    return found


def rows(names: Sequence[str], found: Sequence[Figures]) -> list[list[str]]:
    """Return the rows of a table: a name, the runs in a second, their ratio to the first, and processor time by kind."""
    return [
        [
            name,
            f"{figures.rate:.1f}",
            f"{figures.rate / found[0].rate:.2f}",
            *(f"{figures.cost(kind):.1f}" for kind in KINDS),
        ]
        for name, figures in zip(names, found, strict=True)
    ]


HEAD = ["", "runs a second", "ratio", *(f"{kind}, ms" for kind in KINDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path, action="append", default=[], help="another checkout with its own .venv")
    parser.add_argument("--rounds", type=int, default=5, help="alternating measurements of each server")
    arguments = parser.parse_args()
    checkouts = [*arguments.against, Path()]
    found = measured(checkouts, arguments.rounds)
    names = [*(each.name for each in arguments.against), "this checkout"]
    table(f"{CLIENTS} clients, {machine()}", HEAD, rows(names, found))


if __name__ == "__main__":
    main()
