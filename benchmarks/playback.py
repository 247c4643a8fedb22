"""Measure how a recorded training is stored and read, on a real, warm server, sandbox and HTTP included.

The benchmark measures:

- the stored size of a scalar regression and of a small network,
- the time to read all series, one step, and a hundred passes by columns,
- the delay of the first step in the event stream,
- the growth of the server's memory while ten thousand steps are streamed.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
import time
from pathlib import Path

from _common import Client, connect, machine, p50, p95, serving, table, timed
from record import MLP, REGRESSION

SLOW = REGRESSION.replace("0.01", "0.001")
LONG = SLOW.replace("range(1000)", "range(10000)")
STEADY = "import time\n" + SLOW.replace("    m.grad = None\n", "    m.grad = None\n    time.sleep(0.01)\n").replace(
    "range(1000)", "range(100)"
)
"""A program that pauses after each step, so that the event of a step cannot wait for the next one."""
KEYS = ("loss", "p0", "p0.value_after", "p0.grad", "p0.grad_used", "p0.contribution", "p0.update", "iteration")
BOUNDS = {
    "regression, bytes stored": 60_000,
    "network, bytes stored a step": 4_000,
    "all series, ms": 30,
    "one step, p50 ms": 5,
    "first step streamed after, ms": 50,
}


class StoreClient(Client):
    """Client of a server whose store can be inspected."""

    def __init__(self, url: str, folder: str) -> None:
        super().__init__(url)
        self._url = url
        self._store = Path(folder) / "tapedeck.sqlite3"

    def run(self, program: str, wait: int = 60) -> dict[str, object]:
        """Run a program and return the run, which has ended unless ``wait`` is 0."""
        run = json.loads(self.ask("POST", "/api/v1/runs", program.encode(), Prefer=f"wait={wait}"))
        assert wait == 0 or run["status"] == "done", run["error"]
        return run  # type: ignore[no-any-return]

    def stored(self, id: object) -> int:
        """Return the bytes of a run's blocks in the store, including 40 bytes of keys for each."""
        with sqlite3.connect(self._store) as connection:
            query = "SELECT sum(length(payload) + 40) FROM blocks JOIN runs ON run = number WHERE id = ?"
            return int(connection.execute(query, (id,)).fetchone()[0])

    def follow(self, id: object) -> list[tuple[float, str, dict[str, object]]]:
        """Return the events of a run, each with the time of its arrival."""
        connection = connect(self._url)
        connection.request("GET", f"/api/v1/runs/{id}/events")
        response = connection.getresponse()
        found = []
        name = ""
        while line := response.readline().decode():
            if line.startswith("event: "):
                name = line[7:].strip()
            elif line.startswith("data: "):
                found.append((time.time(), name, json.loads(line[6:])))
        connection.close()
        return found


def memory(pid: int) -> float:
    """Return the resident memory of a process in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def stored(client: StoreClient) -> tuple[str, list[list[str]], dict[str, float]]:
    """Measure the stored size of two trainings, in total and for each step."""
    regression, network = client.run(SLOW), client.run(MLP)
    sizes = client.stored(regression["id"]), client.stored(network["id"])
    rows = [
        ["scalar regression, 1000 steps", f"{sizes[0] / 1000:.1f} kB", f"{sizes[0] / 1000:.0f} B"],
        ["MLP 2-64-64-1, batch 64, 300 steps", f"{sizes[1] / 1000:.1f} kB", f"{sizes[1] / 300:.0f} B"],
    ]
    figures = {"regression, bytes stored": sizes[0], "network, bytes stored a step": sizes[1] / 300}
    return f"/api/v1/runs/{regression['id']}", rows, figures


def answers(client: StoreClient, run: str, rounds: int) -> tuple[list[list[str]], dict[str, float]]:
    """Time reads of a run."""
    query = "&".join(f"key={key}" for key in KEYS)
    calls = {
        f"{len(KEYS)} series of 1000 steps": lambda: client.ask("GET", f"{run}/series?{query}"),
        "the same, packed": lambda: client.ask("GET", f"{run}/series?{query}", Accept="application/msgpack"),
        "one step": lambda: client.ask("GET", f"{run}/steps/{random.randrange(1000)}"),
        "100 passes by columns": lambda: client.ask("GET", f"{run}/frames?start={random.randrange(900)}&count=100"),
    }
    rows = []
    figures = {}
    for name, call in calls.items():
        times = [timed(call) for _ in range(rounds)]
        rows.append([name, f"{times[0]:.1f}", f"{p50(times):.1f}", f"{p95(times):.1f}"])
        if name.endswith("series of 1000 steps"):
            figures["all series, ms"] = max(times[0], p50(times))
        elif name == "one step":
            figures["one step, p50 ms"] = p50(times)
    return rows, figures


def streamed(client: StoreClient, pid: int, rounds: int) -> tuple[list[list[str]], dict[str, float]]:
    """Measure the delay of the first step in the stream, and memory while ten thousand steps are streamed."""
    clocked = STEADY.replace("    time.sleep", "    if step == 0: print(time.time())\n    time.sleep")
    delays = []
    for _ in range(rounds):
        events = client.follow(client.run(clocked, wait=0)["id"])
        first = next(at for at, name, _ in events if name == "step")
        printed = next(float(str(data["text"])) for _, name, data in events if name == "output")
        delays.append((first - printed) * 1000)
    id = client.run(LONG, wait=0)["id"]
    samples = [memory(pid)]
    done = 0
    while done < 10_000:
        run = json.loads(client.ask("GET", f"/api/v1/runs/{id}"))
        done = run["steps"]
        samples.append(memory(pid))
        if run["status"] not in ("queued", "running"):
            break
        time.sleep(0.2)
    rows = [
        ["first step streamed after its end", f"{p50(delays):.0f} ms", f"{max(delays):.0f} ms"],
        [f"server's memory over {done:,} steps, at the start and at most", f"{samples[0]:.0f} MB", f"{max(samples):.0f} MB"],
    ]
    return rows, {"first step streamed after, ms": p50(delays)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="reads of each kind")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        with serving(folder, TAPEDECK_LIMIT_WALL_SECONDS="60") as (url, pid):
            client = StoreClient(url, folder)
            run, sizes, figures = stored(client)
            table("Size in the store", ["", "total", "per step"], sizes)
            warm, more = answers(client, run, rounds)
            table("Just recorded, ms", ["", "first", "p50", "p95"], warm)
            streams, delays = streamed(client, pid, min(rounds, 10))
            table("While the program runs", ["", "p50", "most"], streams)
            figures |= delays
        with serving(folder) as (url, _):  # another process, with nothing in memory
            cold, read = answers(StoreClient(url, folder), run, rounds)
            table("From the store, ms", ["", "first", "p50", "p95"], cold)
        figures |= {name: max(value, read[name]) for name, value in more.items()}
    table("", ["", "measured", "bound"], [[name, f"{figures[name]:,.0f}", f"{most:,}"] for name, most in BOUNDS.items()])
    print(f"\n  {machine()}")


if __name__ == "__main__":
    main()
