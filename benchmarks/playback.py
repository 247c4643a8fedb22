"""Measure how a recorded training is kept and given out: by a real, warm server, a sandbox and HTTP included.

How much a thousand steps of a scalar regression and three hundred of a small network take in the store; how long all series
in one answer, one step, and a hundred passes by columns take; how soon the first step is told; and how the server's memory
grows while ten thousand steps stream past.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
import time
from pathlib import Path

from _common import connect, machine, p50, p95, serving, table, timed
from record import MLP, REGRESSION

SLOW = REGRESSION.replace("0.01", "0.001")
LONG = SLOW.replace("range(1000)", "range(10000)")
STEADY = "import time\n" + SLOW.replace("    m.grad = None\n", "    m.grad = None\n    time.sleep(0.01)\n").replace(
    "range(1000)", "range(100)"
)
"""Pauses after each step, so that telling it cannot wait for the next."""
KEYS = ("loss", "p0", "p0.value_after", "p0.grad", "p0.grad_used", "p0.contribution", "p0.update", "iteration")
BOUNDS = {
    "regression, bytes stored": 60_000,
    "network, bytes stored a step": 4_000,
    "all series, ms": 30,
    "one step, p50 ms": 5,
    "first step told after, ms": 50,
}


class Server:
    """A server that is asked over one connection."""

    def __init__(self, url: str, folder: str) -> None:
        self._connection = connect(url)
        self._url = url
        self._store = Path(folder) / "tapedeck.sqlite3"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """One request; anything but success ends the benchmark."""
        given = {"Content-Type": "text/x-python"} if body else {}
        self._connection.request(method, path, body, given | {name.replace("_", "-"): text for name, text in headers.items()})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status not in (200, 201, 202):
            raise SystemExit(f"{method} {path}: {response.status} {answer[:300].decode()}")
        return answer

    def run(self, program: str, wait: int = 60) -> dict[str, object]:
        """Run a program to its end."""
        run = json.loads(self.ask("POST", "/api/v1/runs", program.encode(), Prefer=f"wait={wait}"))
        assert wait == 0 or run["status"] == "done", run["error"]
        return run  # type: ignore[no-any-return]

    def stored(self, id: object) -> int:
        """Bytes of a run's blocks in the store, with what finds them."""
        with sqlite3.connect(self._store) as connection:
            query = "SELECT sum(length(payload) + 40) FROM blocks JOIN runs ON run = number WHERE id = ?"
            return int(connection.execute(query, (id,)).fetchone()[0])

    def follow(self, id: object) -> list[tuple[float, str, dict[str, object]]]:
        """The events of a run, each with the time at which it came."""
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
    """Megabytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def stored(asked: Server) -> tuple[str, list[list[str]], dict[str, float]]:
    """How much two trainings take, in whole and a step."""
    regression, network = asked.run(SLOW), asked.run(MLP)
    sizes = asked.stored(regression["id"]), asked.stored(network["id"])
    rows = [
        ["scalar regression, 1000 steps", f"{sizes[0] / 1000:.1f} kB", f"{sizes[0] / 1000:.0f} B"],
        ["MLP 2-64-64-1, batch 64, 300 steps", f"{sizes[1] / 1000:.1f} kB", f"{sizes[1] / 300:.0f} B"],
    ]
    figures = {"regression, bytes stored": sizes[0], "network, bytes stored a step": sizes[1] / 300}
    return f"/api/v1/runs/{regression['id']}", rows, figures


def answers(asked: Server, run: str, rounds: int) -> tuple[list[list[str]], dict[str, float]]:
    """How long reading takes."""
    query = "&".join(f"key={key}" for key in KEYS)
    calls = {
        f"{len(KEYS)} series of 1000 steps": lambda: asked.ask("GET", f"{run}/series?{query}"),
        "the same, packed": lambda: asked.ask("GET", f"{run}/series?{query}", Accept="application/msgpack"),
        "one step": lambda: asked.ask("GET", f"{run}/steps/{random.randrange(1000)}"),
        "100 passes by columns": lambda: asked.ask("GET", f"{run}/frames?start={random.randrange(900)}&count=100"),
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


def streamed(asked: Server, pid: int, rounds: int) -> tuple[list[list[str]], dict[str, float]]:
    """How soon the first step is told, and how memory grows with ten thousand."""
    clocked = STEADY.replace("    time.sleep", "    if step == 0: print(time.time())\n    time.sleep")
    delays = []
    for _ in range(rounds):
        told = asked.follow(asked.run(clocked, wait=0)["id"])
        first = next(at for at, name, _ in told if name == "step")
        printed = next(float(str(data["text"])) for _, name, data in told if name == "output")
        delays.append((first - printed) * 1000)
    id = asked.run(LONG, wait=0)["id"]
    samples = [memory(pid)]
    done = 0
    while done < 10_000:
        run = json.loads(asked.ask("GET", f"/api/v1/runs/{id}"))
        done = run["steps"]
        samples.append(memory(pid))
        if run["status"] not in ("queued", "running"):
            break
        time.sleep(0.2)
    rows = [
        ["first step told after it ended", f"{p50(delays):.0f} ms", f"{max(delays):.0f} ms"],
        [f"server's memory over {done:,} steps, start and most", f"{samples[0]:.0f} MB", f"{max(samples):.0f} MB"],
    ]
    return rows, {"first step told after, ms": p50(delays)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        with serving(folder, TAPEDECK_LIMIT_WALL_SECONDS="60") as (url, pid):
            asked = Server(url, folder)
            run, sizes, figures = stored(asked)
            table("Kept in the store", ["", "in whole", "a step"], sizes)
            warm, more = answers(asked, run, rounds)
            table("Just recorded, ms", ["", "first", "p50", "p95"], warm)
            streams, told = streamed(asked, pid, min(rounds, 10))
            table("While it runs", ["", "p50", "most"], streams)
            figures |= told
        with serving(folder) as (url, _):  # another process, which has none of it in memory
            cold, read = answers(Server(url, folder), run, rounds)
            table("From the store, ms", ["", "first", "p50", "p95"], cold)
        figures |= {name: max(value, read[name]) for name, value in more.items()}
    table("", ["", "found", "at most"], [[name, f"{figures[name]:,.0f}", f"{most:,}"] for name, most in BOUNDS.items()])
    print(f"\n  {machine()}")


if __name__ == "__main__":
    main()
