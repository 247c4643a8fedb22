"""Flood a server: many clients at once, then many runs. Count the statuses of the responses, and measure the server's memory.

Every response must be a success, 429 or 503. Meanwhile, another client requests ``/healthz`` from time to time. The
memory after all runs is divided by the memory after the first thousand, because a ratio depends little on the machine.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from _common import connect, machine, p50, p95, serving, table

CLIENTS = 200
SECONDS = 60.0
RUNS = 20_000
EARLY = 1_000
"""Number of runs after which the memory is first measured, with full caches."""
VISITORS = 8
"""Number of simultaneous clients in the second part."""
TARGET = 1.1
"""Bound on the ratio of memory."""

TINY = "import torch\nx = torch.ones(3, requires_grad=True)\n(x * x).sum().backward()\n"
PROGRAMS = (
    TINY,
    TINY,
    "1 / 0",
    "print('x' * 100_000)",
    "import torch\nw = torch.ones(4, requires_grad=True)\nfor step in range(30):\n    (w * w).sum().backward()\n",
    "while True: pass",
)
HEALTH_SECONDS = 0.2
"""Interval between two requests for ``/healthz``."""


class Flood:
    """Clients that send programs as fast as the server allows, each with an owner of its own or without one."""

    def __init__(self, url: str, deadline: float) -> None:
        self.statuses: Counter[str] = Counter()
        self.health: list[float] = []
        self._url = url
        self._deadline = deadline
        self._lock = threading.Lock()

    def visit(self, seed: int) -> None:
        """Send programs until the time is up."""
        chance, connection, headers = random.Random(seed), connect(self._url), {"Content-Type": "text/x-python"}
        while time.monotonic() < self._deadline:
            wait = chance.choice(["wait=0", "wait=5", "wait=20"])
            try:
                connection.request("POST", "/api/v1/runs", chance.choice(PROGRAMS), headers | {"Prefer": wait})
                response = connection.getresponse()
                answer, status = response.read(), str(response.status)
                retry = float(response.headers.get("Retry-After", "0"))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                answer, status, retry = b"", type(error).__name__, 0.0
            with self._lock:
                self.statuses[status] += 1
            if status in ("200", "201", "202") and seed % 2 and "Authorization" not in headers:
                headers["Authorization"] = f"Bearer {json.loads(answer).get('owner_key')}"
            time.sleep(min(retry, 1.0))

    def watch(self) -> None:
        """Ask for ``/healthz`` until the time is up."""
        connection = connect(self._url)
        while time.monotonic() < self._deadline:
            start = time.perf_counter()
            connection.request("GET", "/healthz")
            status = str(connection.getresponse().status)
            connection.close()
            self.health.append((time.perf_counter() - start) * 1000)
            if status != "200":
                self.statuses[f"healthz {status}"] += 1
            time.sleep(HEALTH_SECONDS)


def flood(url: str, clients: int, seconds: float) -> bool:
    """Let clients flood the server. Return whether every response was a success, 429 or 503."""
    flooding = Flood(url, time.monotonic() + seconds)
    with ThreadPoolExecutor(clients + 1) as pool:
        work = [pool.submit(flooding.watch), *(pool.submit(flooding.visit, seed) for seed in range(clients))]
    for each in work:
        each.result()
    rows = [(status, f"{count:,}") for status, count in sorted(flooding.statuses.items())]
    table(f"{clients} clients for {seconds:g} s", ("status", "responses"), rows)
    print(f"\n/healthz: median {p50(flooding.health):.0f} ms, 95th percentile {p95(flooding.health):.0f} ms")
    return not {status for status in flooding.statuses if status not in ("200", "201", "202", "429", "503")}


def memory(pid: int) -> float:
    """Return the resident memory of the server in MB."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) / 1024


def age(url: str, pid: int, count: int) -> float:
    """Run ``count`` programs. Return the ratio of the memory at the end to that after ``EARLY`` runs, or after half of them."""
    early = min(EARLY, count // 2)
    left, after = iter(range(count)), {}
    lock = threading.Lock()

    def visit() -> None:
        connection = connect(url)
        while True:
            with lock:
                turn = next(left, None)
            if turn is None:
                return
            for _ in itertools.count():
                connection.request("POST", "/api/v1/runs", TINY, {"Content-Type": "text/x-python", "Prefer": "wait=60"})
                response = connection.getresponse()
                response.read()
                if response.status == 201:
                    break
                if response.status not in (202, 429, 503):
                    raise SystemExit(f"A run was answered {response.status}.")
                time.sleep(float(response.headers.get("Retry-After", "1")))
            if turn in (early, count - 1):
                after[turn] = memory(pid)

    start = time.monotonic()
    with ThreadPoolExecutor(VISITORS) as pool:
        work = [pool.submit(visit) for _ in range(VISITORS)]
    for each in work:
        each.result()
    first, last = after[early], after[count - 1]
    rows = [(f"after {early:,} runs", f"{first:.1f} MB"), (f"after {count:,} runs", f"{last:.1f} MB")]
    table(f"{count:,} runs, {count / (time.monotonic() - start):.1f} a second", ("", "memory"), rows)
    return last / first


def main() -> None:
    """Print statuses, latency and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"clients at the same time (default: {CLIENTS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"duration of the flood (default: {SECONDS:g})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs before the memory is measured (default: {RUNS})")
    chosen = parser.parse_args()
    ratio, right = 1.0, True
    print(machine())
    if chosen.clients and chosen.seconds:
        with tempfile.TemporaryDirectory() as folder, serving(folder) as (url, _):
            right = flood(url, chosen.clients, chosen.seconds)
    if chosen.runs:
        with tempfile.TemporaryDirectory() as folder, serving(folder) as (url, pid):
            ratio = age(url, pid, chosen.runs)
            print(f"\nThe ratio is {ratio:.2f}; the target is at most {TARGET}.")
    raise SystemExit(ratio > TARGET or not right)


if __name__ == "__main__":
    main()
