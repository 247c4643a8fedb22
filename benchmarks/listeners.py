"""Listen to one training many times at once, and measure the cost to everybody else.

A training is run without and with listeners, in turn. With listeners, ``/healthz`` is requested every 20 ms. The listeners are
in a process of their own, and each must receive the stream up to its end. ``--quiet`` listens to a program that sleeps, and
reports the processor time of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

from _common import Client, machine, p50, p95, serving, table

ASK_SECONDS = 0.02
HEALTHY_MS = 100
"""Bound on the 95th percentile of ``/healthz`` in milliseconds."""
SLOWER = 1.1
"""Bound on the duration of the training with listeners over that without."""

TRAINING = """\
import torch
torch.manual_seed(0)
w = torch.zeros(3, requires_grad=True)
x, y = torch.randn(16, 3), torch.randn(16)
for step in range({steps}):
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
    w.grad = None
"""
SLEEP = "import time\nprint('ready')\ntime.sleep({seconds})\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=500)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    ceiling = str(options.listeners + 10)
    settings = {"TAPEDECK_LIMIT_WALL_SECONDS": "300", "TAPEDECK_LIMIT_CPU_SECONDS": "300"}
    settings |= {f"TAPEDECK_{name}": ceiling for name in ("STREAMS", "STREAMS_OF_RUN", "STREAMS_OF_ADDRESS")}
    with tempfile.TemporaryDirectory() as folder, serving(folder, **settings) as (url, pid):
        print(machine())
        if options.quiet:
            quiet(url, pid, options.listeners)
        else:
            train(url, options.listeners, options.steps, options.rounds)


def train(url: str, listeners: int, steps: int, rounds: int) -> None:
    alone, together, health = [], [], []
    program = TRAINING.format(steps=steps)
    run(url, program, 0)
    for _ in range(rounds):
        alone.append(run(url, program, 0)[0])
        seconds, asked = run(url, program, listeners)
        together.append(seconds)
        health += asked
    ratio = statistics.median(together) / statistics.median(alone)
    rows = [
        ("training, s", f"{statistics.median(alone):.2f}", f"{statistics.median(together):.2f}", ""),
        ("ratio", "", f"{ratio:.2f}", f"{SLOWER}"),
        ("/healthz p50, ms", "", f"{p50(health):.1f}", ""),
        ("/healthz p95, ms", "", f"{p95(health):.1f}", f"{HEALTHY_MS}"),
        ("/healthz worst, ms", "", f"{max(health):.1f}", ""),
    ]
    table(f"{listeners} listeners of {steps} steps", ("", "without", "with", "bound"), rows)


def run(url: str, program: str, listeners: int) -> tuple[float, list[float]]:
    """Run a program with listeners. Return its duration in seconds, and those of ``/healthz`` in milliseconds."""
    client = Client(url)
    started = json.loads(client.ask("POST", "/api/v1/runs", program.encode(), Prefer="wait=0"))
    context = multiprocessing.get_context("spawn")
    listening = context.Process(target=listen, args=(url, started["links"]["events"], listeners))
    asked: list[float] = []
    if listeners:
        listening.start()
        done = threading.Event()
        asking = threading.Thread(target=ask, args=(url, done, asked))
        asking.start()
        listening.join()
        done.set()
        asking.join()
        if listening.exitcode:
            raise SystemExit("A listener did not receive every event.")
    while (answer := json.loads(client.ask("GET", started["links"]["self"])))["status"] in ("queued", "running"):
        time.sleep(0.2)
    return answer["duration_ms"] / 1000, asked


def ask(url: str, done: threading.Event, asked: list[float]) -> None:
    client = Client(url)
    while not done.wait(ASK_SECONDS):
        began = time.perf_counter()
        client.ask("GET", "/healthz")
        asked.append(1000 * (time.perf_counter() - began))


def listen(url: str, path: str, count: int, stop: Event | None = None) -> None:
    """Read the stream of a run with ``count`` connections, to its end or until ``stop`` is set."""
    asyncio.run(_listen(url, path, count, stop))


async def _listen(url: str, path: str, count: int, stop: Event | None) -> None:
    address = urlsplit(url)
    sizes = set()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: tapedeck\r\nConnection: close\r\n\r\n".encode())
        ids, end = 0, b""
        while data := await reader.read(1 << 16):
            ids += data.count(b"\nevent:")
            end = (end + data)[-200:]
        if stop is None:
            assert b"event: end" in end, end
            sizes.add(ids)
        writer.close()

    listening = [asyncio.create_task(one()) for _ in range(count)]
    while stop is not None and not stop.is_set():
        await asyncio.sleep(0.1)
    if stop is None:
        await asyncio.gather(*listening)
    print(f"{count} listeners, {sizes} events each")


def quiet(url: str, pid: int, listeners: int) -> None:
    client = Client(url)
    started = json.loads(client.ask("POST", "/api/v1/runs", SLEEP.format(seconds=60).encode(), Prefer="wait=0"))
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    spent = []
    for count in (0, listeners):
        listening = context.Process(target=listen, args=(url, started["links"]["events"], count, stop))
        stop.clear()
        listening.start()
        time.sleep(4)
        before, began = cpu_seconds(pid), time.perf_counter()
        time.sleep(10)
        spent.append((cpu_seconds(pid) - before) / (time.perf_counter() - began))
        stop.set()
        listening.join()
    table("Quiet streams", ("", "none", str(listeners)), [("share of a core", *(f"{100 * share:.1f} %" for share in spent))])


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
