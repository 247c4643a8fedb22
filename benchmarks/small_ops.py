"""Compare the processor time of loops of small operations, recorded and plain, alternating in one run.

The time of an operation on a few elements is the time of its call, so these loops show what the recorder adds to each call.
Most of them need no gradient.
"""

from __future__ import annotations

import argparse
import gc
import textwrap
import time
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of alternating rounds")
    parser.add_argument("--count", type=int, default=2000, help="number of iterations of each loop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    preload()
    gc.collect()
    gc.freeze()
    programs = {
        name: PROGRAM.format(block=block, statement=textwrap.dedent(statement), count=options.count)
        for name, (block, statement) in LOOPS.items()
    }
    rows = [row(name, program, options.count, options.rounds) for name, program in programs.items()]
    steps = options.count // 10
    rows.append(row("a step by hand", STEP.format(count=steps), steps, options.rounds))
    table(f"Small operations, p50 of {options.rounds} alternating rounds", ["", "eager", "recorded", "ratio"], rows)
    print(f"\n  {machine()}, torch {torch.__version__}")


def row(name: str, program: str, count: int, rounds: int) -> list[str]:
    """Time one loop; return its name, the microseconds of an iteration, plain and recorded, and their ratio."""
    ways = {"plain": partial(plain, program), "recorded": partial(recorded, program)}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):  # the first round is not counted
        for way, run in ways.items():
            start = time.process_time()  # the machine may be busy, and everything runs on one thread
            run()
            taken = time.process_time() - start
            if turn:
                times[way].append(taken / count * 1e6)
    eager, ours = p50(times["plain"]), p50(times["recorded"])
    return [name, f"{eager:.1f} µs", f"{ours:.1f} µs", f"{ours / eager:.1f}"]


if __name__ == "__main__":
    main()
