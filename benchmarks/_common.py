"""Share what the benchmarks need: a real server to ask, percentiles, and tables that can be read."""

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
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit


@contextlib.contextmanager
def server(**environment: str) -> Iterator[str]:
    """Start ``tapedeck serve`` on a free port, wait until it takes programs, and give its URL; end it afterwards."""
    with tempfile.TemporaryDirectory() as folder, serving(folder, **environment) as (url, _):
        yield url


@contextlib.contextmanager
def serving(folder: str, **environment: str) -> Iterator[tuple[str, int]]:
    """The same with the recordings of a folder; gives the URL and the id of the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tapedeck", "serve", "--port", "0", "--data", folder],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("The server did not start: `tapedeck serve` says why.")
        url = found[0].rstrip("/")
        _until_ready(url)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def connect(url: str) -> http.client.HTTPConnection:
    """A connection that is kept open."""
    place = urlsplit(url)
    assert place.hostname
    return http.client.HTTPConnection(place.hostname, place.port, timeout=60)


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        connection = connect(url)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == 200:
            return
        connection.close()
        time.sleep(0.2)
    raise SystemExit("The server's sandbox did not come up within two minutes: `tapedeck doctor` says why.")


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def p50(samples: Sequence[float]) -> float:
    """The median."""
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    """The value that 95 in 100 stay below."""
    return statistics.quantiles(samples, n=20)[-1] if len(samples) > 1 else samples[0]


def machine() -> str:
    """The machine, in a line: absolute numbers mean nothing without it."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}, Python {platform.python_version()}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    print(f"\n{title}")
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
    sys.stdout.flush()
