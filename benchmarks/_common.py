"""Helpers shared by the benchmarks: a real server, timing, percentiles and printed tables."""

from __future__ import annotations

import contextlib
import http.client
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit


@contextlib.contextmanager
def server(**environment: str) -> Iterator[str]:
    """Start ``tapedeck serve`` on a free port, yield its URL when it accepts programs, and stop it afterwards."""
    with tempfile.TemporaryDirectory() as folder, serving(folder, **environment) as (url, _):
        yield url


@contextlib.contextmanager
def serving(folder: str, **environment: str) -> Iterator[tuple[str, int]]:
    """Start a server that stores its recordings in ``folder``, and yield its URL and its process id."""
    with started(
        [sys.executable, "-m", "tapedeck"], folder, {**os.environ, "TAPEDECK_RECORD_EXAMPLES": "0", **environment}
    ) as found:
        yield found


@contextlib.contextmanager
def started(tapedeck: Sequence[str | Path], folder: str, environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Start a server with the command line ``tapedeck``, and yield its URL and its process id once it accepts programs."""
    process = subprocess.Popen(
        [*tapedeck, "serve", "--port", "0", "--data", folder],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("The server did not start. Run `tapedeck serve` to see why.")
        url = found[0].rstrip("/")
        _until_ready(url)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def connect(url: str) -> http.client.HTTPConnection:
    """Return a connection that stays open between requests."""
    address = urlsplit(url)
    assert address.hostname
    return http.client.HTTPConnection(address.hostname, address.port, timeout=60)


class Client:
    """Client of a server over one connection."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """Send a request and return the body. Any status but success ends the benchmark."""
        content_type = {"Content-Type": "text/x-python"} if body else {}
        self._connection.request(method, path, body, content_type | headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status not in (200, 201, 202):
            raise SystemExit(f"{method} {path}: {response.status} {answer[:300].decode()}")
        return answer


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        connection = connect(url)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == 200:
            return
        connection.close()
        time.sleep(0.2)
    raise SystemExit("The server's sandbox did not start within two minutes. Run `tapedeck doctor` to see why.")


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds that a call takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def p50(samples: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(samples, n=20)[-1] if len(samples) > 1 else samples[0]


def machine() -> str:
    """Return a line that describes the machine, without which absolute numbers mean nothing."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}, Python {platform.python_version()}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is aligned left and the others right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    print(f"\n{title}")
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
    sys.stdout.flush()
