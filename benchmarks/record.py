"""Time recording against plain eager PyTorch: the same programs, recorded and not, alternating in one process.

Two yardsticks are timed too: a mode and hooks that do nothing, and a minimal recorder. The benchmark also reports
the nodes per second that are walked and emitted for a graph of 100,000. Everything runs on one thread, unconfined.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from tapedeck import native, wire
from tapedeck.model import Capture, Limits
from tapedeck.tracer.main import execute, preload

from _common import machine, p50, table, timed
from _yardsticks import least, plain, watched

STACK = 256 * 1024 * 1024
"""Stack size in bytes, as in the sandbox. PyTorch frees a deep graph recursively."""
LEVELS: tuple[Capture, ...] = ("graph", "norms", "full")

REGRESSION = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
for step in range(1000):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.01 * m.grad
    m.grad = None
"""

MLP = """\
import torch
from torch import nn
x = torch.randn(64, 2)
y = (x[:, :1] * x[:, 1:]).sign()
model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(300):
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

TRANSFORMER = """\
import torch
from torch import nn
layer = nn.TransformerEncoderLayer(d_model=64, nhead=4, dim_feedforward=256, dropout=0.0, batch_first=True)
model = nn.TransformerEncoder(layer, num_layers=4, enable_nested_tensor=False)
x = torch.randn(8, 32, 64)
y = torch.randn(8, 32, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(30):
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

NODES = 100_000
LARGE = """\
import time
import torch
x = torch.ones((), requires_grad=True)
for _ in range(100_000):
    x = x * 1.0
start = time.perf_counter()
x.backward()
engine = time.perf_counter() - start
"""
UNREACHED = """\
import time
import torch
x = torch.ones((), requires_grad=True)
(x * 1.0).backward()
for _ in range(100_000):
    x = x * 1.0
print(time.perf_counter())
x
"""

WORKLOADS = {
    "scalar regression, 1000 steps": (REGRESSION, 1000),
    "MLP 2-64-64-1, batch 64, 300 steps": (MLP, 300),
    "transformer, 4 blocks d=64, 30 steps": (TRANSFORMER, 30),
}


def recorded(program: str, capture: Capture) -> int:
    """Record a program and return the number of bytes that the recorder emitted."""
    size = 0

    def write(data: bytes) -> None:
        nonlocal size
        size += len(data)

    cells = [(1, program.count("\n"))]
    execute(wire.Job(program, cells, capture=capture), write)
    return size


def ratios(rounds: int) -> None:
    """Time each workload: plain, with the two yardsticks, and recorded at each capture level."""
    rows = []
    for name, (program, steps) in WORKLOADS.items():
        plain(program), [recorded(program, level) for level in LEVELS]
        ways: dict[str, Callable[[], object]] = {
            "plain": partial(plain, program),
            "watched": partial(watched, program),
            "least": partial(least, program),
            **{level: partial(recorded, program, level) for level in LEVELS},
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                gc.collect()
                times[way].append(timed(run))
        eager = p50(times["plain"])
        size = recorded(program, "full") / steps
        emitted = f"{size:.0f} B" if size < 1000 else f"{size / 1000:.1f} kB"
        rows.append(
            [name, f"{eager / steps * 1000:.0f} µs", *(f"{p50(times[way]) / eager:.2f}" for way in list(ways)[1:]), emitted]
        )
    head = ["", "eager per step", "watched ×", "least ×", *(f"{level} ×" for level in LEVELS), "emitted per step, full"]
    table(f"Recording as a multiple of plain eager, p50 of {rounds} alternating rounds", head, rows)


def peers(rounds: int) -> None:
    """Time one forward and backward: plain, recorded in full, and with the nearest other tools, alternating.

    torchviz walks the graph of the loss and writes it as DOT, without numbers and without drawing it. torchlens keeps what a
    forward computes; the backward is then plain. A recorded program also creates the model and the data. The cost of recording
    is therefore the recorded program, minus the plain program, plus one plain forward and backward.
    """
    import torchlens
    import torchviz

    rows = []
    for name, program in (("MLP", MLP), ("transformer", TRANSFORMER)):
        text = re.sub(r"range\(\d+\)", "range(1)", program)
        namespace = plain(text)
        model, x, y = namespace["model"], namespace["x"], namespace["y"]

        def loss(output: torch.Tensor, y: torch.Tensor = y) -> torch.Tensor:
            return torch.nn.functional.mse_loss(output, y)

        def eager(model: torch.nn.Module = model, x: torch.Tensor = x) -> None:
            loss(model(x)).backward()

        def drawn(model: torch.nn.Module = model, x: torch.Tensor = x) -> None:
            total = loss(model(x))
            torchviz.make_dot(total, params=dict(model.named_parameters()))
            total.backward()

        def logged(model: torch.nn.Module = model, x: torch.Tensor = x) -> None:
            torchlens.trace(model, x)
            eager(model, x)

        def ours(text: str = text) -> float:
            return timed(lambda: recorded(text, "full")) - timed(lambda: plain(text)) + timed(eager)

        ways: dict[str, Callable[[], float]] = {
            "plain": lambda: timed(eager),
            "recorded": ours,
            "torchviz": lambda: timed(drawn),
            "torchlens": lambda: timed(logged),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):  # the first round is not counted
            for way, measure in ways.items():
                taken = measure()
                if turn:
                    times[way].append(taken)
        base = p50(times["plain"])
        rows.append([name, f"{base:.2f} ms", *(f"{p50(times[way]) / base:.1f}" for way in list(ways)[1:])])
    table(
        "One forward and backward, as a multiple of plain eager", ["", "eager", "recorded ×", "torchviz ×", "torchlens ×"], rows
    )


def large(rounds: int) -> None:
    """Time a large graph, walked and emitted, without a pass through it and with one.

    Without a pass, the time is from the end of the forward to the end of the recorded run. With a pass, the time is from the
    call of ``backward()``, minus the engine's own time.
    """
    rates, engines = [], []
    for _ in range(rounds):
        rates.append(NODES / since_printed(UNREACHED, "full"))
        gc.collect()
    rows = [["graph alone", f"{p50(rates):,.0f}", ""]]
    clocked = LARGE.replace("start = time", "print(time.perf_counter())\nstart = time")
    for level in LEVELS:
        rates, engines = [], []
        for _ in range(rounds):
            engine = plain(LARGE)["engine"]
            rates.append(NODES / (since_printed(clocked, level) - engine))
            engines.append(engine * 1000)
            gc.collect()
        rows.append([f"with a pass, {level}", f"{p50(rates):,.0f}", f"{p50(engines):.0f}"])
    table(f"A graph of {NODES:,} nodes, walked and emitted", ["", "nodes per second", "plain backward ms"], rows)


def since_printed(program: str, level: Capture) -> float:
    """Return the seconds from the time that a program prints to the end of its recording."""
    reader = wire.Reader(Limits())
    parts: list[bytes] = []
    execute(wire.Job(program, [(1, program.count("\n"))], capture=level), parts.append)
    end = time.perf_counter()
    events = [event for part in parts for event in reader.feed(part)]
    return end - float(next(event.text for event in events if isinstance(event, wire.OutputEvent)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="number of alternating rounds")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    preload()
    gc.collect()
    gc.freeze()  # as in the zygote, from which programs are forked
    ratios(rounds)
    peers(rounds)
    large(min(rounds, 5))
    by = "PyTorch" if native.load() is None else "C"
    print(f"\n  {machine()}, torch {torch.__version__}, statistics by {by}")


def with_stack() -> None:
    """Restart with a larger stack if the limit allows it: the kernel reads the limit when a program starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY and soft < STACK and (hard == resource.RLIM_INFINITY or hard >= STACK):
        resource.setrlimit(resource.RLIMIT_STACK, (STACK, hard))
        os.execv(sys.executable, [sys.executable, *sys.argv])


if __name__ == "__main__":
    with_stack()
    main()
