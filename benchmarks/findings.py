"""Time the findings of a run against its recording: the same programs as ``record.py``, by processor time, in one process.

Findings should take at most 10 % of the time of a recorded run. The benchmark also lists the rules that take longest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import torch
from tapedeck import model, wire
from tapedeck.explain.program.syntax import Syntax
from tapedeck.explain.registry import RULES
from tapedeck.recording import MemoryLog, Recording
from tapedeck.tracer.main import execute, preload

from _common import machine, table
from record import MLP, REGRESSION, TRANSFORMER

PROGRAMS = {"regression": REGRESSION, "MLP": MLP, "transformer": TRANSFORMER}
LISTED = 5
"""Number of rules that are listed for each program."""


def recorded(program: str) -> tuple[Recording, float]:
    """Record a program and return its recording, with the processor time that it took in seconds."""
    reader, events = wire.Reader(model.Limits(), program=program), list[wire.AnyEvent]()
    began = time.process_time()
    execute(wire.Job(program, [(1, len(program.splitlines()))]), lambda data: events.extend(reader.feed(data)))
    took = time.process_time() - began
    return Recording(MemoryLog(events), program), took


def main() -> None:
    """Print the times of recordings and findings, and the slowest rules."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    preload()
    rows: list[list[str]] = []
    for name, text in PROGRAMS.items():
        runs: list[float] = []
        findings: list[float] = []
        rules: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            recording, took = recorded(text)
            runs.append(took)
            syntax, program, whole = Syntax(text), model.Program(text), time.process_time()
            for rule in RULES.values():
                if rule.recording is not None:
                    began = time.process_time()
                    list(rule.recording.find(recording, program, syntax))
                    rules[rule.code].append(time.process_time() - began)
            findings.append(time.process_time() - whole)
        run, found = statistics.median(runs), statistics.median(findings)
        rows.append([name, f"{run * 1e3:.0f} ms", f"{found * 1e3:.1f} ms", f"{found / run:.1%}"])
        slowest = sorted(rules, key=lambda code: -statistics.median(rules[code]))[:LISTED]
        rows.extend([f"  {code}", "", f"{statistics.median(rules[code]) * 1e3:.1f} ms", ""] for code in slowest)
    print(machine())
    table("Findings", ["program", "recorded run", "findings", "share"], rows)


if __name__ == "__main__":
    main()
