"""Time a watch of an expression over 1,000 steps against the program alone, by processor time, in one process.

The watch counts statements. The second ratio is that of a watch that records the program, for recordings without the counts.

A watch should take at most 1.5 times the program's own time plus 100 ms.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from tapedeck import model, wire
from tapedeck.recording import MemoryLog, Recording
from tapedeck.replays.counted import CountedProof, counted_order
from tapedeck.tracer.main import execute, preload

from _common import machine, p50, table
from record import MLP, REGRESSION

MOST_TIMES, MOST_MORE = 1.5, 0.1
"""The bound: this many times the program's own time, plus this many seconds."""
STEPS = 1_000
PROGRAMS = {
    "regression": (REGRESSION, "m.grad", "m -= "),
    "MLP": (MLP.replace("range(300)", f"range({STEPS})"), "model[0].weight.grad.norm()", "optimizer.step()"),
}
"""Programs of 1,000 steps, each with an expression and a part of the line after which it is watched."""


def run(program: str, order: wire.ReplayOrder | None = None) -> list[wire.AnyEvent]:
    """Record or replay a program, and return the events."""
    reader, events = wire.Reader(model.Limits(), replay=order is not None), list[wire.AnyEvent]()
    job = wire.Job(program, [(1, len(program.splitlines()))], replay=order)
    execute(job, lambda data: events.extend(reader.feed(data)))
    return events


def watch(program: str, order: wire.ReplayOrder) -> None:
    """Watch an expression over all steps of a program."""
    events = run(program, order)
    values = sum(len(wire.int32(event.steps, "steps")) for event in events if isinstance(event, wire.ExpressionValues))
    assert values == STEPS, f"{values:,} of {STEPS:,} values"


def took(work: Callable[[], object]) -> float:
    """Return the processor time of a call in seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Print the times. The exit status is 1 if a watch takes longer than the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    preload()
    rows, good = list[list[str]](), True
    for name, (text, expression, part) in PROGRAMS.items():
        line = next(at for at, each in enumerate(text.splitlines(), 1) if part in each)
        code = compile(text, "<program>", "exec")
        recording = Recording(MemoryLog(run(text)), text)
        order = wire.ReplayOrder("watch", step=STEPS - 1, line=line, expression=expression)
        counted = counted_order(recording, order)
        assert counted is not None, "the recording has no counts"
        proof = CountedProof(recording, STEPS - 1, seeks=False)
        proof.feed(run(text, counted))
        assert proof.complete, "the watch does not equal the recording"
        alone, watched, recorded = list[float](), list[float](), list[float]()
        for _ in range(rounds):
            alone.append(took(partial(exec, code, {})))
            watched.append(took(partial(watch, text, counted)))
            recorded.append(took(partial(watch, text, order)))
        bound = MOST_TIMES * p50(alone) + MOST_MORE
        good = good and p50(watched) <= bound
        rows.append(
            [
                name,
                *(f"{each * 1e3:.0f} ms" for each in (p50(alone), p50(watched), bound)),
                *(f"{p50(each) / p50(alone):.2f}" for each in (watched, recorded)),
            ]
        )
    table(f"Watch over 1,000 steps ({machine()})", ["program", "alone", "watched", "bound", "ratio", "if recorded"], rows)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
