"""Compare the processor time of loops of small operations, recorded and plain, alternating in one run.

The time of an operation on a few elements is the time of its call, so these loops show what the recorder adds to each call.
Most of them need no gradient. Each loop runs with a tenth of the iterations too, and only the difference counts: the time that
a recording takes to start and to end does not depend on the loop. It is in the last column.
"""

from __future__ import annotations

import argparse
import gc
import textwrap
import time
from collections.abc import Callable
from functools import partial

import torch
from tapedeck import wire
from tapedeck.tracer.main import execute, preload

from _common import machine, p50, table
from _yardsticks import plain

LOOPS = {
    "results, no_grad": ("with torch.no_grad():", "a = a * 0.9 + b"),
    "results, no gradient needed": ("if True:", "a = a * 0.9 + b"),
    "results in a function": ("with torch.no_grad():", "a = move(a, b)"),
    "in place, no_grad": ("with torch.no_grad():", "a += 0.1 * b"),
    "in place, no gradient needed": ("if True:", "a.mul_(0.9).add_(b)"),
    "items": ("with torch.no_grad():", "a[i % 4] = a[(i + 1) % 4] * 0.5"),
    "out=": ("with torch.no_grad():", "torch.mul(a, b, out=c)"),
    "a write to a parameter": ("with torch.no_grad():", "w -= 0.1 * b"),
    "a module, no_grad": ("with torch.no_grad():", "a = net(a)"),
    "readings": ("with torch.no_grad():", "n = a.sum().item() + a.shape[0]"),
    "results that need a gradient": ("if True:", "d = w * 0.9"),
}
"""The block and the statement of each loop."""

PROGRAM = """\
import torch
a, b, c = torch.ones(4), torch.ones(4), torch.ones(4)
w = torch.ones(4, requires_grad=True)
net = torch.nn.Linear(4, 4)
def move(x, y):
    z = x * 0.9
    return z + y
(w * b).sum().backward()
{block}
    for i in range({count}):
        {statement}
"""

STEP = """\
import torch
x, y = torch.arange(11.0), torch.arange(11.0) * 2 + 1
params = torch.tensor([1.0, 0.0], requires_grad=True)
def train(epochs, params):
    for epoch in range(epochs):
        if params.grad is not None:
            params.grad.zero_()
        loss = ((params[0] * x + params[1] - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            params -= 1e-3 * params.grad
train({count}, params)
"""


def recorded(program: str) -> None:
    """Record a program, and drop its events."""
    execute(wire.Job(program, [(1, program.count("\n"))]), lambda frames: None)


WAYS: dict[str, Callable[[str], object]] = {"plain": plain, "recorded": recorded}
"""The functions that run a program, by name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of alternating rounds")
    parser.add_argument("--count", type=int, default=2000, help="number of iterations of each loop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    preload()
    gc.collect()
    gc.freeze()
    rows = [
        row(name, partial(PROGRAM.format, block=block, statement=textwrap.dedent(statement)), options.count, options.rounds)
        for name, (block, statement) in LOOPS.items()
    ]
    rows.append(row("a step by hand", STEP.format, options.count // 10, options.rounds))
    title = f"Small operations, p50 of {options.rounds} alternating rounds"
    table(title, ["", "eager", "recorded", "ratio", "start and end"], rows)
    print(f"\n  {machine()}, torch {torch.__version__}")


def row(name: str, program: Callable[..., str], count: int, rounds: int) -> list[str]:
    """Time one loop. ``program`` returns its text, given the number of iterations.

    Returns the name, the microseconds of an iteration, plain and recorded, their ratio, and the milliseconds of a recording
    without iterations.
    """
    few = count // 10
    ways = {(way, each): partial(run, program(count=each)) for way, run in WAYS.items() for each in (few, count)}
    times: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):  # the first round is not counted
        for way, run in ways.items():
            start = time.process_time()  # the machine may be busy, and everything runs on one thread
            run()
            taken = time.process_time() - start
            if turn:
                times[way].append(taken * 1e6)
    eager, ours = ((p50(times[way, count]) - p50(times[way, few])) / (count - few) for way in WAYS)
    fixed = p50(times["recorded", few]) - few * ours
    return [name, f"{eager:.1f} µs", f"{ours:.1f} µs", f"{ours / eager:.1f}", f"{fixed / 1000:.1f} ms"]


if __name__ == "__main__":
    main()
