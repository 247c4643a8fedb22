"""Kill children, the zygote and the server at random moments under load, and check that no acknowledged run is lost.

Clients post runs all the time. A run is acknowledged once the server has answered 201 or 202. After each kill, the time until
the server accepts programs again is measured; after the last one, every acknowledged run is read, with its last step.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _common import machine, table

KINDS = ("child",) * 12 + ("zygote",) * 2 + ("server",)
"""The kinds of processes that are killed; a kind that is listed more often is killed more often."""
CLIENTS = 4
"""Clients that post runs at the same time."""
TARGET = 15.0
"""Seconds within which the server must accept programs again."""
STEPS = 4
RUN = """\
import torch
w = torch.tensor({number}.0, dtype=torch.float64, requires_grad=True)
for step in range({steps}):
    loss = (w * (step + 1)) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0 * w.grad
        w.grad = None
print({number})
"""
"""In double precision, so that the square of every number is exact."""


class Server:
    """A server on one folder and port, which can be killed and started again."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._port = 0
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it accepts programs."""
        command = [sys.executable, "-m", "tapedeck", "serve", "--port", str(self._port), "--data", self._folder]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        if found is None:
            raise SystemExit("The server did not start. Run `tapedeck serve` to see why.")
        self.url = found[0].rstrip("/")
        self._port = urlsplit(self.url).port or 0
        self.until_ready()

    def until_ready(self) -> None:
        """Wait until the server accepts programs."""
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(self.url, "GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    address = urlsplit(url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "text/x-python"} if body else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


class Load:
    """Clients that post runs until they are stopped. ``acknowledged`` has the number of each run by its id."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._count = 0
        self._lock = threading.Lock()
        self.acknowledged: dict[str, int] = {}
        self._threads = [threading.Thread(target=self._post) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _post(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._count += 1
                number = self._count
            try:
                body = RUN.format(number=number, steps=STEPS).encode()
                status, answer = ask(self._server.url, "POST", "/api/v1/runs", body)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)
                continue
            if status in (201, 202):
                self.acknowledged[answer["id"]] = number
            else:
                time.sleep(0.05)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def descendants(process: int) -> tuple[list[int], list[int]]:
    """Return the children of a process, and their children."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(int(status.parent.name))
    first = parents.get(process, [])
    return first, [pid for parent in first for pid in parents.get(parent, [])]


def kill(server: Server, kind: str, choose: random.Random) -> float:
    """Kill a child, the zygote or the server; return the seconds until the server accepts programs again."""
    zygotes, children = descendants(server.process.pid)
    zygotes = [pid for pid in zygotes if descendants(pid)[0]]
    victims = {"child": children, "zygote": zygotes, "server": [server.process.pid]}[kind]
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(choose.choice(victims), signal.SIGKILL)
    began = time.perf_counter()
    if kind == "server":
        server.process.wait()
        server.start()
    else:
        time.sleep(0.5 if kind == "zygote" else 0.0)  # until the server has detected the death
        server.until_ready()
    return time.perf_counter() - began


def check(server: Server, acknowledged: dict[str, int]) -> tuple[list[str], list[str]]:
    """Return the acknowledged runs that are lost, and those that are damaged."""
    lost, corrupt = [], []
    for id, number in acknowledged.items():
        status, run = ask(server.url, "GET", f"/api/v1/runs/{id}")
        if status != 200:
            lost.append(id)
            continue
        if run["status"] == "done":
            status, step = ask(server.url, "GET", f"/api/v1/runs/{id}/steps/{STEPS - 1}")
            intact = status == 200 and step["loss"]["values"] == float((number * STEPS) ** 2) and run["stdout"] == f"{number}\n"
        else:  # the process of the program was killed
            intact = run["status"] in ("killed", "interrupted", "cancelled")
            for index in range(run["steps"]):
                intact = intact and ask(server.url, "GET", f"/api/v1/runs/{id}/steps/{index}")[0] == 200
        if not intact:
            corrupt.append(f"{id} ({run['status']}, {run['steps']} steps)")
    return lost, corrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150, help="number of kills (default: %(default)s)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="what is killed, in turn, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--any-time", action="store_true", help="do not fail if the server takes long to accept programs")
    options = parser.parse_args()
    choose = random.Random(options.seed)
    kinds = (options.kinds.split(",") * options.count)[: options.count]
    if options.kinds == ",".join(KINDS):
        choose.shuffle(kinds)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        load = Load(server)
        times: dict[str, list[float]] = {}
        try:
            for kind in kinds:
                time.sleep(choose.uniform(0.05, 0.6))
                times.setdefault(kind, []).append(kill(server, kind, choose))
        finally:
            load.stop()
        try:
            lost, corrupt = check(server, load.acknowledged)
        finally:
            server.stop()
    print(machine())
    rows = [[kind, str(len(found)), f"{max(found):.1f}"] for kind, found in sorted(times.items())]
    table("Killed", ("", "times", "ready after at most (s)"), rows)
    slow = [kind for kind, found in times.items() if max(found) > TARGET]
    print(f"{len(load.acknowledged)} acknowledged runs: {len(lost)} lost, {len(corrupt)} not intact.")
    for id in corrupt:
        print(f"Not intact: {id}")
    if slow:
        print(f"Not ready within {TARGET:g} s after the kill of: {', '.join(slow)}.")
    if lost or corrupt or (slow and not options.any_time) or not load.acknowledged:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
