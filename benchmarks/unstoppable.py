"""Send every hostile request of ``tests/hardening`` while a client requests ``/healthz`` every 20 ms.

For each request, the longest silence is the longest time for which that client waited for an answer. A server that processes
untrusted input in other processes, within a budget, is never silent for long. The silence without a hostile request is the part
that the machine causes. The memory of the server is compared before and after all requests.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from _common import Client, connect, machine, p95, serving, table

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.hardening.hostile import HostileRequest
from tests.hardening.hostile_sharing import REQUESTS

SILENCE_MS = 250.0
"""Bound on the longest silence."""
GROWTH = 1.1
"""Bound on the memory of the server after all requests, as a multiple of the memory before."""
INTERVAL = 0.02
"""Seconds between two requests of the monitor."""
WARM_UP = 400
"""Ordinary runs of long programs before the first measurement, enough to fill the cache of recent runs, which is small here."""
ORDINARY = b"import torch\nx = torch.ones(3, requires_grad=True)\n(x * 2).sum().backward()\n"


class Monitor:
    """A process that requests ``/healthz`` all the time. It is separate, so that this process does not delay its requests."""

    def __init__(self, url: str) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_watch, args=(url, theirs), daemon=True)
        self._process.start()

    def silences(self) -> list[float]:
        """Return the milliseconds that each answer took since the last call."""
        self._ours.send(None)
        taken: list[float] = self._ours.recv()
        return taken

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()


def _watch(url: str, asked: Connection) -> None:
    connection = connect(url)
    taken: list[float] = []
    while True:
        start = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        taken.append((time.perf_counter() - start) * 1000)
        if asked.poll():
            asked.recv()
            asked.send(taken)
            taken = []
        time.sleep(max(0.0, INTERVAL - (time.perf_counter() - start)))


@contextmanager
def watching(url: str) -> Iterator[Monitor]:
    monitor = Monitor(url)
    try:
        yield monitor
    finally:
        monitor.stop()


def send(url: str, request: HostileRequest, run: str) -> int:
    """Send a request on a connection of its own, and return the status; 0 if the server closed the connection instead."""
    connection = connect(url)
    headers = {"Content-Type": request.media_type, **request.headers}
    try:
        connection.request(request.method, request.path.format(run=run), request.build(), headers)
        response = connection.getresponse()
        response.read()
    except (ConnectionError, http.client.HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()


def memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Print the longest silence and the status of each request, and the memory before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="send only requests whose name contains this text")
    chosen = [request for request in REQUESTS if parser.parse_args().only in request.name]
    rows: list[tuple[float, tuple[str, ...]]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(folder, TAPEDECK_LIMIT_WALL_SECONDS="2", TAPEDECK_MEMORY_MB="64") as (url, pid),
        watching(url) as monitor,
    ):
        client = Client(url)
        for _ in range(WARM_UP):
            run = json.loads(client.ask("POST", "/api/v1/runs", ORDINARY + b"#" * 200_000))["id"]
            client.ask("GET", f"/r/{run}")
        time.sleep(1)
        monitor.silences()
        time.sleep(2)
        alone = monitor.silences()
        before = memory(pid)
        failures = []
        for request in chosen:
            start = time.perf_counter()
            status = send(url, request, run)
            took = time.perf_counter() - start
            silence = max(monitor.silences())
            rows.append((silence, (request.name, f"{status}", f"{took:.2f} s", f"{silence:.0f} ms")))
            if not 200 <= status < 500:
                failures.append(request.name)
        time.sleep(2)
        after = memory(pid)
    rows.sort(reverse=True)
    print(machine())
    table(
        f"{len(rows)} hostile requests, the longest silences first",
        ("", "status", "took", "silence"),
        [row for _, row in rows[:30]],
    )
    worst, growth = rows[0][0], after / before
    print(f"\nLongest silence: {worst:.0f} ms, at most {SILENCE_MS:.0f} is wanted. Without a request: {max(alone):.0f} ms, "
          f"95th percentile {p95(alone):.0f} ms.")  # fmt: skip
    print(
        f"Memory of the server: {before:.0f} MB before, {after:.0f} MB after, a ratio of {growth:.2f}; at most {GROWTH} is "
        "wanted."
    )
    if failures:
        print(f"Not answered, or with a status of 5xx: {', '.join(failures)}")
    raise SystemExit(bool(failures) or worst > SILENCE_MS or growth > GROWTH)


if __name__ == "__main__":
    main()
